"""The LightningModule of the demixer: transform, network, masks, losses, and separation of signals of any length."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import lightning as L
import torch
from torch import Tensor

from mixgraph.checkpoints import kind_of, loaded, read_checkpoint
from mixgraph.demixing.batches import Excerpt, StemBatch
from mixgraph.demixing.losses import combination_error, mask_sum_error, waveform_error_db
from mixgraph.demixing.masks import MaskKind, apply_masks, masks_from_logits
from mixgraph.demixing.network import DemixingNetwork, NetworkSettings
from mixgraph.demixing.published_network import CONTEXT_SLICES, PublishedNetwork
from mixgraph.demixing.scores import song_sdr_db
from mixgraph.demixing.settings import (
    FOUR_TARGETS,
    Architecture,
    DemixerLosses,
    DemixerOptimizer,
    DemixerTransform,
    Performance,
    PublishedSettings,
    WienerUse,
)
from mixgraph.demixing.stretches import separate_pieces
from mixgraph.demixing.wiener import wiener_filter
from mixgraph.dsp.slicqt import RaggedSpectrum, SliCQT
from mixgraph.system.files import plain_json

CHECKPOINT_KEY = "mixgraph_demixer"
STRETCH_SECONDS = 10.0
_READ_EVERY = 50  # steps on a GPU, where the answer waits for all steps before
_TINY = 1e-12


class Demixer(L.LightningModule):
    """Takes a mix apart into its targets by masks on the sliced constant-Q transform.

    - `forward(mix)`: (batch, channels, time) to (batch, targets, channels, time), all at once, differentiable.
    - `separate(mix)`: (channels, time) to (targets, channels, time), for signals of any length: computed in stretches
      that see enough of their neighbours to equal the whole (where a Wiener filter is on, its statistics are those of a
      stretch). `separate_stretches` yields them one after the other.
    - `masks(mix_spectrum)`: coefficients (batch, channels, slices, T) to masks (batch, targets, channels, slices, T);
      `estimates(mix_spectrum)` to coefficients of every target, filtered where a Wiener filter is on.
    - `targets`, `sample_rate`, `channels`; `latency_samples` of a causal network, None for another.

    Checkpoints hold the settings as JSON, and no code; see `load_demixer`.

    Args:
        targets: names of what the mix is taken apart into.
        transform: the transform.
        architecture: `"ours"`, the network of mixgraph (`DemixingNetwork`), or `"published"`, that of xumx-sliCQ-V2
            (`PublishedNetwork`).
        network: size of our network.
        published: size of the published network.
        masks: `"softmax"`, whose masks add up to 1, or `"sigmoid"`.
        magnitude_power: the network sees magnitudes to this power, from above 0 to 1; lower ones show what is quiet.
        wiener: whether estimates go through a Wiener filter: `"never"`, when `"separating"`, or `"always"`, in
            training, too.
        losses: the weights of the losses.
        optimizer: the settings of AdamW.
        performance: how it is computed.
    """

    channels = 2

    def __init__(
        self,
        targets: Sequence[str] = FOUR_TARGETS,
        transform: DemixerTransform | None = None,
        architecture: Architecture = "ours",
        network: NetworkSettings | None = None,
        published: PublishedSettings | None = None,
        masks: MaskKind = "softmax",
        magnitude_power: float = 0.5,
        wiener: WienerUse = "never",
        losses: DemixerLosses | None = None,
        optimizer: DemixerOptimizer | None = None,
        performance: Performance | None = None,
    ) -> None:
        super().__init__()
        _check(targets, architecture, masks, magnitude_power, wiener)
        self.targets, self.architecture, self.mask_kind = tuple(targets), architecture, masks
        self.magnitude_power, self.wiener = magnitude_power, wiener
        self.transform_settings = transform or DemixerTransform()
        self.network_settings, self.published_settings = network or NetworkSettings(), published or PublishedSettings()
        self.losses, self.optimizer_settings = losses or DemixerLosses(), optimizer or DemixerOptimizer()
        self.performance = performance or Performance()
        self.transform: SliCQT = self.transform_settings.make()
        # A length of slices that was left to the transform is written out, for checkpoints.
        self.transform_settings = replace(self.transform_settings, slice_samples=self.transform.slice_samples)
        self.transform.check_finite = False  # training checks its loss, and files are checked when they are read
        layout, num_targets = self.transform.layout, len(self.targets)
        self.network: DemixingNetwork | PublishedNetwork
        if architecture == "ours":
            self.network = DemixingNetwork(layout, num_targets, self.channels, self.network_settings)
        else:
            sizes = self.published_settings
            self.network = PublishedNetwork(layout, num_targets, self.channels, sizes.hidden, sizes.inner)
        if self.performance.channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._run_network = torch.compile(self._logits) if self.performance.compile else self._logits
        self._broken: Tensor | None = None  # whether a loss or a gradient was not finite, on the device
        self._terms: dict[str, Tensor] = {}
        self._songs: tuple[str, ...] = ()
        self._validation: list[list[float | None]] = []

    @property
    def sample_rate(self) -> int:
        """The sample rate of all signals, in Hz."""
        return self.transform.sample_rate

    @property
    def is_causal(self) -> bool:
        """Whether no mask depends on a later slice."""
        return self.architecture == "ours" and self.network_settings.causal

    @property
    def latency_samples(self) -> int | None:
        """The latency of a causal network, None of another: no output sample depends on a sample so far after it.

        Half a slice and a slope of its window: the window is zero beyond. With the default slopes, .75 slices.
        """
        return self.transform.hop_samples + self.transform.layout.transition if self.is_causal else None

    @property
    def context_samples(self) -> int:
        """Samples before, and after, a sample of the output on which it depends at most."""
        slices = self.network_settings.context_slices if self.architecture == "ours" else CONTEXT_SLICES
        return (slices + 1) * self.transform.hop_samples

    # From mix to targets.

    def masks(self, mix: RaggedSpectrum) -> RaggedSpectrum:
        """Predicts masks, (batch, targets, channels, slices, T), of coefficients, (batch, channels, slices, T)."""
        return self.masks_by(self._run_network, mix)

    def masks_by(self, network: Callable[[Tensor], Tensor], mix: RaggedSpectrum) -> RaggedSpectrum:
        """Predicts masks with another way to compute the network's logits from what it sees."""
        seen = self.seen(mix.flat.real.square() + mix.flat.imag.square())
        if self.performance.precision == "bfloat16":
            with torch.autocast(seen.device.type, torch.bfloat16):
                logits = network(seen)
        else:
            logits = network(seen)
        return masks_from_logits(RaggedSpectrum(logits, mix.layout), self.mask_kind)

    def seen(self, power: Tensor) -> Tensor:
        """What the network sees of squared magnitudes."""
        return (power + _TINY).pow(self.magnitude_power / 2)

    def _logits(self, seen: Tensor) -> Tensor:
        logits: RaggedSpectrum = self.network(RaggedSpectrum(seen, self.transform.layout))
        return logits.flat

    def estimates(self, mix: RaggedSpectrum) -> RaggedSpectrum:
        """Predicts the coefficients of every target, (batch, targets, channels, slices, T)."""
        return self._filtered(apply_masks(self.masks(mix), mix), mix)

    def _filtered(self, estimates: RaggedSpectrum, mix: RaggedSpectrum) -> RaggedSpectrum:
        filters = self.wiener == "always" or (self.wiener == "separating" and not self.training)
        return wiener_filter(estimates, mix) if filters else estimates

    def forward(self, mix: Tensor) -> Tensor:
        """Takes mixes apart, (batch, channels, time) to (batch, targets, channels, time).

        Raises:
            ValueError: another shape or number of channels, or values that are not finite.
        """
        if mix.dim() != 3 or mix.shape[1] != self.channels or mix.shape[-1] == 0:
            raise ValueError(f"mix: (batch, {self.channels}, time) is needed, got {tuple(mix.shape)}")
        return self.transform.inverse(self.estimates(self.transform(mix)), mix.shape[-1])

    def separate(self, mix: Tensor) -> Tensor:
        """Takes a mix of any length apart, (channels, time) to (targets, channels, time), on the mix's device.

        A mix of one channel is taken as two equal ones, and gives one channel.

        Raises:
            ValueError: another shape or number of channels, or values that are not finite.
        """
        if mix.dim() != 2 or mix.shape[0] not in (1, self.channels) or mix.shape[1] == 0:
            raise ValueError(f"mix: (1 or {self.channels}, time) is needed, got {tuple(mix.shape)}")
        if not bool(mix.isfinite().all()):
            raise ValueError("mix: finite samples are needed, got NaN or infinity")
        out = mix.new_empty(len(self.targets), *mix.shape)
        for start, stretch in self.separate_stretches(mix):
            out[..., start : start + stretch.shape[-1]] = stretch.mean(1, keepdim=True) if len(mix) == 1 else stretch
        return out

    def separate_stretches(self, mix: Tensor, seconds: float = STRETCH_SECONDS) -> Iterator[tuple[int, Tensor]]:
        """Yields the stretches of `separate`: the first sample, and (targets, channels, time), in evaluation mode."""
        return separate_pieces(self, mix.split(round(seconds * self.sample_rate) or 1, dim=-1), seconds)

    # Training.

    def terms(self, stems: StemBatch) -> dict[str, Tensor]:
        """Computes all terms of the loss of a batch; `loss` is their weighted sum."""
        mix = self.transform(stems.mix)
        masks = self.masks(mix)
        estimates = self._filtered(apply_masks(masks, mix), mix)
        weights, terms = self.losses, {}
        if weights.coefficients > 0:
            with torch.no_grad():
                true = self.transform(stems.targets)
                scale = (mix.flat.real.square() + mix.flat.imag.square()).mean() + _TINY
            terms["coefficients"] = combination_error(estimates, true, weights.weighting) / scale
        if weights.mask_sum > 0:
            terms["mask_sum"] = mask_sum_error(masks, weights.weighting)
        if weights.waveform > 0:
            waveforms = self.transform.inverse(estimates, stems.mix.shape[-1])
            terms["waveform"] = waveform_error_db(waveforms, stems.targets)
        terms["loss"] = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
        return terms

    def setup(self, stage: str) -> None:
        if stage != "fit":
            return
        self.apply_performance()
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not self.trainer.ckpt_path:  # a checkpoint has its own
            self.fit_whitening(data.whitening_mixes())

    def apply_performance(self) -> None:
        """Sets what concerns the whole process."""
        if self.performance.tf32:
            torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = self.performance.cudnn_benchmark

    @torch.no_grad()
    def fit_whitening(self, mixes: Iterator[Tensor]) -> None:
        """Takes over mean and spread of what the network sees, from mixes, (batch, channels, time)."""

        def seen() -> Iterator[RaggedSpectrum]:
            for mix in mixes:
                spectrum = self.transform(mix.to(self.device))
                yield RaggedSpectrum(self.seen(spectrum.flat.abs().square()), mix_layout)

        mix_layout = self.transform.layout
        self.network.whitening.fit(seen())

    def training_step(self, batch: StemBatch, batch_idx: int) -> Tensor:
        self._terms = terms = self.terms(batch)
        self._songs = batch.songs
        size = len(batch.targets)
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()}, batch_size=size)
        self.log("loss", terms["loss"].detach(), prog_bar=True, logger=False, batch_size=size)
        return terms["loss"]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Stops at the first loss or gradient that is not finite, before the weights are changed by it."""
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        broken = ~(norm.isfinite() & self._terms["loss"].detach().isfinite())
        self._broken = broken if self._broken is None else self._broken | broken
        if self.device.type == "cpu" or self.trainer.global_step % _READ_EVERY == 0:
            self._refuse_broken()
        if self.device.type != "cpu":  # which is asked only now and then: nothing broken reaches the weights
            for gradient in gradients:
                gradient.copy_(torch.where(broken, 0.0, gradient))

    def _refuse_broken(self) -> None:
        if self._broken is None or not bool(self._broken):
            return
        terms = ", ".join(f"{name} {float(term.detach()):g}" for name, term in self._terms.items())
        bad = [name for name, p in self.named_parameters() if p.grad is not None and not bool(p.grad.isfinite().all())]
        where = f"the gradient of {bad[0]}" + (f" and {len(bad) - 1} more" if len(bad) > 1 else "") if bad else "a loss"
        callback = self.trainer.checkpoint_callback
        kept = getattr(callback, "last_model_path", "") or getattr(callback, "best_model_path", "")
        hint = f"go on from the last good checkpoint, --ckpt_path {kept}" if kept else "there is no checkpoint yet"
        raise FloatingPointError(
            f"training broke down at step {self.trainer.global_step + 1}: {where} is not finite (losses: {terms}; "
            f"songs: {', '.join(self._songs)}). HINT: a lower model.optimizer.learning_rate (it is "
            f"{self.optimizer_settings.learning_rate:g}); {hint}"
        )

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        norm = gradient_clip_val or self.optimizer_settings.clip_norm
        self.clip_gradients(optimizer, gradient_clip_val=norm, gradient_clip_algorithm="norm")

    def configure_optimizers(self) -> Any:
        settings = self.optimizer_settings
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

        def factor(step: int) -> float:
            rise = min(1.0, (step + 1) / max(1, settings.warm_up_steps))
            if settings.decay_steps <= 0:
                return rise
            return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / settings.decay_steps))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # Validation: whole excerpts.

    def on_validation_epoch_start(self) -> None:
        self._validation = []

    def validation_step(self, batch: Excerpt, batch_idx: int) -> None:
        estimates = self.separate(batch.mix)
        self._validation.append(
            [song_sdr_db(true, found) for true, found in zip(batch.targets, estimates, strict=True)]
        )

    def on_validation_epoch_end(self) -> None:
        by_target = zip(*self._validation, strict=True)
        known = {
            target: [sdr for sdr in sdrs if sdr is not None]
            for target, sdrs in zip(self.targets, by_target, strict=True)
        }
        for target, sdrs in known.items():
            if sdrs:
                self.log(f"validation/sdr_{target}", statistics.median(sdrs))
        every = [sdr for sdrs in known.values() for sdr in sdrs]
        if every:
            self.log("validation/sdr", statistics.median(every), prog_bar=True)

    # Checkpoints hold the constructor's arguments.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._refuse_broken()  # the last good checkpoint stays
        checkpoint[CHECKPOINT_KEY] = json.dumps(self.settings())

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, but for how it is computed, as JSON takes them."""
        settings: dict[str, Any] = {
            "targets": list(self.targets),
            "transform": asdict(self.transform_settings),
            "architecture": self.architecture,
            "network": asdict(self.network_settings),
            "published": asdict(self.published_settings),
            "masks": self.mask_kind,
            "magnitude_power": self.magnitude_power,
            "wiener": self.wiener,
            "losses": asdict(self.losses),
            "optimizer": asdict(self.optimizer_settings),
        }
        return {name: plain_json(value) for name, value in settings.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved, mine = _saved(checkpoint), self.settings()
        for name in ("targets", "transform", "architecture", "network", "published", "masks", "magnitude_power"):
            if saved[name] != mine[name]:
                raise ValueError(
                    f"checkpoint: its model.{name} is {saved[name]}, the configuration's is {mine[name]}. HINT: a "
                    "training goes on with the settings that it began with"
                )


def load_demixer(path: str | Path, performance: Performance | None = None) -> Demixer:
    """Loads a `Demixer` from a checkpoint, without unpickling code, to the CPU, in evaluation mode.

    Args:
        path: path of the checkpoint.
        performance: how it is computed, which is no part of a checkpoint.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged, holds no checkpoint of a `Demixer`, or weights that are not finite.
    """
    checkpoint = read_checkpoint(path)
    if CHECKPOINT_KEY not in checkpoint:
        raise ValueError(f"{path}: {_other_kind(checkpoint)}")
    try:
        settings = _saved(checkpoint)
        module = loaded(lambda: make_demixer(settings, performance), checkpoint["state_dict"])
    except MemoryError:
        raise
    except Exception as error:  # whatever hostile settings and tensors lead to, their file has to be named
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{path}: the checkpoint's weights or settings are none of a demixer here: {reason}"
        ) from error
    for name, value in module.state_dict().items():
        if not bool(value.isfinite().all()):
            raise ValueError(
                f"{path}: finite weights are needed, got NaN or infinity in {name}. HINT: an earlier checkpoint"
            )
    return module.eval()


def make_demixer(settings: dict[str, Any], performance: Performance | None = None) -> Demixer:
    """Makes a demixer with untrained weights of what `Demixer.settings` gave."""
    return Demixer(
        **{
            **settings,
            "transform": DemixerTransform(**settings["transform"]),
            "network": NetworkSettings(**settings["network"]),
            "published": PublishedSettings(**settings["published"]),
            "losses": DemixerLosses(**settings["losses"]),
            "optimizer": DemixerOptimizer(**settings["optimizer"]),
            "performance": performance,
        }
    )


def _saved(checkpoint: dict[str, Any]) -> dict[str, Any]:
    if CHECKPOINT_KEY not in checkpoint:
        raise ValueError(f"checkpoint: {_other_kind(checkpoint)}")
    saved: dict[str, Any] = json.loads(checkpoint[CHECKPOINT_KEY])
    # Checkpoints from before a setting was there have its default.
    return {**saved, "network": plain_json(asdict(NetworkSettings(**saved["network"])))}


def _other_kind(checkpoint: dict[str, Any]) -> str:
    return (
        f"that of a demixer is needed, got that of {kind_of(checkpoint)}: {CHECKPOINT_KEY!r} is missing; it was not "
        "made by a Demixer"
    )


def _check(targets: Sequence[str], architecture: str, masks: str, magnitude_power: float, wiener: str) -> None:
    if isinstance(targets, str) or not targets or len(set(targets)) < len(targets) or not all(targets):
        raise ValueError(f"targets: a list of different names is needed, got {targets!r}")
    for name, value, kind in (("architecture", architecture, Architecture), ("wiener", wiener, WienerUse)):
        if value not in get_args(kind):
            raise ValueError(f"{name}: one of {', '.join(get_args(kind))}, got {value!r}")
    if masks not in get_args(MaskKind):
        raise ValueError(f"masks: one of {', '.join(get_args(MaskKind))}, got {masks!r}")
    if masks == "softmax" and len(targets) == 1:
        raise ValueError("masks: softmax masks of one target are all 1; got one target. HINT: sigmoid")
    if not 0 < magnitude_power <= 1:
        raise ValueError(f"magnitude_power: above 0 and at most 1, got {magnitude_power}")
