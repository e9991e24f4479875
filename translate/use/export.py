"""The generator for other runtimes: ONNX, OpenVINO and plain safetensors, each compared with torch when made."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from translate.model import checkpoint
from translate.model.checkpoint import load_network
from translate.model.networks import UNet
from translate.settings import Run
from ussim.errors import UssimError
from ussim.files import file_digest, user_cache_folder, whole_file, write_text

FORMATS = ("onnx", "openvino", "safetensors")
TOLERANCE = 1e-3
"""Allowed difference from torch on [-1, 1]: an eighth of a grey level."""
FILES = {"onnx": "generator.onnx", "openvino": "generator.xml", "safetensors": "export.safetensors"}
_DIGEST = "weights_sha256"


@dataclass(frozen=True)
class Export:
    """An exported generator.

    Attributes:
        path: The file.
        difference: Largest difference from torch on [-1, 1], over all images tried.
    """

    path: Path
    difference: float


def export(run: Path, format: str, output: Path | None = None, which: str = "ema") -> Export:
    """Export the generator of a run and compare it with torch.

    Args:
        run: The run folder.
        format: ``onnx``, ``openvino`` or ``safetensors``.
        output: File to write; default: a file in the run folder.
        which: ``ema`` or ``last``.

    Raises:
        UssimError: No such format or run, a package that is missing, or a result that differs from torch.
    """
    if format not in FORMATS:
        raise UssimError(f"format {format!r}: must be one of {', '.join(FORMATS)}")
    stored = Run.load(run)
    network, digest = load_network(run, stored, which)
    path = output or run / FILES[format]
    wanted = Path(FILES[format]).suffix
    if path.suffix != wanted:
        raise UssimError(f"{path}: a file of format {format} ends in {wanted}")
    if format == "safetensors":
        about = {"run": stored.model_dump_json(), _DIGEST: digest}
        checkpoint.save_weights(path, network, about)
        other = load_network(run, stored, which)[0]
        checkpoint.fill(other, checkpoint.load_weights(path), path)
        return Export(path, _compare(network, other, stored, path))
    write = write_onnx if format == "onnx" else write_openvino
    write(network, stored, path, digest)
    engine = OnnxEngine(path) if format == "onnx" else OpenVinoEngine(path)
    return Export(path, _compare(network, engine, stored, path))


def cache_of(digest: str) -> Path:
    """Where exports of weights lie that are not to be written beside them: in the user's cache, by their digest.

    Raises:
        UssimError: It cannot be made.
    """
    folder = user_cache_folder() / "exports" / digest[:20]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UssimError(f"{folder}: cannot be made: {error.strerror or error}; use --engine torch") from None
    return folder


def open_engine(folder: Path, engine: str, network: UNet, run: Run, digest: str, which: str) -> Any:
    """An engine for the weights of a run; they are exported if that has not been done yet.

    Raises:
        UssimError: A package that is missing, or a result that differs from torch.
    """
    suffix = "" if which == "ema" else f"_{which}"
    name = Path(FILES[engine])
    path = folder / f"{name.stem}{suffix}{name.suffix}"
    kind = OnnxEngine if engine == "onnx" else OpenVinoEngine
    if not _is_as_written(path) or kind.digest(path) != digest:
        write = write_onnx if engine == "onnx" else write_openvino
        write(network, run, path, digest)
        _compare(network, kind(path), run, path)
    return kind(path)


def _seal(*files: Path) -> None:
    """Write the digests of files beside the first, as ``sha256sum --check`` takes them."""
    lines = [f"{file_digest(file)}  {file.name}\n" for file in files]
    write_text(files[0].with_name(files[0].name + ".sha256"), "".join(lines))


def _is_as_written(path: Path) -> bool:
    """Whether an export is there, and each of its files what was written."""
    try:
        lines = path.with_name(path.name + ".sha256").read_text(encoding="utf-8").splitlines()
        digests = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
        return path.name in digests and all(
            file_digest(path.with_name(Path(name).name)) == digest for name, digest in digests.items()
        )
    except (OSError, ValueError):
        return False


# Engines ----------------------------------------------------------------------------------------------


class OnnxEngine:
    """Runs an exported generator with ONNX Runtime on the CPU."""

    def __init__(self, path: Path):
        runtime = _package("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    @staticmethod
    def digest(path: Path) -> str:
        """Which weights a file was made from."""
        model = _package("onnx").load(str(path), load_external_data=False)
        return next((prop.value for prop in model.metadata_props if prop.key == _DIGEST), "")

    def __call__(self, inputs: Tensor) -> Tensor:
        """Float32 (N, C, H, W) → (N, 1, H, W)."""
        return torch.from_numpy(self._session.run(None, {"inputs": inputs.numpy()})[0])


class OpenVinoEngine:
    """Runs an exported generator with OpenVINO on the CPU; compiled once for each shape."""

    def __init__(self, path: Path):
        openvino = _package("openvino")
        self._core = openvino.Core()
        self._core.set_property(
            "CPU",
            {
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": "f32",
            },
        )
        self._path = path
        self._compiled: dict[tuple[int, ...], Any] = {}

    @staticmethod
    def digest(path: Path) -> str:
        """Which weights a file was made from."""
        model = _package("openvino").Core().read_model(str(path))
        return model.get_rt_info([_DIGEST]).value if model.has_rt_info([_DIGEST]) else ""

    def __call__(self, inputs: Tensor) -> Tensor:
        """Float32 (N, C, H, W) → (N, 1, H, W)."""
        shape = tuple(inputs.shape)
        if shape not in self._compiled:
            model = self._core.read_model(str(self._path))
            model.reshape(shape)  # a fixed shape runs faster than a free one
            self._compiled[shape] = self._core.compile_model(model, "CPU")
        return torch.from_numpy(self._compiled[shape](inputs.numpy())[0].copy())


# Writing ----------------------------------------------------------------------------------------------


def write_onnx(network: UNet, run: Run, path: Path, digest: str) -> None:
    """Write a network as ONNX, with free batch, height and width."""
    onnx = _package("onnx")
    _package("onnxscript")
    multiple = run.train.multiple
    sides = {2: multiple * torch.export.Dim("h", max=64), 3: multiple * torch.export.Dim("w", max=64)}
    example = torch.zeros(1, network.in_channels, 2 * multiple, 3 * multiple)
    with whole_file(path) as scratch:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _quiet("torch.onnx"):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network.cpu(),
                (example,),
                str(scratch),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim.STATIC, **sides},),
                input_names=["inputs"],
                output_names=["image"],
                external_data=False,
                verbose=False,
            )
        model = onnx.load(str(scratch))
        model.metadata_props.add(key=_DIGEST, value=digest)
        model.metadata_props.add(key="run", value=run.model_dump_json())
        onnx.save(model, str(scratch))
    _seal(path)


def write_openvino(network: UNet, run: Run, path: Path, digest: str) -> None:
    """Write a network as OpenVINO's pair of files, float32."""
    openvino = _package("openvino")
    with tempfile.TemporaryDirectory() as folder:
        between = Path(folder) / "generator.onnx"
        write_onnx(network, run, between, digest)
        model = openvino.convert_model(str(between))
        model.set_rt_info(digest, [_DIGEST])
        openvino.save_model(model, str(between.with_suffix(".xml")), compress_to_fp16=False)
        for suffix in (".bin", ".xml"):  # the description last: it says which weights lie beside it
            with whole_file(path.with_suffix(suffix)) as scratch:
                shutil.copyfile(between.with_suffix(suffix), scratch)
    _seal(path, path.with_suffix(".bin"))


def _compare(network: UNet, engine: Any, run: Run, path: Path) -> float:
    """Largest difference between two runs of a network, on images of two sizes.

    Raises:
        UssimError: They differ by more than rounding.
    """
    multiple = run.train.multiple
    random = torch.Generator().manual_seed(0)
    difference = 0.0
    for height, width in ((2 * multiple, 3 * multiple), (multiple * 3, multiple * 2)):
        inputs = torch.rand((1, network.in_channels, height, width), generator=random) * 2 - 1
        with torch.inference_mode():
            difference = max(difference, float((engine(inputs) - network(inputs)).abs().max()))
    if not difference <= TOLERANCE:
        raise UssimError(f"{path}: differs from torch by {difference:g} on [-1, 1]; allowed is {TOLERANCE:g}")
    return difference


def _package(name: str) -> Any:
    from importlib import import_module

    if name == "openvino":
        # it would report to a server at once that it was imported; without its reporter it does not
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        return import_module(name)
    except ImportError:
        raise UssimError(f"{name} is not installed: pip install 'ussim[export]'") from None


@contextlib.contextmanager
def _quiet(name: str) -> Any:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
