"""What ``ussim render --dry-run`` shows: the plan of a rendering and what of it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.show import gigabytes, settings_text, show_pairs

if TYPE_CHECKING:
    from ussim.dataset.place import Place
    from ussim.dataset.plan import Plan


def plan_json(plan: Plan, output: Place, resume: bool, part: tuple[int, int] | None) -> dict[str, Any]:
    """The plan as plain data; checks the poses and looks at what is done already.

    Args:
        plan: What is to be rendered.
        output: The store, made or not.
        resume: Whether a store that is there may be gone on with.
        part: (i, n) of ``--shard i/n``, or None for all of it.

    Raises:
        UssimError: A pose does not touch the body, or the store that is there is another one.
    """
    from ussim.dataset import job
    from ussim.dataset.schema import make_split

    plan.check_poses()
    header = plan.header()
    existing = job.open_existing(plan, output, resume)
    done = existing.done.tolist() if existing else [False] * header.units
    first, step = part or (1, 1)
    mine = [unit for unit in range(header.units) if unit % step == first - 1 and not done[unit]]
    return {
        "scene": header.scene.model_dump(),
        "scenes": [row.model_dump() for row in header.scenes],
        "triangles": len(plan.scene.triangles),
        "sweep": plan.sweep,
        "frames": plan.frames,
        "test_frames": int(make_split(plan.frames, header.split_seed).sum()),
        "unit_frames": plan.unit_frames,
        "units": header.units,
        "units_done": sum(done),
        "units_to_render": len(mine),
        "frames_to_render": sum(len(header.unit_range(unit)) for unit in mine),
        "seed": plan.seed,
        "backend": plan.backend,
        "image": header.image.model_dump(mode="json"),
        "bytes_in_memory": plan.bytes_in_memory(),
        "bytes_on_disk_estimate": plan.bytes_on_disk(),
        "bytes_free": output.bytes_free(),
        "store": str(output),
        "probe": header.probe,
        "imaging": header.imaging,
        "qualities": header.qualities,
    }


def show_plan(plan: dict[str, Any]) -> None:
    """Print what :func:`plan_json` returns."""
    image, free = plan["image"], plan["bytes_free"]
    sizes = ", ".join(f"{name} {gigabytes(size)}" for name, size in plan["bytes_in_memory"].items())
    show_pairs(
        [
            (
                "scene",
                f"{plan['scene']['name']}, {plan['triangles']} triangles{' in the first' if plan['scenes'] else ''}",
            ),
            *series_pairs(plan["scenes"]),
            ("sweep", plan["sweep"]),
            ("frames", f"{plan['frames']}, of them {plan['test_frames']} for testing"),
            (
                "units",
                f"{plan['units']} of {plan['unit_frames']} frames; {plan['units_done']} done, "
                f"{plan['units_to_render']} to render ({plan['frames_to_render']} frames)",
            ),
            ("image", f"{image['height']} × {image['width']} px of {image['mm_per_pixel']:.4f} mm"),
            ("arrays", sizes),
            (
                "on disk",
                f"about {gigabytes(plan['bytes_on_disk_estimate'])}"
                + (f"; {gigabytes(free)} are free" if free is not None else ""),
            ),
            ("backend", plan["backend"]),
            ("seed", plan["seed"]),
            ("store", plan["store"]),
            ("probe", settings_text(plan["probe"])),
            ("imaging", settings_text(plan["imaging"])),
            *((name, settings_text(fields)) for name, fields in plan["qualities"].items()),
        ]
    )
    click.echo("dry run: nothing was rendered")


def series_pairs(rows: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """One line on the scenes of a series; none for a single scene."""
    if not rows:
        return []
    ages = sorted({row["weeks"] for row in rows})
    age = f"{ages[0]:g} weeks" if len(ages) == 1 else f"{ages[0]:g} to {ages[-1]:g} weeks"
    return [("scenes", f"seeds {rows[0]['seed']} to {rows[-1]['seed']}, {age}, detail {rows[0]['detail']}")]
