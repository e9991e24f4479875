"""One update of both networks: their optimisers, losses, precision and moving average."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from translate.data.channels import Encoder
from translate.data.crops import Batch
from translate.model import checkpoint, losses
from translate.model.networks import PatchDiscriminator, make_generator
from translate.settings import TrainSettings
from translate.training.adam import take_over_adam
from translate.training.devices import Team
from ussim.errors import UssimError

LOSSES = ("discriminator", "adversarial", "fidelity", "features", "texture", "histogram", "pkl", "ssim")
"""What an update reports, in this order."""


class Trainer:
    """Both networks, their optimisers and the moving average of the generator.

    Attributes:
        iteration: Updates done.
        seconds: Time spent on them.
        generator: The network that is trained.
        discriminator: Its opponent.
        average: The generator with averaged weights, in evaluation mode.
    """

    def __init__(self, settings: TrainSettings, encoder: Encoder, team: Team):
        self.settings, self.team = settings, team
        self.iteration, self.seconds = 0, 0.0
        torch.manual_seed(settings.seed)  # the same weights in every process
        device, on_gpu = team.device, team.device.type == "cuda"
        self.generator: nn.Module = make_generator(settings, encoder.channels).to(device)
        self.discriminator = PatchDiscriminator(encoder.channels + 1, settings.ndf, settings.d_layers).to(device)
        if team.size > 1 and on_gpu:
            self.generator = nn.SyncBatchNorm.convert_sync_batchnorm(self.generator)
        self.generator.train(not settings.freeze_norm)  # it has no other layers that tell training from use
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        rates: dict[str, Any] = {
            "lr": settings.learning_rate,
            "betas": (settings.beta1, settings.beta2),
            "fused": on_gpu or None,
        }
        self.generator_adam = torch.optim.Adam(self.generator.parameters(), **rates)
        self.discriminator_adam = torch.optim.Adam(self.discriminator.parameters(), **rates)

        bfloat16 = settings.precision == "bfloat16" or (settings.precision == "auto" and on_gpu)
        self._autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=bfloat16)
        if bfloat16 and on_gpu:
            torch.set_float32_matmul_precision("high")
            torch.backends.cudnn.benchmark = True
        # in the generator's step the discriminator is fixed: no gradients to exchange, so without DDP
        self._generate = self._compiled(self._distributed(self.generator))
        self._judge = self._compiled(self._distributed(self.discriminator))
        self._criticise = self._compiled(self.discriminator) if team.size > 1 else self._judge

    def _distributed(self, network: nn.Module) -> nn.Module:
        if self.team.size == 1:
            return network
        ids = [self.team.device.index] if self.team.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=ids)

    def _compiled(self, network: nn.Module) -> Callable[..., Any]:
        wanted = self.settings.compile
        compiles = wanted == "yes" or (wanted == "auto" and self.team.device.type == "cuda")
        return torch.compile(network) if compiles else network

    def step(self, batch: Batch) -> Tensor:
        """One update of both networks; returns the losses before it, on the device."""
        rate = self.settings.rate_at(self.iteration)
        for group in (*self.generator_adam.param_groups, *self.discriminator_adam.param_groups):
            group["lr"] = rate
        target = batch.target * batch.mask
        with self._autocast:
            output = self._generate(batch.inputs)
        output = output.float() * batch.mask
        adversarial = self.settings.adversarial_weight > 0 or self.settings.feature_matching > 0
        zero = target.new_zeros(())
        discriminator = self._update_discriminator(batch.inputs, output.detach(), target) if adversarial else zero
        parts = self._update_generator(batch, output, target, adversarial)
        self._update_average()
        self.iteration += 1
        return torch.stack([discriminator, *parts])

    def _update_discriminator(self, inputs: Tensor, output: Tensor, target: Tensor) -> Tensor:
        self.discriminator.requires_grad_(True)
        # instance norm treats each image alone, so both halves may go through together
        pairs = torch.cat([torch.cat([inputs, target], 1), torch.cat([inputs, output], 1)])
        with self._autocast:
            logits, _ = self._judge(pairs)
        real, fake = logits.float().chunk(2)
        loss = losses.discriminator(real, fake)
        self.discriminator_adam.zero_grad()
        loss.backward()
        self.discriminator_adam.step()
        return loss.detach()

    def _update_generator(self, batch: Batch, output: Tensor, target: Tensor, adversarial: bool) -> tuple[Tensor, ...]:
        settings, inputs = self.settings, batch.inputs
        fidelity = losses.fidelity(output, target)
        fooling = features = texture = histogram = pkl = ssim = fidelity.new_zeros(())
        if settings.texture_weight > 0:
            texture = losses.texture_distance(output, target, batch.mask)
        if settings.histogram_weight > 0:
            histogram = losses.histogram_distance(output, target, batch.mask)
        if settings.pkl_weight > 0:
            pkl = losses.histogram_divergence(output, target, batch.mask)
        if settings.ssim_weight > 0:
            ssim = losses.dissimilarity(output, target, batch.mask)
        if adversarial:
            self.discriminator.requires_grad_(False)
            with self._autocast:
                logits, fake = self._criticise(torch.cat([inputs, output], 1))
                fooling = losses.adversarial(logits.float(), True)
                if settings.feature_matching > 0:
                    with torch.no_grad():
                        _, real = self._criticise(torch.cat([inputs, target], 1))
                    features = losses.feature_distance(fake, real).float()
        loss = (
            settings.adversarial_weight * fooling
            + settings.l1_weight * fidelity
            + settings.feature_matching * features
            + settings.texture_weight * texture
            + settings.histogram_weight * histogram
            + settings.pkl_weight * pkl
            + settings.ssim_weight * ssim
        )
        self.generator_adam.zero_grad()
        loss.backward()
        self.generator_adam.step()
        return tuple(loss.detach() for loss in (fooling, fidelity, features, texture, histogram, pkl, ssim))

    @torch.no_grad()
    def _update_average(self) -> None:
        # in the first iterations a shorter memory: the initial weights are noise
        decay = min(self.settings.ema, (1 + self.iteration) / (10 + self.iteration))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), weight=1 - decay)
        for kept, current in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            kept.copy_(current)

    def is_finite(self) -> bool:
        """Whether all weights are finite."""
        return all(
            bool(torch.isfinite(parameter).all())
            for network in (self.generator, self.discriminator)
            for parameter in network.parameters()
        )

    def state(self) -> dict[str, Any]:
        """Everything the next iteration depends on."""
        return {
            "iteration": self.iteration,
            "seconds": self.seconds,
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "generator_adam": self.generator_adam.state_dict(),
            "discriminator_adam": self.discriminator_adam.state_dict(),
            "rng": torch.get_rng_state(),
        }

    def begin_as(self, network: nn.Module) -> None:
        """Take over the weights of a generator of the same kind, which its average begins with too."""
        for own in (self.generator, self.average):
            own.load_state_dict(network.state_dict())

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a state.

        Raises:
            UssimError: It belongs to other networks, or is damaged.
        """
        for name in ("generator", "discriminator", "average"):
            checkpoint.fill(getattr(self, name), state[name], f"checkpoint, {name}")
        for name in ("generator_adam", "discriminator_adam"):
            take_over_adam(getattr(self, name), state[name], f"checkpoint, {name}")
        try:
            torch.set_rng_state(state["rng"])
        except (RuntimeError, TypeError) as error:
            raise UssimError(f"checkpoint, rng: damaged: {error}") from None
        self.iteration, self.seconds = state["iteration"], state["seconds"]
