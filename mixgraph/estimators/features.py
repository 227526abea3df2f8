"""Computes the network's inputs: levels, spectra, and how each track must have been changed to give the mix.

For tracks, sums of subgroups and the sum of all tracks, each as a set of signals that explain the mix together:

- `mels`: log-mel spectrograms of mid and side, level kept (the encoder's input).
- `cues`: per band, the real gains in left, right and side that explain the mix best (least squares over all signals of
  the set at once: what equalizers, gains and imagers do), how much of the mix they explain, and how much energy they
  have to explain it with; the gain in classes of the signal's own level, after those gains (what compressors and gates
  do); levels, crest factors, widths, and ranges of level.
- `lags`: how the part of the mix that gains do not explain follows each signal after up to two seconds (what delays
  and reverbs do): the largest value of an impulse response, in parts of a delay's segment.

A ridge penalty draws the gains to 1 where a signal has no energy to explain the mix with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torchaudio.functional import melscale_fbanks

from mixgraph.estimators.coding import POSITION_BINS

NUM_MELS = 40
LOWEST_MEL_HZ, LOWEST_BAND_HZ = 30.0, 40.0
NUM_BANDS = 24
NUM_SEGMENTS = 20  # parts of a delay's range, 100 ms each
NUM_LAGS = NUM_SEGMENTS * POSITION_BINS
_LEVEL_EDGES_DB = tuple(range(-54, 0, 6))
_NUM_LEVELS = len(_LEVEL_EDGES_DB) + 1
_RIDGE = 1e-4  # relative to the mix's energy
_FLOOR = 1e-9
_GAIN_FLOOR = 0.03
_LEAST_ECHO = 1e-4  # a gain; smaller responses count as none
_CUE_WIDTHS = {
    "left": NUM_BANDS,
    "right": NUM_BANDS,
    "width": NUM_BANDS,
    "energy": NUM_BANDS,
    "unexplained": NUM_BANDS,
    "level_gains": _NUM_LEVELS,
    "occupancy": _NUM_LEVELS,
    "overall": 3,
    "medians": 2,
    "evidence": 9,
    "statistics": 7,
    "mix_statistics": 7,
    "counts": 2,
}
NUM_CUES = sum(_CUE_WIDTHS.values())
_ENDS = list(accumulate(_CUE_WIDTHS.values()))
CUE_PARTS = {name: slice(end - width, end) for (name, width), end in zip(_CUE_WIDTHS.items(), _ENDS, strict=True)}
"""The places of each kind of cue in `SegmentFeatures.cues`."""


@dataclass(frozen=True, eq=False)
class SegmentFeatures:
    """Features of a segment of a song with K tracks and G subgroups; rows are tracks, subgroup sums, the dry sum.

    Attributes:
        mels: (K + G + 1, 2, NUM_MELS, frames), mid and side; 25 frames a second; 0 is -50 dB, 1 is 25 dB more.
        mix_mels: (1, 2, NUM_MELS, frames), of the mix.
        cues: (K + G + 1, NUM_CUES), mostly in units of 10 dB.
        lags: (K + G + 1, 2, NUM_LAGS), left and right, natural log against the channel's median.
    """

    mels: Tensor
    mix_mels: Tensor
    cues: Tensor
    lags: Tensor


class FeatureExtractor:
    """Computes the features of segments of audio.

    Args:
        sample_rate: the sample rate in Hz.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        self.sample_rate = sample_rate
        self.mel_hop = round(0.04 * sample_rate)
        self.fft = 2 * round(0.034 * sample_rate)  # 68 ms
        self.window = torch.hann_window(self.fft)
        bins = self.fft // 2 + 1
        self.mel = melscale_fbanks(bins, LOWEST_MEL_HZ, sample_rate / 2, NUM_MELS, sample_rate)
        hertz = torch.linspace(0, sample_rate / 2, bins)
        position = torch.log2(hertz.clamp(min=LOWEST_BAND_HZ) / LOWEST_BAND_HZ)
        position = position / math.log2(sample_rate / 2 / LOWEST_BAND_HZ) * (NUM_BANDS - 1)
        hats = (1 - (position.unsqueeze(1) - torch.arange(NUM_BANDS)).abs()).clamp(min=0)
        self.hats = hats / hats.sum(dim=1, keepdim=True)  # (bins, bands)
        borders = torch.arange(NUM_LAGS + 1) * 2 * sample_rate // NUM_LAGS
        within = torch.arange(int(borders.diff().max()))
        self.lag_parts = torch.minimum(borders[:-1, None] + within, borders[1:, None] - 1)  # (NUM_LAGS, samples)

    @torch.no_grad()
    def __call__(self, tracks: Tensor, mix: Tensor, groups: Sequence[Sequence[int]]) -> SegmentFeatures:
        """Computes the features of one segment.

        Args:
            tracks: the dry tracks, (K, 2, T), at the level of a search.
            mix: the mix, (2, T), at the same level.
            groups: the rows of the tracks of each subgroup.
        """
        everything, sizes = _signals(tracks, groups)
        explained = [self._explain(signals, mix) for signals in everything.split([len(tracks), len(groups), 1])]
        statistics = torch.stack([_statistics(signal, self.mel_hop) for signal in everything])
        of_mix = _statistics(mix, self.mel_hop).expand_as(statistics)
        of_sets = torch.cat([signal_cues for signal_cues, _ in explained])
        cues = torch.cat((of_sets, statistics, of_mix, _counts(sizes, len(groups))), dim=1)
        lags = torch.cat([signal_lags for _, signal_lags in explained])
        return SegmentFeatures(self._mels(everything), self._mels(mix.unsqueeze(0)), cues, lags)

    @torch.no_grad()
    def without_mix(self, tracks: Tensor, groups: Sequence[Sequence[int]]) -> SegmentFeatures:
        """Computes the features of one segment that need no mix; energy is against that of the dry sum, the rest 0.

        Args:
            tracks: the dry tracks, (K, 2, T), at the level at which the song's dry sum has the loudness of a search.
            groups: the rows of the tracks of each subgroup.
        """
        everything, sizes = _signals(tracks, groups)
        hop = self.fft // 2
        spectra = self._spectra(everything, hop)
        energy = self._band_energy(spectra).T
        member = self._level_classes(everything, spectra.shape[-1], hop)
        parts = {
            "energy": torch.log10((energy + _FLOOR) / (energy[-1] + _FLOOR)).clamp(-5, 2),
            "occupancy": member.mean(dim=1),
            "statistics": torch.stack([_statistics(signal, self.mel_hop) for signal in everything]),
            "counts": _counts(sizes, len(groups)),
        }
        cues = tracks.new_zeros(len(everything), NUM_CUES)
        for name, values in parts.items():
            cues[:, CUE_PARTS[name]] = values
        mels = self._mels(everything)
        return SegmentFeatures(mels, torch.zeros_like(mels[:1]), cues, tracks.new_zeros(len(everything), 2, NUM_LAGS))

    @torch.no_grad()
    def of_mix(self, mix: Tensor) -> tuple[Tensor, Tensor]:
        """The features that a mix, (2, T), has by itself: its `mix_mels`, and its statistics among the cues, (7,)."""
        return self._mels(mix.unsqueeze(0)), _statistics(mix, self.mel_hop)

    def _spectra(self, signals: Tensor, hop: int) -> Tensor:
        """Transforms signals (n, 2, T) to spectra of mid and side, (n, 2, bins, frames)."""
        left, right = signals.unbind(1)
        both = torch.stack(((left + right) / 2, (left - right) / 2), dim=1)
        spectra = torch.stft(both.flatten(0, 1), self.fft, hop, window=self.window, return_complex=True)
        return spectra.unflatten(0, both.shape[:2])

    def _mels(self, signals: Tensor) -> Tensor:
        power = self._spectra(signals, self.mel_hop).abs().square().mT @ self.mel / self.window.square().sum()
        return (10 * torch.log10(power.mT + _FLOOR) + 50) / 25

    def _explain(self, signals: Tensor, mix: Tensor) -> tuple[Tensor, Tensor]:
        """Computes cues of a set of signals without their statistics, (n, ...), and lags, (n, 2, NUM_LAGS)."""
        hop = self.fft // 2
        x = self._spectra(signals, hop)
        mid, side = self._spectra(mix.unsqueeze(0), hop)[0]
        y = torch.stack((mid + side, mid - side))  # left, right: (2, bins, frames)
        gains, mix_energy = self._band_gains(x, y)
        energy = self._band_energy(x)
        per_bin = torch.einsum("fb,bnmc->fnmc", self.hats, gains)  # gain of mid and side of each signal in each channel
        parts = torch.einsum("fnmc,nmft->ncft", per_bin.to(x.dtype), x)
        rest = y - parts.sum(dim=0)
        unexplained = rest.abs().square().sum(dim=(0, 2)) @ self.hats / (mix_energy + _FLOOR)
        by_level, occupancy = self._level_gains(signals, parts, y, hop)
        left, right, width = gains[..., 0, 0], gains[..., 0, 1], (gains[..., 1, 0] - gains[..., 1, 1]) / 2
        shares = energy / (energy.sum(dim=0, keepdim=True) + _FLOOR)
        overall = torch.stack([(g * shares).sum(dim=0) for g in (left, right, width)], dim=1)
        residual = torch.istft(rest, self.fft, hop, window=self.window, length=mix.shape[-1])
        lags, medians = self._lags(signals, residual)
        cues = torch.cat(
            (
                _gain_db(left).T,
                _gain_db(right).T,
                _gain_db(width).T,
                torch.log10((energy + _FLOOR) / (mix_energy.unsqueeze(1) + _FLOOR)).clamp(-5, 2).T,
                torch.log10(unexplained + 1e-4).expand(len(signals), -1),
                _gain_db(by_level),
                occupancy,
                _gain_db(overall),
                medians,
                _evidence(_gain_db((left + right) / 2), _gain_db(left) - _gain_db(right), _gain_db(width), shares),
                _dynamics(_gain_db(by_level), occupancy),
                _echoes(lags),
            ),
            dim=1,
        )
        return cues, lags

    def _band_energy(self, x: Tensor) -> Tensor:
        """The energy of signals (n, 2 of mid and side, bins, t) in left and right together, (bands, n)."""
        return 2 * self.hats.T @ x.abs().square().sum(dim=(1, 3)).T

    def _band_gains(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Fits real gains by band with which all signals x (n, 2, bins, t) together explain y (2, bins, t).

        Returns:
            gains, (bands, n, 2 of mid and side, 2 of left and right); and the mix's energy, (bands,).
        """
        n = x.shape[0]
        rows = torch.view_as_real(x).permute(2, 0, 1, 3, 4).flatten(3).flatten(1, 2)  # (bins, 2n, 2t)
        neutral = torch.tensor([[1.0, 1.0], [1.0, -1.0]]).repeat(n, 1)  # left = mid + side, right = mid - side
        targets = torch.view_as_real(y).permute(1, 0, 2, 3).flatten(2)  # (bins, 2, 2t)
        gram = torch.einsum("fb,fij->bij", self.hats, rows @ rows.mT)
        right_side = torch.einsum("fb,fic->bic", self.hats, rows @ targets.mT) - gram @ neutral
        mix_energy = self.hats.T @ targets.square().sum(dim=(1, 2))
        ridge = (_RIDGE * mix_energy + _FLOOR).view(-1, 1, 1) * torch.eye(2 * n)
        gains = neutral + torch.linalg.solve((gram + ridge).double(), right_side.double()).float()
        return gains.unflatten(1, (n, 2)), mix_energy

    def _level_classes(self, signals: Tensor, frames: int, hop: int) -> Tensor:
        """1 for the class of each frame's level, (n, frames, levels)."""
        energy = torch.nn.functional.pad(signals.square().mean(dim=1), (hop, hop)).unfold(-1, self.fft, hop)[:, :frames]
        level_db = 10 * torch.log10(energy.mean(dim=-1) + _FLOOR)
        edges = torch.tensor(_LEVEL_EDGES_DB, dtype=torch.float32)
        return torch.nn.functional.one_hot(torch.bucketize(level_db, edges), _NUM_LEVELS).float()

    def _level_gains(self, signals: Tensor, parts: Tensor, y: Tensor, hop: int) -> tuple[Tensor, Tensor]:
        """Fits gains by class of a signal's level, on top of band gains; and shares of frames: (n, levels) each."""
        n, frames = parts.shape[0], parts.shape[-1]
        member = self._level_classes(signals, frames, hop)
        rows = torch.view_as_real(parts).permute(3, 0, 1, 2, 4).flatten(2)  # (t, n, 4 bins)
        target = torch.view_as_real(y).permute(2, 0, 1, 3).flatten(1)  # (t, 4 bins)
        products = rows @ rows.mT  # (t, n, n)
        gram = torch.einsum("itl,tij,jtm->iljm", member, products, member).flatten(2).flatten(0, 1)
        against = torch.einsum("itl,ti->il", member, (rows @ target.unsqueeze(-1)).squeeze(-1)).flatten()
        ridge = (_RIDGE * target.square().sum() + _FLOOR) * torch.eye(gram.shape[0])
        change = torch.linalg.solve((gram + ridge).double(), (against - gram.sum(dim=1)).double()).float()
        return 1 + change.view(n, _NUM_LEVELS), member.mean(dim=1)

    def _lags(self, signals: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        """Computes `SegmentFeatures.lags`, and the medians that they relate to, (n, 2), as log10 of a gain."""
        size = next_fast_len(signals.shape[-1] + 2 * self.sample_rate, real=True)
        against = torch.fft.rfft(residual, size)  # (2, bins)
        levels, medians = [], []
        for signal in signals:
            spectrum = torch.fft.rfft(signal.mean(dim=0), size)
            power = spectrum.abs().square()
            response = torch.fft.irfft(against * spectrum.conj() / (power + 0.1 * power.mean() + _FLOOR), size)
            peaks = response[:, self.lag_parts].abs().amax(dim=-1) + _LEAST_ECHO
            median = peaks.median(dim=1, keepdim=True).values
            levels.append(torch.log(peaks / median).clamp(-3, 5))
            medians.append(torch.log10(median[:, 0]))
        return torch.stack(levels), torch.stack(medians)


def _signals(tracks: Tensor, groups: Sequence[Sequence[int]]) -> tuple[Tensor, list[int]]:
    """Tracks, sums of subgroups and the dry sum, (K + G + 1, 2, T); and the size of the set that each belongs to."""
    sums = [tracks[list(rows)].sum(dim=0) for rows in groups]
    sizes = [len(tracks)] * len(tracks) + [len(rows) for rows in groups] + [len(tracks)]
    return torch.cat((tracks, torch.stack([*sums, tracks.sum(dim=0)]))), sizes


def _counts(sizes: Sequence[int], groups: int) -> Tensor:
    return torch.tensor([[math.log(size), math.log(groups)] for size in sizes])


def _gain_db(gain: Tensor) -> Tensor:
    """Converts a gain to units of 10 dB; gains below -30 dB and negative gains give -3."""
    return 2 * torch.log10(gain.clamp(min=_GAIN_FLOOR, max=30.0))


def _evidence(gain: Tensor, balance: Tensor, width: Tensor, shares: Tensor) -> Tensor:
    """Cues for gains, equalizers and imagers, from (bands, n) in units of 10 dB: spread of the gain over bands, size of
    the balance and of the width against the gain, in bands weighted by energy: (n, 3)."""
    spread = (shares * (gain - (shares * gain).sum(dim=0)).square()).sum(dim=0).sqrt()
    return torch.stack((spread, (shares * balance).sum(dim=0).abs(), (shares * (width - gain)).sum(dim=0).abs()), dim=1)


def _dynamics(by_level: Tensor, occupancy: Tensor) -> Tensor:
    """Cues for compressors and gates: spread of the gain over levels, and its slope, (n, 2)."""
    gain = by_level - (occupancy * by_level).sum(dim=1, keepdim=True)
    level = 0.6 * torch.arange(_NUM_LEVELS).expand_as(gain)  # classes are 6 dB wide
    level = level - (occupancy * level).sum(dim=1, keepdim=True)
    spread = (occupancy * gain.square()).sum(dim=1).sqrt()
    slope = (occupancy * gain * level).sum(dim=1) / ((occupancy * level.square()).sum(dim=1) + 0.01)
    return torch.stack((spread, slope), dim=1)


def _echoes(lags: Tensor) -> Tensor:
    """Cues for delays and reverbs: mean of the lags up to 0.3, 1 and 2 seconds, and their maximum: (n, 4)."""
    mean = lags.mean(dim=1)
    parts = mean.split([NUM_LAGS * 3 // 20, NUM_LAGS * 7 // 20, NUM_LAGS // 2], dim=1)
    return torch.stack((*(part.mean(dim=1) for part in parts), lags.amax(dim=(1, 2))), dim=1)


def _statistics(signal: Tensor, frame: int) -> Tensor:
    """Level, peak, crest, side to mid, and 10th, 50th and 90th percentile of the level over time: (7,), in 10 dB."""
    energy = signal.square().mean(dim=0)
    frames = energy[: energy.shape[-1] // frame * frame].view(-1, frame).mean(dim=-1) + _FLOOR
    mean, peak = energy.mean() + _FLOOR, signal.abs().amax().square() + _FLOOR
    mid, side = (signal[0] + signal[1]).square().mean() + _FLOOR, (signal[0] - signal[1]).square().mean() + _FLOOR
    quantiles = torch.log10(frames).quantile(torch.tensor([0.1, 0.5, 0.9]))
    single = torch.log10(torch.stack((mean, peak, peak / mean, (side / mid).clamp(1e-4, 1e2))))
    return torch.cat((single, quantiles))
