"""Fills the validation table of docs/physics.md with what its tests measure.

    python docs/measure_physics.py                        # all of them: some minutes
    python docs/measure_physics.py tests/render/test_speckle.py  # these files; the other rows keep their values
    python docs/measure_physics.py --table                # only write the table again

The tests record the numbers that they judge; they go into docs/physics_measured.json, and from there into the table.
A test that fails or is skipped writes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from pages import put_between

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
RESULTS, PAGE = DOCS / "physics_measured.json", DOCS / "physics.md"
BEGIN, END = "<!-- table of docs/measure_physics.py -->", "<!-- end of table -->"
ROOMS = {
    "speckle": "render",
    "aperture_speckle": "render",
    "aperture_beam": "render",
    "reflected_paths": "render",
    "point_targets": "render",
    "acoustics": "render",
    "side_lobes": "render",
    "beam": "probe",
    "pattern": "probe",
    "maps": "render",
    "bvh": "render",
    "cuda": "render",
}
FILES = [f"tests/{room}/test_{name}.py" for name, room in ROOMS.items()]


class Values(list):
    """Numbers of one name; formats as one number, or as their range where they differ."""

    def __format__(self, spec: str) -> str:
        if spec == "sum":
            return f"{sum(self):g}"
        if spec == "list":
            return ", ".join(f"{round(value, 2) + 0.0:.2f}" for value in self)  # + 0.0: no −0.00
        low, high = (format(value, spec) for value in (min(self), max(self)))
        return low if low == high else f"{low} to {high}"


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        check: What is checked.
        expected: What theory says.
        measured: Format of the numbers that the test records.
        tolerance: What the test allows.
        test: ``file::function``.
    """

    check: str
    expected: str
    measured: str
    tolerance: str
    test: str


SPECKLE, ACOUSTICS, BEAM, MAPS = ("test_speckle.py::", "test_acoustics.py::", "test_beam.py::", "test_maps.py::")
SHADOWS, STEADINESS = "test_aperture_beam.py::", "test_aperture_speckle.py::"
LOBES, PATTERN = "test_side_lobes.py::", "test_pattern.py::"
MIRRORS, POINTS = "test_reflected_paths.py::", "test_point_targets.py::"
BVH, CUDA = "test_bvh.py::", "test_cuda.py::"
ROWS = [
    Row("envelope SNR of dense scatterers", "1.913", "{snr:.3f}", "3 %",
        SPECKLE + "test_envelope_snr_of_dense_scatterers_is_that_of_rayleigh_speckle"),
    Row("standard deviation of the log envelope", "5.57 dB", "{log_std_db:.2f} dB", "3 %",
        SPECKLE + "test_envelope_snr_of_dense_scatterers_is_that_of_rayleigh_speckle"),
    Row("envelope distribution", "Rayleigh", "p = {p:.2f}", "Kolmogorov–Smirnov p > 0.01",
        SPECKLE + "test_envelope_is_rayleigh_distributed"),
    Row("SNR with 32 rays and 3 layers", "1.913", "{snr:.3f}", "3 %",
        SPECKLE + "test_many_rays_and_layers_do_not_smooth_speckle"),
    Row("SNR at 0.0005, 0.003, 0.02, 1 scatterers a cell", "rises to 1.913", "{snr:list}", "monotone; the last 3 %",
        SPECKLE + "test_speckle_snr_rises_with_scatterer_density_to_the_rayleigh_limit"),
    Row("backscattered power", "density·std² + density·(1 − density)·mean²", "{off_db:+.2f} dB off", "0.35 dB",
        SPECKLE + "test_backscattered_power_follows_density_mean_and_deviation"),
    Row("full lattice, std 0", "silent", "{loudest:g}", "exactly 0",
        SPECKLE + "test_a_full_lattice_of_equal_scatterers_is_silent"),
    Row("brightness at 15–90° to the lattice", "constant", "{off_db:+.2f} dB", "±0.5 dB",
        SPECKLE + "test_brightness_does_not_depend_on_the_angle_between_beam_and_lattice"),
    Row("brightness over depth from 5 mm on, lossless, three kinds of probe", "constant",
        "{span_db:.2f} dB from dimmest to brightest", "1 dB",
        STEADINESS + "test_uniform_tissue_is_equally_bright_at_every_depth_and_alike_in_both_qualities"),
    Row("brightness over depth / over angle of attenuating tissue after the gain, three kinds of probe, LQ and HQ",
        "constant", "{depth_db:.2f} / {angle_db:.2f} dB from dimmest to brightest", "1 dB",
        STEADINESS + "test_attenuating_tissue_is_equally_bright_over_depth_and_angle_after_the_gain"),
    Row("thickness of the slice in HQ (rms) at 5, 20, 40, 70, 100, 140 mm", "the elevational beam's formula",
        "{off_percent:+.1f} % off", "15 %", STEADINESS + "test_high_quality_is_as_thick_as_the_elevational_beam"),
    Row("envelope SNR at 30, 60, 90, 120 mm, LQ and HQ", "1.913", "{snr:.2f}", "0.05",
        STEADINESS + "test_envelope_snr_of_dense_scatterers_is_that_of_rayleigh_speckle"),
    Row("brightness of speckle over rays, layers, lines, samples, pitch", "constant", "{off_db:+.2f} dB", "±0.5 dB",
        STEADINESS + "test_speckle_is_as_bright_whatever_the_rays_layers_lines_samples_and_lattice"),
    Row("the same of walls, smooth and rough", "constant", "{off_db:+.2f} dB", "±0.5 dB",
        STEADINESS + "test_a_wall_is_as_bright_whatever_the_rays_layers_lines_samples_and_lattice"),
    Row("wall over speckle, 64 to 1024 scanlines", "constant", "{off_db:+.2f} dB", "±0.5 dB",
        STEADINESS + "test_a_wall_over_speckle_is_as_bright_whatever_the_lines"),
    Row("correlation when the probe moves 0.1, 0.25, 0.5 mm aside / 0.1, 0.4 mm in elevation",
        "exp(−Δ²/(4σ²)); aside ≥ 0.95, 0.88, 0.68, in elevation ≥ 0.95, 0.72",
        "{off_x:+.3f} / {off_y:+.3f} off", "0.05",
        STEADINESS + "test_speckle_stays_with_the_tissue_when_the_probe_moves"),
    Row("a fuzzy seam between two names of one tissue, 1 to 512 rays", "does not show", "{off_db:+.2f} dB", "±0.3 dB",
        STEADINESS + "test_a_fuzzy_seam_between_two_names_of_one_tissue_does_not_show"),
    Row("complex correlation of LQ and HQ", "1", "{correlation:.4f}", "> 0.999",
        SPECKLE + "test_low_and_high_quality_see_the_same_speckle"),
    Row("speckle when the probe moves in: along with the tissue / on the spot", "kept / gone",
        "correlation {kept:.2f} / {stayed:.2f}", "> 0.75 / < 0.1", SPECKLE + "test_speckle_moves_with_the_tissue"),
    Row("axial −6 dB width at 60 % bandwidth", "0.142 mm", "{width_mm:.3f} mm", "2 samples of 6 µm",
        ACOUSTICS + "test_axial_width_of_an_interface_is_0_142_mm_at_60_percent_bandwidth"),
    Row("lateral −6 dB width at F/2, formula", "0.341 mm", "{width_mm:.3f} mm", "1e-6",
        BEAM + "test_two_way_lateral_width_at_the_focus_is_0_886_lambda_f_number"),
    Row("the same against PyMUST's field", "0.341 mm", "{pymust_mm:.3f} mm", "10 %",
        BEAM + "test_lateral_width_agrees_with_pymust"),
    Row("width of a wire of 0.1 mm in the image", "0.349 mm", "{width_mm:.3f} mm", "0.06 mm",
        BEAM + "test_a_line_target_at_the_focus_is_as_wide_as_the_beam"),
    Row("−6 dB widths of a point at 20–140 mm, three kinds of probe, LQ and HQ: axial / lateral",
        "0.441·c/(B·f₀) / the beam's formula", "{axial_percent:+.1f} / {lateral_percent:+.1f} % off", "5 / 10 %",
        POINTS + "test_a_point_is_as_long_as_the_pulse_and_as_wide_as_the_beam"),
    Row("level of a point wherever it lies between lines and samples", "constant",
        "{spread_db:.2f} dB of spread", "1 dB",
        POINTS + "test_a_point_is_seen_at_its_depth_and_level_wherever_it_lies_between_lines_and_samples"),
    Row("Gaussian beam over the main lobe of the pattern, 4 mm on, all windows", "as wide",
        "{median_percent:+.0f} % (median), {worst_percent:+.0f} % at worst", "7 %, 25 %",
        PATTERN + "test_the_gaussian_beam_is_as_wide_as_the_patterns_main_lobe"),
    Row("cysts of 3, 5, 10 mm, −16 to −77 dB deep", "integral of the pattern", "{off_db:+.1f} dB off", "2 dB",
        LOBES + "test_a_cyst_is_as_dark_as_the_pattern_of_the_aperture_says"),
    Row("side lobes of a wire, 1.5, 3, 5 mm aside and farther", "the pattern's", "{off_db:+.1f} dB off", "2 dB",
        LOBES + "test_side_lobes_of_a_wire_are_those_of_the_pattern"),
    Row("uniform tissue with side lobes against without", "as bright, SNR kept", "{off_db:+.2f} dB, {off_snr:+.3f}",
        "0.1 dB, 0.02", LOBES + "test_uniform_tissue_stays_as_bright_and_speckle_as_it_is"),
    Row("attenuation slope at 0.3, 0.7, 1.5 dB/(cm·MHz)", "−2αf dB/cm", "{off_percent:+.1f} % off", "2 %",
        ACOUSTICS + "test_attenuation_lowers_the_line_by_twice_alpha_f_per_cm"),
    Row("Snell, 1450 → 1580 m/s at 30°", "33.01°", "{angle_deg:.2f}°", "0.01°",
        ACOUSTICS + "test_snell_refracts_1450_to_1580_at_30_degrees_to_33_01"),
    Row("critical angle, 1540 → 3515 m/s", "25.98°", "between {partial_deg:.1f}° and {total_deg:.1f}°", "±0.1°",
        ACOUSTICS + "test_reflection_is_total_past_the_critical_angle_of_25_98_degrees"),
    Row("reflectance at normal incidence", "−19.7, −40.8, −3.7, 0.0 dB", "{level_db:list} dB", "0.06 dB",
        ACOUSTICS + "test_reflectance_at_normal_incidence_matches_the_published_levels"),
    Row("reflectance at 0–55°", "boundary conditions solved anew; R + T = 1", "{off:.0e} off", "1e-6; 1e-5",
        ACOUSTICS + "test_reflectance_agrees_with_the_boundary_conditions_at_every_angle"),
    Row("rough normals, polar and azimuth", "power-cosine density", "p = {p:.2f}", "chi-square p > 1e-3",
        ACOUSTICS + "test_rough_normals_follow_the_power_cosine_density"),
    Row("echo of a wall, LQ and 8 × 3 rays", "√R", "{off_percent:+.1f} % off", "3 %",
        ACOUSTICS + "test_an_interface_echoes_its_pressure_reflectance"),
    Row("error of 16 to 1024 rays against 4096", "∝ N^(−0.5) or faster", "N^({exponent:.2f})", "exponent < −0.45",
        ACOUSTICS + "test_the_error_falls_with_the_root_of_the_number_of_rays_or_faster"),
    Row("shadow behind bone, 1, 32, 128 rays", "20·log(T₁T₂) − 2αfd = {expected_db:.2f} dB", "{shadow_db:list} dB",
        "0.3 dB", ACOUSTICS + "test_shadow_behind_bone_is_interface_loss_plus_attenuation"),
    Row("enhancement behind 10 mm of fluid", "2(α − α′)fL = {expected_db:.2f} dB", "{enhancement_db:.2f} dB", "0.3 dB",
        ACOUSTICS + "test_enhancement_behind_fluid_is_the_attenuation_it_saves"),
    Row("displacement behind a layer of 1450, 1650 m/s", "d·c₀/c₁", "{off_samples:list} samples off", "one sample",
        ACOUSTICS + "test_an_echo_behind_a_layer_is_displaced_by_its_travel_time"),
    Row("opaque rods of 0.5 to 5 mm, level 10 to 100 mm behind", "share of the aperture that they hide, to −20 dB",
        "{off_db:+.1f} dB off", "1.5 dB",
        SHADOWS + "test_the_shadow_of_a_rod_is_the_share_of_the_aperture_that_it_hides"),
    Row("the same through a Hamming and a Hann window", "their share, weighed", "{off_db:+.1f} dB off", "1.5 dB",
        SHADOWS + "test_the_shadow_of_a_rod_is_deeper_where_a_window_favours_the_elements_it_hides"),
    Row("penumbra of a half-plane, 32 and 128 rays", "D·(z − z₀)/z", "{off_percent:+.1f} % off", "10 %",
        SHADOWS + "test_the_penumbra_of_an_edge_is_as_wide_as_the_aperture_seen_through_it"),
    Row("half a probe over air: there / on the other side", "silent / as ever",
        "{silent_db:.0f} / {other_side_db:.1f} dB", "< −60 / −0.5 dB",
        SHADOWS + "test_half_a_probe_over_air_is_silent_on_that_side_only"),
    Row("outline of a fluid ball behind skin, fat and muscle, within 60°, LQ and HQ", "a circle",
        "{std_mm:.2f} mm of deviation (std)", "0.3 mm", SHADOWS + "test_a_ball_behind_layers_keeps_its_outline"),
    Row("outline in the image, LQ and HQ", "the segmentation's, displaced by the time of flight",
        "{mean_px:+.1f} px off over 15° of it, {off_px:.1f} px at most", "1 px; 2 px",
        SHADOWS + "test_the_outline_in_the_image_is_that_of_the_segmentation_displaced_by_the_time_of_flight"),
    Row("films of 0.01 to 0.2 mm", "layer theory", "{off_db:+.1f} dB off", "1.5 dB",
        SHADOWS + "test_a_thin_film_echoes_as_the_theory_of_a_plate_says"),
    Row("walls of 70 and 78° along a line, the darkest millimetre against the median", "no gaps",
        "{darkest_db:+.1f} dB", "−10 dB", SHADOWS + "test_a_steep_wall_is_a_line_and_no_row_of_dashes"),
    Row("reverberation between a gas and a wall in front of it, twice", "(1 − b²)·b, (1 − b²)·b², at its depth",
        "{off_db:+.1f} dB off", "1 dB", MIRRORS + "test_two_parallel_plates_reverberate"),
    Row("tissue in a mirror at 45°", "as bright as beside it, at its place", "{off_db:+.1f} dB off", "1 dB",
        MIRRORS + "test_a_mirror_at_45_degrees_shows_what_lies_beside"),
    Row("tissue in a plane mirror", "R", "{off_db:+.2f} dB off", "0.4 dB",
        MIRRORS + "test_a_plane_mirror_shows_tissue_as_bright_as_it_is_times_its_reflectance"),
    Row("in cylinders of 25 and 60 mm", "1/(1 + 2·z·L/(ρ·(z + L)))", "{off_db:+.2f} dB off", "0.3 dB",
        MIRRORS + "test_a_curved_mirror_darkens_as_it_spreads_the_tube_of_rays"),
    Row("in a rough plane mirror", "1/√(1 + V/w²) per axis", "{off_db:+.2f} dB off", "0.3 dB",
        MIRRORS + "test_a_rough_mirror_blurs_what_it_shows"),
    Row("in mirrors of 2 and 4 mm", "share of ± a·L, four times", "{off_db:+.1f} dB off", "1.5 dB",
        MIRRORS + "test_a_narrow_mirror_serves_a_share_of_the_aperture_there_and_back"),
    Row("mirrored tissue over rays and layers, strong and weak mirrors", "R", "{off_db:+.2f} dB",
        "0.3, 0.5 dB", MIRRORS + "test_mirrored_tissue_is_as_bright_whatever_the_rays_and_layers"),
    Row("outline of a sphere in the segmentation", "analytic circle", "{off_px:.2f} px off at most", "one pixel",
        MAPS + "test_slice_of_a_sphere_is_the_analytic_disc_to_one_pixel"),
    Row("attenuation through a sphere", "analytic chord", "{off_percent:.2f} % off at most", "two pixels' worth",
        MAPS + "test_attenuation_through_a_sphere_is_the_analytic_chord"),
    Row("labels on tilted planes", "point-in-solid brute force", "{agree_percent:.2f} % of pixels", "99.9 %",
        MAPS + "test_labels_agree_with_ray_parity_at_random_pixels_of_tilted_planes"),
    Row("closest hits, 1500 rays, brute force", "same triangle", "{other_triangle:g} differ", "none",
        BVH + "test_hits_equal_brute_force"),
    Row("closest hits, 50,000 rays, Embree", "same triangle but at ties", "{other_triangle:g} differ", "fewer than 10",
        BVH + "test_hits_equal_embree"),
    Row("900,000 rays aimed at shared edges and vertices", "no leak", "{leaks:sum} leaks", "none",
        BVH + "test_rays_through_edges_and_vertices_do_not_leak"),
    Row("CUDA kernels run on the host: both qualities and maps at full size, three kinds of probe", "the CPU's bytes",
        "{differ_percent:.3f} % of values differ", "none",
        CUDA + "test_compiled_kernels_make_the_cpus_frames_at_full_size"),
    Row("every kernel compiled for sm_75 and sm_90", "no approximations, fused products, double precision or spills",
        "{spilled_bytes:sum} bytes spilled in {kernels:sum} builds", "none",
        CUDA + "test_kernel_compiles_to_exact_arithmetic_without_spills"),
]  # fmt: skip


class Recorder:
    """A pytest plugin that keeps what passing tests record, over all their parameters."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def pytest_runtest_logreport(self, report) -> None:
        """Take the properties of a test that passed."""
        if report.when == "call" and report.passed:
            test = report.nodeid.split("[")[0].rpartition("/")[2]
            for name, value in report.user_properties:
                self.values[test][name].append(float(f"{float(value):.5g}"))


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """The table in Markdown."""
    lines = ["| check | expected | measured | tolerance of the test |", "|---|---|---|---|"]
    for row in ROWS:
        values = {name: Values(numbers) for name, numbers in results[row.test].items()}
        cells = (row.check, row.expected, row.measured, row.tolerance)
        lines.append(
            "| " + " | ".join(cell.format(**values).replace("-", "−") if "{" in cell else cell for cell in cells) + " |"
        )
    return "\n".join(lines)


def page_with_table(page: str, results: dict[str, dict[str, list[float]]]) -> str:
    """The page with the table between its marks replaced."""
    return put_between(page, BEGIN, table(results), END)


def main() -> int:
    """Run the tests, store what they record, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", default=FILES, help="test files, by default all of the table")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    if not options.table:
        import pytest

        recorder = Recorder()
        failed = pytest.main(["--rootdir", str(ROOT), *(str(ROOT / file) for file in options.files)], [recorder])
        if failed:
            return int(failed)
        results |= recorder.values
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", "utf-8")
    missing = [row.test for row in ROWS if row.test not in results]
    if missing:
        print(f"not measured yet: {', '.join(missing)}", file=sys.stderr)
        return 1
    PAGE.write_text(page_with_table(PAGE.read_text("utf-8"), results), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
