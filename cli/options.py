"""Options that several commands have: one name, one meaning and one wording each, over all programs.

A command imports nothing heavy through this file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ussim.dataset.place import place_of
from ussim.errors import UssimError
from ussim.render.backends import BACKENDS

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Decorator = Callable[[Decorated], Decorated]


class _Path(click.Path):
    """A path; or the place of a store, which may lie under a URL too.

    Args:
        of_store: Whether it is one.
    """

    def __init__(self, of_store: bool):
        super().__init__(path_type=Path)
        self.of_store = of_store

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        place = place_of(value)
        if self.of_store:
            return place
        if place.folder is None:
            raise UssimError(f"{place}: only a store may lie under a URL; give a path")
        return super().convert(place.folder, param, ctx)


PATH, STORE = _Path(of_store=False), _Path(of_store=True)
CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

backend_option = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default="auto",
    show_default=True,
    help="What traces the rays; auto takes a GPU if there is one.",
)
device_option = click.option(
    "--device", default="auto", show_default=True, help="What runs the networks: auto, cpu, cuda or cuda:N."
)
address_option = click.option(
    "--address",
    metavar="auto|HOST:PORT",
    default=None,
    help="With --engine ray, a cluster that runs already.  [default: this machine]",
)
workers_option = click.option(
    "--workers", type=int, default=None, help="With --engine ray, how many.  [default: by GPUs, or by cores]"
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def seed_option(what: str, default: int | None = 0) -> Decorator:
    """``--seed``: all randomness of a command follows from it.

    Args:
        what: What is drawn from it, as in "all random numbers".
        default: None if a resumed run brings its own; the help then still says 0.
    """
    text = f"Seed of {what}." + ("  [default: 0]" if default is None else "")
    return click.option("--seed", type=int, default=default, show_default=default is not None, help=text)


def output_option(
    help: str, metavar: str, name: str = "output", required: bool = True, kind: click.ParamType = PATH
) -> Decorator:
    """``-o/--output``: what a command writes.

    Args:
        help: What is written.
        metavar: What it is, as in ``STORE.zarr`` or ``DIR``.
        name: Name of the command's parameter.
        required: False if the command knows another place.
        kind: ``STORE`` if it may be a URL.
    """
    return click.option(
        "-o", "--output", name, type=kind, required=required, metavar=metavar, help=help, callback=_outside_of_stores
    )


def local_or_ray(what: str) -> Decorator:
    """``--engine``, ``--address`` and ``--workers`` of what is done here or on a Ray cluster.

    Args:
        what: What is done, as in "Render".
    """
    engine = click.option(
        "--engine",
        type=click.Choice(("local", "ray")),
        default="local",
        show_default=True,
        help=f"{what} in this process, or by the workers of a Ray cluster.",
    )
    return lambda function: engine(address_option(workers_option(function)))


def require_ray(engine: str, address: str | None, workers: int | None) -> bool:
    """Whether the engine is Ray; refuse what only goes with it.

    Raises:
        click.UsageError: ``--address`` or ``--workers`` with another engine.
    """
    for option, value in (("--address", address), ("--workers", workers)):
        if value is not None and engine != "ray":
            raise click.UsageError(f"{option} goes with --engine ray")
    return engine == "ray"


def _outside_of_stores(_context: click.Context, _parameter: click.Parameter, path: Any) -> Any:
    """Refuse an output within a store, which would be damaged by it."""
    folder = place_of(path).folder if path is not None else None
    if folder is not None:
        store = next((parent for parent in folder.absolute().parents if os.path.isfile(parent / "zarr.json")), None)
        if store is not None:
            raise UssimError(f"{path} lies in the store {store}; choose a place outside of it")
    return path


def set_option(help: str) -> Decorator:
    """``--set KEY=VALUE``, any number of times: a setting that has no option of its own; parameter ``assignments``."""
    return click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help=help)


def version_option(program: str) -> Decorator:
    """``--version``: prints the program's name and the version of the package.

    Args:
        program: The name, as in ``ussim``; other programs of the package name it too.
    """

    def show(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
        if wanted:
            import ussim

            of_package = "" if program == "ussim" else ", of ussim"
            click.echo(f"{program}{of_package} {ussim.__version__}")
            context.exit()

    return click.option(
        "--version", is_flag=True, is_eager=True, expose_value=False, callback=show, help="Show the version and exit."
    )
