"""NSGT and sliCQT: analysis and synthesis, each the gradient of the other.

In a tight frame the inverse is the adjoint. So the gradient of an analysis is a synthesis, that of a synthesis is an
analysis, and neither has anything to remember but the index lists of the frame. Every bin is gathered, none is added
into by many: on a GPU results are the same from run to run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function

from mixgraph.dsp.fourier import nearest_fast_length
from mixgraph.dsp.slicqt.frame import LEAST_BINS, Raster, make_frame
from mixgraph.dsp.slicqt.ragged import Layout, RaggedSpectrum, check_layout
from mixgraph.dsp.slicqt.scales import Scale

SLICE_LEAST_WINDOW = 16
"""Bins of a band in a slice: narrower ones smear a click over the slice. Of a click in its middle, the outer quarters
have up to -12 dB with bands of 4 bins, -22 dB with 8 and -28 dB with 16 (Bark-262, 44.1 kHz, slices of 9,216)."""
CPU_COEFFICIENTS, DEVICE_COEFFICIENTS = 1 << 20, 1 << 25
"""Coefficients that are computed at a time: no more memory is taken by what is in between, however long a signal."""


class _Float64Buffers(nn.Module):
    """A module whose buffers follow it to another device, but stay in float64 where a model changes its precision.

    Values that were rounded to half precision, or to float32 before a move to float64, would make the frame less exact.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def moved(values: Tensor) -> Tensor:
            result = fn(values)
            return result if result.dtype == values.dtype else values.to(result.device)

        return super()._apply(moved, recurse)


class _Bands(_Float64Buffers):
    """The frame of one length: frames of samples, (..., N), to coefficients, (..., T), and back."""

    analysis_bin: Tensor

    def __init__(
        self,
        length: int,
        sample_rate: int,
        scale: Scale,
        raster: Raster,
        oversampling: int,
        least_window: int,
        transition: int,
    ) -> None:
        super().__init__()
        frame = make_frame(length, sample_rate, scale, raster, oversampling, least_window)
        self.length = length
        self.layout = replace(frame.layout, transition=transition)
        self.num_covering = len(frame.synthesis_place)
        halves = np.full(length // 2 + 1, math.sqrt(2))  # of the half spectrum, whose bins but two stand for a pair
        halves[0] = halves[-1] = 1
        self._constant("analysis_bin", frame.analysis_bin)
        self._constant("analysis_weight", frame.analysis_weight * halves[frame.analysis_bin])
        for j, (place, weight) in enumerate(zip(frame.synthesis_place, frame.synthesis_weight, strict=True)):
            self._constant(f"synthesis_place{j}", place)
            self._constant(f"synthesis_weight{j}", weight / halves[: len(weight)])

    def _constant(self, name: str, values: np.ndarray) -> None:
        self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def weights(self, name: str, like: Tensor) -> Tensor:
        """Returns a list of weights, kept in float64, in the precision of a signal or a spectrum."""
        weights: Tensor = getattr(self, name)
        return weights.to(torch.float64 if like.dtype in (torch.float64, torch.complex128) else torch.float32)

    def analyse(self, frames: Tensor) -> Tensor:
        """Transforms frames of samples, (..., N) real, to coefficients, (..., T) complex."""
        if not frames.numel():  # an FFT on a CPU refuses empty batches
            return frames.new_zeros((*frames.shape[:-1], len(self.analysis_bin)), dtype=frames.dtype.to_complex())
        spectrum = torch.fft.rfft(frames, norm="ortho")
        buffers = _gather(spectrum, self.analysis_bin).mul_(self.weights("analysis_weight", frames))
        for block in RaggedSpectrum(buffers, self.layout).blocks:
            block.copy_(torch.fft.ifft(block, norm="ortho"))  # in place: takes less memory and time than joining them
        return buffers

    def synthesise(self, coefficients: Tensor) -> Tensor:
        """Transforms (..., T) complex to (..., N) real: the adjoint of `analyse`, and its inverse."""
        if not coefficients.numel():
            return coefficients.real.new_zeros((*coefficients.shape[:-1], self.length))
        blocks = RaggedSpectrum(coefficients, self.layout).blocks
        buffers = torch.cat([torch.fft.fft(block, norm="ortho").flatten(-2) for block in blocks], dim=-1)
        spectrum = self._covering(buffers, 0)
        for j in range(1, self.num_covering):
            part = self._covering(buffers, j)
            spectrum[..., : part.shape[-1]] += part
        return torch.fft.irfft(spectrum, n=self.length, norm="ortho")

    def _covering(self, buffers: Tensor, j: int) -> Tensor:
        place: Tensor = getattr(self, f"synthesis_place{j}")
        return _gather(buffers, place).mul_(self.weights(f"synthesis_weight{j}", buffers))


def _without_autocast(values: Tensor) -> AbstractContextManager[Any]:
    """FFTs know no half precision: inside an autocast they are computed outside of it."""
    device = values.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def _gather(values: Tensor, index: Tensor) -> Tensor:
    """`values[..., index]`; on a CPU `index_select` takes 60 times as long along the last axis."""
    return values.gather(-1, index.expand(*values.shape[:-1], -1))


class _Analysis(Function):
    @staticmethod
    def forward(signal: Tensor, transform: _Transform) -> Tensor:
        return transform._analyse(signal)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, _Transform], output: Tensor) -> None:
        ctx.samples, ctx.transform = inputs[0].shape[-1], inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Synthesis.apply(gradient, ctx.transform, ctx.samples), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        coefficients: Tensor = _Analysis.apply(tangent, ctx.transform)
        return coefficients

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None], signal: Tensor, transform: _Transform) -> tuple[Tensor, int]:
        return _Analysis.apply(signal.movedim(in_dims[0], 0), transform), 0


class _Synthesis(Function):
    @staticmethod
    def forward(coefficients: Tensor, transform: _Transform, samples: int) -> Tensor:
        return transform._synthesise(coefficients, samples)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, _Transform, int], output: Tensor) -> None:
        _, ctx.transform, ctx.samples = inputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Analysis.apply(gradient, ctx.transform), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        signal: Tensor = _Synthesis.apply(tangent, ctx.transform, ctx.samples)
        return signal

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int, None, None], coefficients: Tensor, transform: _Transform, samples: int
    ) -> tuple[Tensor, int]:
        return _Synthesis.apply(coefficients.movedim(in_dims[0], 0), transform, samples), 0


class _Transform(_Float64Buffers):
    """The properties and input checks that `NSGT` and `SliCQT` share."""

    bands: _Bands
    check_finite: bool

    @property
    def layout(self) -> Layout:
        """The layout of the coefficients: which band and rate each of them belongs to."""
        return self.bands.layout

    @property
    def sample_rate(self) -> int:
        """The sample rate of the signals, in Hz."""
        return self.bands.layout.sample_rate

    def _analyse(self, signal: Tensor) -> Tensor:
        raise NotImplementedError

    def _synthesise(self, coefficients: Tensor, samples: int) -> Tensor:
        raise NotImplementedError

    def _check_signal(self, signal: Tensor) -> Tensor:
        """The signal in float32, or float64 as it is; also inside of an autocast to half precision, which FFTs lack."""
        if signal.dim() == 0 or signal.shape[-1] == 0:
            raise ValueError(f"signal: at least one sample is needed, got {tuple(signal.shape)}")
        if signal.is_complex() or not signal.is_floating_point():
            raise ValueError(f"signal: real floating-point samples are needed, got {signal.dtype}")
        self._refuse_non_finite("signal", signal, signal)
        return signal if signal.dtype == torch.float64 else signal.float()

    def _check_spectrum(self, spectrum: RaggedSpectrum) -> Tensor:
        if not isinstance(spectrum, RaggedSpectrum):
            raise TypeError(
                f"spectrum: a RaggedSpectrum is needed, got {type(spectrum).__name__}. HINT: RaggedSpectrum(values, "
                "transform.layout)"
            )
        check_layout(spectrum.layout, self.layout)
        if not spectrum.flat.is_complex():
            raise ValueError(
                f"spectrum: complex coefficients are needed, got {spectrum.flat.dtype}. HINT: magnitudes have lost "
                "their phase; multiply masks by the coefficients of a mix"
            )
        return spectrum.flat if spectrum.flat.dtype == torch.complex128 else spectrum.flat.to(torch.complex64)

    def _refuse_non_finite(self, name: str, values: Tensor, reached: Tensor) -> None:
        """Raises where values, and what they reach, are not finite; the host does not wait for a GPU to say.

        A coefficient reaches a whole slice of the signal, which is smaller than the coefficients.
        """
        if not self.check_finite or reached.device.type != "cpu":
            return
        if reached.detach().sum(dtype=torch.float64).isfinite():
            return
        broken = values.detach().isfinite().logical_not()
        if not broken.any():
            return
        first = [int(i) for i in broken.nonzero()[0]]
        raise ValueError(
            f"{name}: finite values are needed, got {int(broken.sum())} that are not, the first at {first}. HINT: one "
            "of them would spread over its whole slice and its neighbours"
        )


class NSGT(_Transform):
    """The nonstationary Gabor transform of signals of one length, which are taken as periodic.

    Args:
        scale: centres of the bands.
        samples: length of the signals that the transform is for.
        sample_rate: sample rate of the signals, in Hz.
        raster: rule for the coefficients of a band, see `make_frame`.
        oversampling: least ratio of a band's coefficients to its window, see `make_frame`; magnitudes alias at 1,
            hardly at 2.
        least_window: least width of a band's window in bins, see `make_frame`.
        check_finite: refuse NaN and infinity; values on a GPU are not looked at, for the host would wait for it. A
            training loop that checks its loss turns this off, and `torch.vmap`, which cannot look at values, needs it
            off.

    Raises:
        ValueError: a setting is out of its range, or a band is too narrow; the message says which.
    """

    def __init__(
        self,
        scale: Scale,
        samples: int,
        sample_rate: int,
        raster: Raster = "power_of_two",
        oversampling: int = 1,
        least_window: int = LEAST_BINS,
        check_finite: bool = True,
    ) -> None:
        super().__init__()
        self.check_finite = check_finite
        if not isinstance(samples, int) or samples < 1:
            raise ValueError(f"samples: a whole number from 1, got {samples!r}")
        self.samples = samples
        length = max(4, samples + samples % 2)
        self.bands = _Bands(length, sample_rate, scale, raster, oversampling, least_window, transition=0)

    def forward(self, signal: Tensor) -> RaggedSpectrum:
        """Transforms a signal to its coefficients.

        Args:
            signal: (..., samples), real.

        Returns:
            A spectrum whose blocks are (..., bands, size).

        Raises:
            ValueError: the signal has another length, is not real, or not finite.
        """
        signal = self._check_signal(signal)
        if signal.shape[-1] != self.samples:
            raise ValueError(f"signal: (..., {self.samples}) is needed, got {tuple(signal.shape)}")
        with _without_autocast(signal):
            return RaggedSpectrum(_Analysis.apply(signal, self), self.layout)

    def inverse(self, spectrum: RaggedSpectrum) -> Tensor:
        """Returns the signal whose coefficients these are, (..., samples), or the nearest one if there is none.

        Raises:
            ValueError: the coefficients are of another transform, not complex, or not finite.
        """
        with _without_autocast(spectrum.flat):
            signal: Tensor = _Synthesis.apply(self._check_spectrum(spectrum), self, self.samples)
        self._refuse_non_finite("spectrum", spectrum.flat, signal)
        return signal

    def _analyse(self, signal: Tensor) -> Tensor:
        padding = self.bands.length - signal.shape[-1]
        return self.bands.analyse(nn.functional.pad(signal, (0, padding)) if padding else signal)

    def _synthesise(self, coefficients: Tensor, samples: int) -> Tensor:
        return self.bands.synthesise(coefficients)[..., :samples]


class SliCQT(_Transform):
    """The sliced transform: NSGTs of overlapping slices of a signal of any length (Holighaus et al. 2012).

    A slice is seen through a window that is 1 in its middle and falls to 0 over a sine on both sides; the squares of
    neighbouring windows add up to 1, so that slicing is tight, too, and an overlap-add of windowed slices inverts it.

    Args:
        scale: centres of the bands.
        sample_rate: sample rate of the signals, in Hz.
        slice_samples: N, a multiple of 4; None takes what gives the narrowest band 8 bins, rounded to a power of two
            with that raster, and to a length whose FFT is fast with the others.
        transition_samples: length of the window's slopes, even, at most N / 2; None is N / 4.
        raster: rule for the coefficients of a band, see `make_frame`.
        least_window: least width of a band's window in bins, see `make_frame`.
        check_finite: refuse NaN and infinity; values on a GPU are not looked at, for the host would wait for it. A
            training loop that checks its loss turns this off, and `torch.vmap`, which cannot look at values, needs it
            off.

    Raises:
        ValueError: a setting is out of its range, or a band is too narrow; the message says which.
    """

    window: Tensor

    def __init__(
        self,
        scale: Scale,
        sample_rate: int,
        slice_samples: int | None = None,
        transition_samples: int | None = None,
        raster: Raster = "power_of_two",
        least_window: int = SLICE_LEAST_WINDOW,
        check_finite: bool = True,
    ) -> None:
        super().__init__()
        self.check_finite = check_finite
        if slice_samples is None:
            slice_samples = fitting_slice(scale, sample_rate, raster)
        if not isinstance(slice_samples, int) or slice_samples < 8 or slice_samples % 4:
            raise ValueError(f"slice_samples: a multiple of 4 from 8, got {slice_samples!r}")
        if transition_samples is None:
            transition_samples = slice_samples // 8 * 2
        if transition_samples % 2 or not 2 <= transition_samples <= slice_samples // 2:
            raise ValueError(
                f"transition_samples: an even number from 2 to {slice_samples // 2}, half a slice, got "
                f"{transition_samples}"
            )
        self.slice_samples, self.hop_samples = slice_samples, slice_samples // 2
        self.bands = _Bands(slice_samples, sample_rate, scale, raster, 1, least_window, transition_samples)
        window = slice_window(slice_samples, transition_samples)
        self.register_buffer("window", window, persistent=False)

    def num_slices(self, samples: int) -> int:
        """The slices of a signal; the first is centred on its first sample."""
        return math.ceil(samples / self.hop_samples) + 1

    def forward(self, signal: Tensor) -> RaggedSpectrum:
        """Transforms a signal to its coefficients.

        Args:
            signal: (..., time), real.

        Returns:
            A spectrum whose blocks are (..., slices, bands, size).

        Raises:
            ValueError: the signal is empty, not real, or not finite.
        """
        signal = self._check_signal(signal)
        with _without_autocast(signal):
            return RaggedSpectrum(_Analysis.apply(signal, self), self.layout)

    def inverse(self, spectrum: RaggedSpectrum, samples: int) -> Tensor:
        """Returns the signal whose coefficients these are, (..., samples), or the nearest one if there is none.

        Args:
            spectrum: blocks of (..., slices, bands, size).
            samples: length of the signal.

        Raises:
            ValueError: the coefficients are of another transform, not complex, not finite, or not of a signal of that
                length.
        """
        coefficients = self._check_spectrum(spectrum)
        needed = self.num_slices(samples)
        if coefficients.dim() < 2 or coefficients.shape[-2] != needed or samples < 1:
            got = coefficients.shape[-2] if coefficients.dim() > 1 else 0
            raise ValueError(f"samples: a signal of {samples} samples has {needed} slices, got {got}")
        with _without_autocast(coefficients):
            signal: Tensor = _Synthesis.apply(coefficients, self, samples)
        self._refuse_non_finite("spectrum", coefficients, signal)
        return signal

    def _analyse(self, signal: Tensor) -> Tensor:
        num_slices, window = self.num_slices(signal.shape[-1]), self.window.to(signal.dtype)
        shape = (*signal.shape[:-1], num_slices, self.layout.num_coefficients)
        parts = self._parts(shape)
        if len(parts) == 1:
            return self.bands.analyse(self._slices(signal, parts[0]) * window)
        coefficients = signal.new_empty(shape, dtype=signal.dtype.to_complex())
        for part in parts:
            coefficients[..., part, :] = self.bands.analyse(self._slices(signal, part) * window)
        return coefficients

    def _slices(self, signal: Tensor, part: slice) -> Tensor:
        """(..., slices, N): a view of the samples, with zeros before the first and after the last one."""
        samples, hop = signal.shape[-1], self.hop_samples
        start, stop = (part.start - 1) * hop, part.stop * hop
        piece = signal[..., max(start, 0) : min(stop, samples)]
        padding = (max(-start, 0), max(stop - samples, 0))
        return nn.functional.pad(piece, padding).unfold(-1, self.slice_samples, hop)

    def _synthesise(self, coefficients: Tensor, samples: int) -> Tensor:
        hop, num_slices = self.hop_samples, coefficients.shape[-2]
        window = self.window.to(coefficients.real.dtype)
        signal = window.new_zeros((*coefficients.shape[:-2], num_slices + 1, hop))
        for part in self._parts(coefficients.shape):
            slices = self.bands.synthesise(coefficients[..., part, :]).mul_(window)
            signal[..., part, :] += slices[..., :hop]
            signal[..., part.start + 1 : part.stop + 1, :] += slices[..., hop:]
        return signal.flatten(-2)[..., hop : hop + samples]

    def _parts(self, shape: Sequence[int]) -> list[slice]:
        """The slices that are transformed at a time, of coefficients of a shape (..., slices, T)."""
        *batch, num_slices, num_coefficients = shape
        device = self.window.device.type
        most = CPU_COEFFICIENTS if device == "cpu" else DEVICE_COEFFICIENTS
        size = max(1, most // (max(1, math.prod(batch)) * num_coefficients))
        return [slice(start, min(start + size, num_slices)) for start in range(0, num_slices, size)]


def slice_window(slice_samples: int, transition_samples: int) -> Tensor:
    """The window of a slice, (slice_samples,) float64: h[t]^2 + h[t + slice_samples / 2]^2 = 1."""
    start = slice_samples // 4 - transition_samples // 2
    slope = (torch.arange(transition_samples, dtype=torch.float64) + 0.5) * (math.pi / 2 / transition_samples)
    window = torch.zeros(slice_samples, dtype=torch.float64)
    window[start : start + transition_samples] = slope.sin()
    window[start + transition_samples : start + slice_samples // 2] = 1
    window[start + slice_samples // 2 : start + slice_samples // 2 + transition_samples] = slope.cos()
    return window


def fitting_slice(scale: Scale, sample_rate: int, raster: Raster) -> int:
    """Samples of a slice in which the narrowest band of a scale is about 8 bins wide, and whose FFT is fast."""
    if not 0 < sample_rate < math.inf:
        raise ValueError(f"sample_rate: above 0 Hz, got {sample_rate}")
    samples = 4 * sample_rate / scale.least_spacing_hz
    return 1 << round(math.log2(samples)) if raster == "power_of_two" else nearest_fast_length(samples, 4)
