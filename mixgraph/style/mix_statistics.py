"""Statistics of a mix that say nothing of its notes: spectra, loudness and its range, crest and width, differentiable.

With mid m = (l + r) / sqrt(2) and side s = (l - r) / sqrt(2), whose powers sum to those of left and right, and their
powers M[b], S[b] in the third-octave bands b of IEC 61260-1, which are sums of bins of one Fourier transform:

    spectrum_mid_db[b] = 10 log10( M[b] / W + 1e-5 ),  W = sum over bands of M + S;  spectrum_side_db likewise of S
    width_db[o]        = 10 log10( (S[o] + 1e-3 (M + S)[o]) / (M[o] + 1e-3 (M + S)[o]) ),  o: octaves of three thirds
    crest_db[o]        = 10 log10( 2 sum over frames of max |z|^2 / sum over frames of mean |z|^2 )

where z are the analytic signals of mid and side in the octave, their squares summed, in frames of 0.4 s: 3.01 dB for a
steady sine, more for beats, whatever their level and however long the silence between them.

Loudness is that of ITU-R BS.1770-5: blocks of 0.4 s every 0.1 s behind the K-weighting, gated at -70 LUFS and at 10 LU
below the mean of what is left. The loudness range is that of EBU Tech 3342: the distance of the 10th and the 95th
percentile of the loudness in windows of 3 s, gated at -70 LUFS and at 20 LU below the mean. Gates are constants to the
gradient. The K-weighting is the standard's digital filter for 48 kHz, evaluated at each frequency in Hz, whatever the
sample rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from mixgraph.dsp.constants import made_once
from mixgraph.dsp.fourier import fast_length

THIRDS = range(-16, 13)
"""Third-octave bands, by their distance to the one around 1 kHz: from 24.8 Hz to 16 kHz."""
OCTAVES = range(-15, 12, 3)
"""The middle third of each octave band, from 31.25 Hz to 8 kHz."""
LEAST_SECONDS = 0.4
_HIGHEST_SHARE = 0.47  # of the sample rate: bands that reach higher are left out
_LEVEL_FLOOR = 1e-5
_WIDTH_FLOOR = 1e-3
_TINY = 1e-12  # power: -120 dBFS; keeps silence finite
_FADE_SECONDS = 0.005
_TAIL_SECONDS = 0.5  # of zeros, into which the K-weighting rings
_FRAME_SECONDS, _HOP_SECONDS = 0.4, 0.1
_BLOCK_HOPS, _WINDOW_HOPS = 4, 30
_ABSOLUTE_GATE, _RELATIVE_GATE, _RANGE_GATE = -70.0, -10.0, -20.0
_OFFSET = -0.691
_SHELF = (1.53512485958697, -2.69169618940638, 1.19839281085285), (-1.69065929318241, 0.73248077421585)
_HIGH_PASS = (1.0, -2.0, 1.0), (-1.99004745483398, 0.99007225036621)
_STANDARD_RATE = 48000


@dataclass(frozen=True, eq=False)
class MixStatistics:
    """The statistics of a mix; gradients flow through all of them.

    Attributes:
        spectrum_mid_db: (thirds,), long-term level of mid in third octaves, in dB against the whole, -50 at least.
        spectrum_side_db: (thirds,), that of side.
        loudness_lufs: (), integrated loudness; -120.7 for silence.
        loudness_range_lu: (), 0 for less than 3 s.
        crest_db: (octaves,), peak over root mean square in octaves.
        width_db: (octaves,), side over mid in octaves, within 30 dB.
    """

    spectrum_mid_db: Tensor
    spectrum_side_db: Tensor
    loudness_lufs: Tensor
    loudness_range_lu: Tensor
    crest_db: Tensor
    width_db: Tensor

    def detach(self) -> MixStatistics:
        """Returns the statistics without their gradient."""
        return MixStatistics(**{name: value.detach() for name, value in self.by_name().items()})

    def by_name(self) -> dict[str, Tensor]:
        """Name of each statistic -> its value."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def plus(self, change: MixStatistics, factor: float = 1.0) -> MixStatistics:
        """Returns the sum with another mix's statistics times a factor, in the bands that both have."""
        mine, others = self.by_name(), change.by_name()
        pairs = {name: common_bands(mine[name], others[name]) for name in mine}
        return MixStatistics(**{name: a + factor * b for name, (a, b) in pairs.items()})


def common_bands(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Returns one statistic of two mixes in the bands that both have; all begin with the lowest band."""
    if a.dim() == 0:
        return a, b
    count = min(len(a), len(b))
    return a[:count], b[:count]


def third_hertz(count: int) -> list[float]:
    """Returns the middles of the first bands of `spectrum_mid_db`, in Hz."""
    return [1000 * 2 ** (third / 3) for third in THIRDS[:count]]


def octave_hertz(count: int) -> list[float]:
    """Returns the middles of the first bands of `crest_db` and `width_db`, in Hz."""
    return [1000 * 2 ** (third / 3) for third in OCTAVES[:count]]


def mix_statistics(audio: Tensor, sample_rate: int) -> MixStatistics:
    """Measures the statistics of a mix.

    Gradients are finite, also of silence. Memory and time grow with the length: 4 minutes at 30 kHz take about a
    second and 0.5 GB without gradients.

    Args:
        audio: (2, T), at least 0.4 s. The first and last 5 ms are faded, so that a cut does not count as a click.
        sample_rate: in Hz. Bands that reach above 0.47 of it are left out.

    Raises:
        ValueError: another shape, or less than 0.4 s.
    """
    least = math.ceil(LEAST_SECONDS * sample_rate)
    if audio.dim() != 2 or audio.shape[0] != 2 or audio.shape[-1] < least:
        raise ValueError(f"audio: (2, at least {least} samples) is needed, got {tuple(audio.shape)}")
    length = audio.shape[-1]
    left, right = (audio * _fades(length, sample_rate, audio.dtype, audio.device)).unbind()
    size = fast_length(length + math.ceil(_TAIL_SECONDS * sample_rate))
    spectra = torch.fft.rfft(torch.stack((left + right, left - right)) * 0.5**0.5, n=size)
    powers = _third_powers(spectra, size, length, sample_rate)
    whole = powers.sum() + _TINY
    levels = 10 * torch.log10(powers / whole + _LEVEL_FLOOR)
    octaves = len([third for third in OCTAVES if _band(third, 1)[1] <= _HIGHEST_SHARE * sample_rate])
    by_octave = powers[:, : 3 * octaves].unflatten(-1, (octaves, 3)).sum(-1)
    floor = _WIDTH_FLOOR * by_octave.sum(0) + _TINY
    widths = 10 * torch.log10((by_octave[1] + floor) / (by_octave[0] + floor))
    crests = [_crest_db(spectra, size, sample_rate, third) for third in OCTAVES[:octaves]]
    loudness, loudness_range = _loudness(spectra, size, length, sample_rate)
    dtype = audio.dtype
    return MixStatistics(
        spectrum_mid_db=levels[0].to(dtype),
        spectrum_side_db=levels[1].to(dtype),
        loudness_lufs=loudness,
        loudness_range_lu=loudness_range,
        crest_db=torch.stack(crests),
        width_db=widths.to(dtype),
    )


def _band(third: int, octaves: float) -> tuple[float, float]:
    """Returns the edges in Hz of the band of a width in octaves around a third."""
    return 1000 * 2 ** (third / 3 - octaves / 2), 1000 * 2 ** (third / 3 + octaves / 2)


def _bins(edges: tuple[float, float], size: int, sample_rate: int) -> slice:
    """The bins from the lower edge to below the upper one."""
    low, high = (math.ceil(hertz * size / sample_rate) for hertz in edges)
    return slice(low, high)


def _third_powers(spectra: Tensor, size: int, length: int, sample_rate: int) -> Tensor:
    """Returns the mean squares of mid and side in third octaves, (2, thirds), float64."""
    bands = [_band(third, 1 / 3) for third in THIRDS]
    inside = [_bins(edges, size, sample_rate) for edges in bands if edges[1] <= _HIGHEST_SHARE * sample_rate]
    energy = spectra.real.square() + spectra.imag.square()
    sums = [energy[:, bins].sum(-1, dtype=torch.float64) for bins in inside]
    return torch.stack(sums, -1) * (2 / size / length)  # Parseval; each bin stands for two


def _crest_db(spectra: Tensor, size: int, sample_rate: int, third: int) -> Tensor:
    bins = _bins(_band(third, 1), size, sample_rate)
    count = fast_length(2 * (bins.stop - bins.start))  # the envelope is that narrow, too
    analytic = torch.fft.ifft(spectra[:, bins], n=count) * (count / size)
    envelope = (analytic.real.square() + analytic.imag.square()).sum(0)
    frame = max(2, round(_FRAME_SECONDS * sample_rate * count / size))
    frames = envelope[: len(envelope) // frame * frame].unflatten(0, (-1, frame))
    return 10 * torch.log10(2 * (frames.amax(-1).mean() + _TINY) / (frames.mean() + _TINY))


def _loudness(spectra: Tensor, size: int, length: int, sample_rate: int) -> tuple[Tensor, Tensor]:
    weighting = _k_weighting(size, sample_rate, spectra.dtype, spectra.device)
    weighted = torch.fft.irfft(spectra * weighting, n=size)[:, :length]
    hop = round(_HOP_SECONDS * sample_rate)
    energies = weighted.square().sum(0)[: length // hop * hop].unflatten(0, (-1, hop)).mean(-1)
    blocks = energies.unfold(0, min(_BLOCK_HOPS, len(energies)), 1).mean(-1)
    integrated = _lufs(blocks[_gate(blocks, _RELATIVE_GATE)].mean())
    if len(energies) < _WINDOW_HOPS:
        return integrated, 0 * energies.sum()
    windows = energies.unfold(0, _WINDOW_HOPS, 1).mean(-1)
    low, high = torch.quantile(_lufs(windows[_gate(windows, _RANGE_GATE)]), windows.new_tensor((0.1, 0.95))).unbind()
    return integrated, high - low


def _gate(energies: Tensor, relative: float) -> Tensor:
    """Whether each block passes both gates; all do where none passes the first."""
    levels = _lufs(energies.detach())
    audible = levels > _ABSOLUTE_GATE
    if not bool(audible.any()):
        return torch.ones_like(audible)
    mean = _lufs(energies.detach()[audible].mean())
    return audible & (levels > mean + relative)


def _lufs(energy: Tensor) -> Tensor:
    return _OFFSET + 10 * torch.log10(energy + _TINY)


@made_once(keep=2)
def _fades(length: int, sample_rate: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    count = round(_FADE_SECONDS * sample_rate)
    rise = (1 - torch.cos(math.pi * (torch.arange(count, dtype=torch.float64) + 0.5) / count)) / 2
    fades = torch.ones(length, dtype=torch.float64)
    fades[:count] *= rise
    fades[length - count :] *= rise.flip(0)
    return fades.to(device, dtype)


@made_once(keep=2)
def _k_weighting(size: int, sample_rate: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    omega = 2 * math.pi * torch.arange(size // 2 + 1, dtype=torch.float64) * (sample_rate / size / _STANDARD_RATE)
    delay = torch.exp(-1j * omega)
    response = torch.ones_like(delay)
    for forward, backward in (_SHELF, _HIGH_PASS):
        numerator = forward[0] + forward[1] * delay + forward[2] * delay**2
        response = response * numerator / (1 + backward[0] * delay + backward[1] * delay**2)
    return response.to(device, dtype)
