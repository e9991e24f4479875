"""``ussim view``: hold the probe."""

from __future__ import annotations

import socket
import threading
from importlib.util import find_spec
from pathlib import Path

import click

from cli.options import PATH, backend_option
from cli.program import command
from cli.say import say, say_warning
from ussim.errors import UssimError

_OPENVINO = ("openvino", "onnx", "onnxscript")
"""Where they are installed, a network runs faster on a CPU: the extra ``export``."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@command(example="ussim view\nussim view my_scene --generator none --port 8090")
@click.argument("scene_path", metavar="[SCENE]", type=PATH, required=False)
@click.option(
    "--generator",
    default="default",
    show_default=True,
    metavar="RUN|default|none",
    help="What enhances images: a run folder, the one that is shipped, or nothing.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that the page is served at.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Its port.")
@backend_option
def view(scene_path: Path | None, generator: str, host: str, port: int, backend: str) -> None:
    """Move a probe over a scene in your browser, and see its image.

    Without SCENE it is an anatomy of 22 weeks, built once and kept in the cache. Stop with Ctrl-C.
    """
    _require_free(host, port)
    enhancer = open_generator(generator)
    try:
        from cli.viewer.page import Page
    except ModuleNotFoundError as error:
        raise UssimError(f'the page needs {error.name}: pip install "ussim[view]"') from None
    from meshes.cache import cached_scene
    from ussim.scene.scene import Scene

    if scene_path is None:
        scene_path = cached_scene("demo", progress=say)
    scene = Scene.load(scene_path)
    if host not in _LOOPBACK:
        say_warning(f"whoever reaches {host}:{port} over the network can move the probe, upload files and see all")
    page = Page(scene, host, port, enhancer, backend)
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"http://{shown}:{page.port}  (a first image may take a minute to compile; stop with Ctrl-C)")
    try:
        threading.Event().wait()
    finally:
        page.close()


def open_generator(name: str) -> object:
    """What enhances, by the fastest engine that is installed; None for ``none``.

    Raises:
        UssimError: No such run, or an extra is missing.
    """
    if name == "none":
        return None
    try:
        from translate.training.devices import choose_device
        from translate.use.inference import Generator
    except ModuleNotFoundError as error:
        raise UssimError(
            f'a generator needs {error.name}: pip install "ussim[view]", or say --generator none'
        ) from None
    is_faster = choose_device("auto").type == "cpu" and all(find_spec(package) for package in _OPENVINO)
    return Generator.load(name, engine="openvino" if is_faster else "torch")


def _require_free(host: str, port: int) -> None:
    """Refuse a port that is taken; the page would go to another one.

    Raises:
        UssimError: It is, or the host is no address of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError as error:
        raise UssimError(
            f"--host {host} --port {port}: cannot listen there: {error.strerror or error}; choose another --port"
        ) from None
