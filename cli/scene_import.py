"""``ussim scene init`` and ``ussim scene from-labels``: scenes of a user's own meshes or labelled volume."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import PATH, output_option
from cli.program import command
from cli.say import say
from cli.show import show_table
from ussim.errors import UssimError, printable

if TYPE_CHECKING:
    from meshes.importing.assemble import ImportedScene

background_option = click.option(
    "--background", default="gel", show_default=True, help="Tissue outside of all surfaces."
)
side_option = click.option(
    "--side",
    type=click.Choice(("+x", "-x", "+y", "-y", "+z", "-z")),
    default=None,
    help="Side of the body on which the probe lies.  [default: where the way to the organs is short and free of bone]",
)


@command(
    "init",
    example="ussim scene init body.glb -o my_scene\n"
    "ussim scene init skin.stl liver.stl -o my_scene --units mm --tissue liver=liver --repair",
)
@click.argument("files", metavar="MESH...", type=PATH, nargs=-1, required=True)
@output_option("Folder to make.", "DIR")
@click.option(
    "--units",
    type=click.Choice(("um", "mm", "cm", "m", "in")),
    default=None,
    help="Of the files.  [default: as they state, or guessed from the size]",
)
@click.option("--scale", type=float, default=None, metavar="MM", help="Millimetres of one unit, in place of --units.")
@click.option(
    "--frame",
    type=click.Choice(("lps", "ras", "none")),
    default=None,
    help="Axes of files that state none: a patient's left-posterior-superior or right-anterior-superior. 'none' turns "
    "none, whatever they state.  [default: as they state]",
)
@click.option(
    "--tissue", "tissues", multiple=True, metavar="NAME=TISSUE", help="What a surface is imported of; again for more."
)
@background_option
@side_option
@click.option("--repair", is_flag=True, help="Mend surfaces that are open, inside out or overlap themselves; says how.")
def scene_init(
    files: tuple[Path, ...],
    output: Path,
    units: str | None,
    scale: float | None,
    frame: str | None,
    tissues: tuple[str, ...],
    background: str,
    side: str | None,
    repair: bool,
) -> None:
    """Make a scene of your own meshes: STL, OBJ, PLY, GLB, GLTF or OFF, also as .gz or in a .zip.

    Parts of a file become surfaces. Units are guessed from the size unless a file states them, tissues from the names,
    priorities from what lies in what; a probe is put on the skin. The scene.toml says what was guessed and why: change
    it as you like.
    """
    from meshes.importing.from_meshes import scene_from_meshes

    imported = scene_from_meshes(
        files,
        output,
        units=units,
        scale=scale,
        frame=frame,
        tissues=_pairs(tissues, "--tissue"),
        background=background,
        side=side,
        repair=repair,
        say=say,
    )
    _show_imported(imported, output)


@command(
    "from-labels",
    example="ussim scene from-labels ct.nii.gz --write-map labels.toml\n"
    "ussim scene from-labels ct.nii.gz --map labels.toml -o my_scene\n"
    "ussim scene from-labels ct.nii.gz --tissue 1=soft_tissue --tissue 3=liver --ignore 7 -o my_scene",
)
@click.argument("volume", type=PATH)
@output_option("Folder to make.", "DIR", required=False)
@click.option("--map", "label_map", type=PATH, default=None, metavar="FILE", help="What the labels are, as TOML.")
@click.option(
    "--tissue", "tissues", multiple=True, metavar="LABEL=TISSUE", help="What a label is imported of; again for more."
)
@click.option(
    "--ignore", "ignored", type=int, multiple=True, metavar="LABEL", help="A label to leave out; again for more."
)
@background_option
@side_option
@click.option("--write-map", type=PATH, default=None, metavar="FILE", help="Write a map to fill in, and make no scene.")
def scene_from_labels(
    volume: Path,
    output: Path | None,
    label_map: Path | None,
    tissues: tuple[str, ...],
    ignored: tuple[int, ...],
    background: str,
    side: str | None,
    write_map: Path | None,
) -> None:
    """Make a scene of a labelled volume, NIfTI: a smooth closed surface for each label.

    Every label needs a tissue, from --map or --tissue, or is left out with --ignore. A probe is put on the front of the
    body. Needs nibabel: pip install 'ussim[labels]'.
    """
    from meshes.importing import from_labels

    if (output is None) == (write_map is None):
        raise click.UsageError("give either -o DIR or --write-map FILE")
    if write_map is not None:
        count = from_labels.write_map(volume, write_map)
        click.echo(f"wrote {write_map}: {count} labels to fill in")
        return
    imported = from_labels.scene_from_labels(
        volume,
        output,
        label_map=label_map,
        tissues=_by_label(_pairs(tissues, "--tissue")),
        ignored=ignored,
        background=background,
        side=side,
        say=say,
    )
    _show_imported(imported, output)


def _by_label(pairs: dict[str, str]) -> dict[int, str]:
    from ussim.settings import whole_number

    for label in pairs:
        if whole_number(label) is None:
            raise UssimError(f"--tissue {label}={pairs[label]}: write LABEL=TISSUE, as in 3=liver")
    return {int(label): tissue for label, tissue in pairs.items()}


def _pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    """``NAME=VALUE`` texts as a dictionary."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise UssimError(f"{option} {text}: write NAME=TISSUE, as in liver=liver")
        if name in pairs:
            raise UssimError(f"{option} {name}=… is given twice")
        pairs[name] = value
    return pairs


def _show_imported(imported: ImportedScene, output: Path) -> None:
    """What was guessed, and how to go on."""
    sizes = {one.name: one.vertices_mm.max(axis=0) - one.vertices_mm.min(axis=0) for one in imported.scene.surfaces}
    renamed = any(one.renamed for one in imported.surfaces)  # then --tissue needs to be told what is what
    show_table(
        ("surface", *(("from",) if renamed else ()), "size mm", "priority", "why", "tissue", "why"),
        [
            (
                one.name,
                *((one.source if one.renamed else "",) if renamed else ()),
                " × ".join(f"{side:.1f}" for side in sizes[one.name]),
                one.priority,
                one.why_priority,
                one.tissue,
                one.why_tissue,
            )
            for one in imported.surfaces
        ],
    )
    lines = [""]
    if imported.units is not None:
        lines.append(
            f"units: {imported.units.name}, {imported.units.why} (another: --units um|mm|cm|m|in, or --scale MM)"
        )
    if imported.frame:
        lines.append(f"frame: {imported.frame}")
    if imported.moved:
        lines.append(f"place: {imported.moved}")
    placement = imported.placement
    lines.append(
        f"probe: on {imported.probe_on}, {placement.distance_mm:.0f} mm from the middle of the organs; "
        f"{placement.why_settings}"
    )
    lines += [f"note: {warning}" for warning in imported.warnings]
    advice = "".join(f" --set {setting}" for setting in placement.settings)
    lines += [
        f"wrote {output / 'scene.toml'}; look at it, then:",
        f"  ussim scene info {shlex.quote(str(output))}",
        f"  ussim render {shlex.quote(str(output))} -o {shlex.quote(output.name + '.zarr')} --frames 20{advice}",
    ]
    for line in lines:
        click.echo(printable(line))
