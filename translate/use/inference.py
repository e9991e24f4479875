"""Using a trained generator: images and maps of any size in, enhanced images of the same size out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from translate.data.acoustics import Acoustics, acoustics_table
from translate.data.channels import Encoder, PolarGrid, to_grey
from translate.data.store import StoreReader
from translate.model.checkpoint import load_mask, load_network
from translate.model.networks import UNet, streamline_for_cpu
from translate.model.shipped import DEFAULT, is_shipped, require_fit, run_folder
from translate.settings import Run, TrainSettings
from translate.training.devices import choose_device
from ussim.errors import UssimError

ENGINES = ("torch", "onnx", "openvino")


class Engine(Protocol):
    """Runs the network: float32 (N, C, H, W) → (N, 1, H, W), on the device it was made for."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """Run it."""
        ...


class Generator:
    """A trained generator.

    Use ``Generator.load``, or ``Generator.default`` for the one that is shipped.

    Attributes:
        run: Settings and data of its training.
        network: The network, in evaluation mode.
        device: Where it runs.
        engine: Name of what runs it.
        digest: SHA-256 of its weights.
        mask: The mask of the store it was trained on, uint8 of shape (H, W); None if the run holds none.
        is_shipped: Whether it came with the package, and so may meet any store.
    """

    def __init__(
        self,
        run: Run,
        network: UNet,
        device: torch.device,
        *,
        engine: str = "torch",
        call: Engine | None = None,
        digest: str = "",
        mask: np.ndarray | None = None,
        is_shipped: bool = False,
    ):
        self.run, self.network, self.device, self.engine = run, network, device, engine
        self.digest, self.mask, self.is_shipped = digest, mask, is_shipped
        self.encoder = Encoder(run.train, run.data)
        self.run_network: Engine = call or TorchEngine(network, device)

    @classmethod
    def default(cls, device: str = "auto", engine: str = "torch") -> Generator:
        """The shipped generator; see ``translate.model.shipped``."""
        return cls.load(DEFAULT, device, engine)

    @classmethod
    def load(cls, run: str | Path, device: str = "auto", engine: str = "torch", checkpoint: str = "ema") -> Generator:
        """The generator of a run folder.

        Args:
            run: The folder, or ``default`` for the shipped generator.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ``onnx`` and ``openvino`` run on the CPU.
            engine: ``torch``, ``onnx`` or ``openvino``; the latter two export the weights once, into the run folder.
            checkpoint: ``ema`` for averaged weights, ``last`` for those of the last checkpoint.

        Raises:
            UssimError: No run there, weights that do not fit its settings, no such device, or an engine that is not
                installed.
        """
        folder = run_folder(run)
        if engine not in ENGINES:
            raise UssimError(f"engine {engine!r}: must be one of {', '.join(ENGINES)}")
        where = choose_device(device if engine == "torch" or device != "auto" else "cpu")
        if engine != "torch" and where.type != "cpu":
            raise UssimError(f"engine {engine} runs on the CPU here, not on {device}")
        stored = Run.load(folder)
        network, digest = load_network(folder, stored, checkpoint)
        network.to(where)
        call: Engine | None = None
        if engine != "torch":
            from translate.use import export

            place = export.cache_of(digest) if is_shipped(folder) else folder
            call = export.open_engine(place, engine, network, stored, digest, checkpoint)
        return cls(
            stored, network, where, engine=engine, call=call, digest=digest, mask=load_mask(folder),
            is_shipped=is_shipped(folder),
        )  # fmt: skip

    @property
    def inputs(self) -> str:
        """What it sees: LM, LMS, LMSA or SA."""
        return self.run.train.inputs

    @property
    def settings(self) -> TrainSettings:
        """The settings it was trained with."""
        return self.run.train

    def view(self, reader: StoreReader) -> View:
        """How it sees the frames of a store.

        Raises:
            UssimError: The store has tissues that it has not been trained on, or does not fit the shipped generator.
        """
        geometry = PolarGrid(reader.image, reader.probe)
        if self.is_shipped:
            require_fit(self.run, reader.image, reader.probe["kind"], str(reader.place))
        return View(self, geometry, self.tissue_table(reader.tissues, str(reader.place)), reader.acoustics)

    def tissue_table(self, tissues: Sequence[str], where: str) -> np.ndarray | None:
        """From tissue ids to those it was trained on, uint8 of shape (256,); None if equal.

        Args:
            tissues: Names, position + 1 is the id.
            where: What has them, for people.

        Raises:
            UssimError: It has not been trained on all of them, and knows them by their number.
        """
        known = self.run.data.tissues
        if "S" not in self.inputs or tuple(tissues) == known or self.settings.segmentation == "acoustic":
            return None
        strange = [name for name in tissues if name not in known]
        if strange:
            raise UssimError(
                f"{where} has tissues that the generator has not been trained on: {', '.join(strange)}; "
                f"it knows {', '.join(known)}"
            )
        table = np.zeros(256, np.uint8)
        table[1 : len(tissues) + 1] = [known.index(name) + 1 for name in tissues]
        return table

    def enhance(
        self,
        lq: Any,
        mask: Any,
        segmentation: Any = None,
        attenuation: Any = None,
        *,
        origin: Any = None,
        geometry: PolarGrid | None = None,
        acoustics: Sequence[Acoustics] | None = None,
    ) -> Any:
        """Translate images.

        All are numpy arrays, torch tensors or arrays on a GPU (``__cuda_array_interface__``); those that are on the
        generator's device already are not copied. Images are treated one by one, so that what comes out
        does not depend on what else goes in.

        Args:
            lq: Low-quality images, uint8 of shape (N, H, W) or (H, W), any H × W; None for SA.
            mask: 1 inside the sector, of shape (H, W) or (N, H, W).
            segmentation: Tissue ids as in training, uint8, of the images' shape; needed for LMS, LMSA and SA.
            attenuation: Normalised attenuation, float, of the images' shape; needed for LMSA and SA.
            origin: Row and column of the first pixel in the full field of view, two numbers or of shape (N, 2). Only
                generators with polar channels use it, and they need it for images of another size than in training.
            geometry: Pixel grid and probe, for a generator with polar channels; default: those of the training.
            acoustics: What the tissues are whose ids the segmentation holds, for a generator that sees that;
                default: those of the training.

        Returns:
            Enhanced images: uint8, of the images' shape and kind (a torch tensor for arrays on a GPU), 0 outside
            the mask.

        Raises:
            UssimError: An input is missing or does not fit.
        """
        given = {"lq": lq, "segmentation": segmentation, "attenuation": attenuation}
        lead: Any = next((values for values in given.values() if values is not None), None)
        for name in self.encoder.arrays:
            if given[name] is None:
                raise UssimError(f"a generator trained on {self.inputs} needs {name}")
        known = self.run.data.acoustics if acoustics is None else acoustics
        highest = len(known) if self.settings.segmentation == "acoustic" else len(self.run.data.tissues)
        maps = {name: self._frames(name, given[name], highest) for name in self.encoder.arrays}
        table = torch.from_numpy(acoustics_table(known)).to(self.device)
        shape = next(iter(maps.values())).shape
        mask = self._mask(mask, shape)
        for name, values in maps.items():
            if values.shape != shape:
                raise UssimError(f"{name} has shape {tuple(values.shape)}, expected {tuple(shape)}")
        corners = self._corners(origin, shape)
        images = torch.empty(shape, dtype=torch.uint8, device=self.device)
        for index in range(shape[0]):
            one = {name: values[index : index + 1] for name, values in maps.items()}
            images[index] = self._one(one, mask[index], corners[index], geometry, table)
        images = images[0] if np.ndim(lead) == 2 else images
        return images.cpu().numpy() if isinstance(lead, np.ndarray) else images

    # Steps ----------------------------------------------------------------------------------------
    def _one(
        self,
        maps: dict[str, Tensor],
        mask: Tensor,
        corner: tuple[int, int],
        geometry: PolarGrid | None,
        acoustics: Tensor,
    ) -> Tensor:
        height, width = mask.shape
        multiple = self.settings.multiple
        pad = (0, -width % multiple, 0, -height % multiple)
        padded = {name: F.pad(self.encoder.as_bytes(name, values), pad) for name, values in maps.items()}
        full = F.pad(mask, pad)
        polar = None
        if self.settings.polar:
            grid = geometry or PolarGrid(self.run.data.image, self.run.data.probe)
            (row, column), (rows, columns) = corner, full.shape
            polar = grid.patch(row, column, rows, columns, self.device)[None]
        inputs = self.encoder.encode(padded, full[None], polar, acoustics)
        output = self.run_network(inputs)[0, 0, :height, :width].float()
        return to_grey(output) * (mask > 0)

    def _frames(self, name: str, values: Any, highest: int) -> Tensor:
        tensor = self.on_device(values)
        if tensor.ndim not in (2, 3) or 0 in tensor.shape:
            raise UssimError(f"{name} has shape {tuple(tensor.shape)}, expected (N, H, W) or (H, W)")
        if (name == "attenuation") != tensor.is_floating_point() or (
            name != "attenuation" and tensor.dtype != torch.uint8
        ):
            kind = "float" if name == "attenuation" else "uint8"
            raise UssimError(f"{name} is {tensor.dtype}".replace("torch.", "") + f", expected {kind}")
        if name == "segmentation" and int(tensor.max()) > highest:
            raise UssimError(f"segmentation has id {int(tensor.max())}; the generator knows {highest} tissues")
        return tensor if tensor.ndim == 3 else tensor[None]

    def _mask(self, mask: Any, shape: torch.Size) -> Tensor:
        tensor = (self.on_device(mask) > 0).to(torch.uint8)
        if tensor.shape not in (shape[1:], shape):
            raise UssimError(f"mask has shape {tuple(tensor.shape)}, expected {tuple(shape[1:])}")
        return tensor.expand(shape)

    def _corners(self, origin: Any, shape: torch.Size) -> list[tuple[int, int]]:
        if origin is None:
            size = (self.run.data.image.height, self.run.data.image.width)
            if self.settings.polar and tuple(shape[1:]) != size:
                raise UssimError(
                    f"the generator has polar channels: for images of {shape[1]} × {shape[2]} px instead of "
                    f"{size[0]} × {size[1]}, say where they lie (origin)"
                )
            origin = (0, 0)
        corners = np.broadcast_to(np.asarray(origin, np.int64), (shape[0], 2))
        return [(int(row), int(column)) for row, column in corners]

    def on_device(self, values: Any) -> Tensor:
        """An array as a tensor on the generator's device."""
        if isinstance(values, np.ndarray):
            # maps from a store are read-only views, which torch warns about though nothing writes to them
            values = torch.from_numpy(values if values.flags.writeable else values.copy())
        return torch.as_tensor(values, device=self.device)


@dataclass(frozen=True)
class View:
    """A generator and a store: whole frames or windows of them, with ids and geometry brought in line.

    Attributes:
        generator: The generator.
        geometry: Pixel grid and probe of the store.
        table: From the store's tissue ids to the generator's; None if they are the same.
        acoustics: What the store's tissues are.
    """

    generator: Generator
    geometry: PolarGrid
    table: np.ndarray | None
    acoustics: Sequence[Acoustics]

    def enhance(self, frame: dict[str, Any], mask: Any, origin: tuple[int, int] = (0, 0)) -> Any:
        """Translate a frame, or a window of it.

        Args:
            frame: As ``StoreReader.frame`` gives it, or the same window of each of its arrays; or arrays on a GPU.
            mask: The mask, or the same window of it.
            origin: Row and column of the window's first pixel.

        Returns:
            The enhanced image, uint8 of the same shape.
        """
        maps = {name: frame[name] for name in self.generator.encoder.arrays}
        if self.table is not None:
            labels, on_device = maps["segmentation"], self.generator.on_device
            is_here = isinstance(labels, np.ndarray)
            maps["segmentation"] = self.table[labels] if is_here else on_device(self.table)[on_device(labels).int()]
        lq = maps.pop("lq", None)
        return self.generator.enhance(lq, mask, origin=origin, geometry=self.geometry, acoustics=self.acoustics, **maps)


class TorchEngine:
    """Runs the network with torch: float32 on a CPU; bfloat16, compiled into CUDA graphs, on a GPU.

    On a CPU it takes the network over and streamlines it.
    """

    def __init__(self, network: UNet, device: torch.device):
        self._device = device
        self._network = streamline_for_cpu(network) if device.type == "cpu" else network.to(device).eval()

    @cached_property
    def _compiled(self) -> Any:
        torch.set_float32_matmul_precision("high")
        return torch.compile(self._network, mode="reduce-overhead", dynamic=False)

    @torch.inference_mode()
    def __call__(self, inputs: Tensor) -> Tensor:
        """Run it."""
        if self._device.type == "cpu":
            return self._network(inputs.contiguous(memory_format=torch.channels_last))
        torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            return self._compiled(inputs)
