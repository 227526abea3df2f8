"""The settings of the demixer as dataclasses, with all defaults; YAML files hold only what differs from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mixgraph.dsp.slicqt import Raster, SliCQT
from mixgraph.dsp.slicqt.choosing import SCALE_NAMES, TransformSettings

FOUR_TARGETS = ("vocals", "drums", "bass", "other")
Architecture = Literal["ours", "published"]
WienerUse = Literal["never", "separating", "always"]
Precision = Literal["float32", "bfloat16"]
MOST_SECONDS = 2.0
MOST_BANDS, MOST_SLICE_SAMPLES = 10_000, 1 << 20


@dataclass(frozen=True)
class DemixerTransform:
    """The sliced constant-Q transform in which masks are predicted.

    Attributes:
        scale: one of `SCALE_NAMES` of `mixgraph.dsp.slicqt.choosing`.
        num_bands: the number of bands from the lowest one to that at half the sample rate, both included.
        low_hz: centre of the lowest band.
        offset_hz: the offset of the scale `"variable_q"`; 0 for other scales.
        raster: rule for the coefficients of a band, see `make_frame`.
        slice_samples: samples of a slice; None takes what fits the narrowest band, see `fitting_slice`.
        sample_rate: in Hz, that of all signals.
    """

    scale: str = "bark"
    num_bands: int = 262
    low_hz: float = 32.9
    offset_hz: float = 0.0
    raster: Raster = "power_of_two"
    slice_samples: int | None = None
    sample_rate: int = 44100

    def make(self) -> SliCQT:
        """Makes the transform.

        Raises:
            ValueError: a setting is out of its range, or a band is too narrow; the message says which.
        """
        if self.scale not in SCALE_NAMES:
            raise ValueError(f"transform.scale: one of {', '.join(SCALE_NAMES)}, got {self.scale!r}")
        if not 1 <= self.num_bands <= MOST_BANDS:
            raise ValueError(f"transform.num_bands: 1 to {MOST_BANDS}, got {self.num_bands}")
        if self.slice_samples is not None and not 0 < self.slice_samples <= MOST_SLICE_SAMPLES:
            raise ValueError(f"transform.slice_samples: at most {MOST_SLICE_SAMPLES}, got {self.slice_samples}")
        settings = TransformSettings(self.scale, self.num_bands, self.low_hz, self.offset_hz, self.raster)
        if self.slice_samples is None:
            return settings.make(self.sample_rate, MOST_SECONDS)
        scale = settings.scale_at(self.sample_rate)
        return SliCQT(scale, self.sample_rate, self.slice_samples, raster=self.raster)


@dataclass(frozen=True)
class PublishedSettings:
    """The size of the published network, see `PublishedNetwork`.

    Attributes:
        hidden: channels of the outer layers, for each target.
        inner: channels of the inner layer, for each target.
    """

    hidden: int = 50
    inner: int = 51


@dataclass(frozen=True)
class DemixerLosses:
    """The weights of the losses.

    Attributes:
        coefficients: weight of the squared error of coefficients over all combinations of targets, as a share of the
            power of the batch's mixes.
        mask_sum: weight of the squared error of the sum of masks against 1.
        waveform: weight of the error of waveforms through the inverse, in dB, see `waveform_error_db`.
        weighting: the mean over all coefficients, or the mean over blocks of the mean over each, as published.
    """

    coefficients: float = 1.0
    mask_sum: float = 0.0
    waveform: float = 0.05
    weighting: Literal["coefficients", "blocks"] = "coefficients"

    def __post_init__(self) -> None:
        for name in ("coefficients", "mask_sum", "waveform"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"losses.{name}: at least 0, got {getattr(self, name)}")
        if self.coefficients == self.waveform == 0:
            raise ValueError("losses: coefficients or waveform above 0 is needed, got 0 for both")


@dataclass(frozen=True)
class DemixerOptimizer:
    """The settings of AdamW.

    Attributes:
        learning_rate: the learning rate after the warm-up.
        weight_decay: decoupled weight decay.
        warm_up_steps: steps over which the learning rate rises to its full value.
        decay_steps: steps from the start after which it has fallen to a hundredth, along a cosine; 0 keeps it.
        clip_norm: the norm to which larger gradients are clipped.
    """

    learning_rate: float = 3e-3
    weight_decay: float = 1e-5
    warm_up_steps: int = 50
    decay_steps: int = 0
    clip_norm: float = 5.0


@dataclass(frozen=True)
class Performance:
    """How the demixer is computed; nothing here is part of a checkpoint.

    Attributes:
        precision: of the networks; `"bfloat16"` computes them, and nothing else, in an autocast.
        tf32: let products of float32 matrices on GPUs round their factors to TF32.
        cudnn_benchmark: let cuDNN measure which of its algorithms is fastest; only while training, where all chunks
            have one length.
        channels_last: keep the networks' weights in that order of memory.
        compile: compile the network with `torch.compile`; the transform, which is complex, is never compiled.
    """

    precision: Precision = "float32"
    tf32: bool = False
    cudnn_benchmark: bool = False
    channels_last: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise ValueError(f"performance.precision: one of {', '.join(get_args(Precision))}, got {self.precision!r}")
