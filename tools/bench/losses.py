"""Compares mixes with their targets by the match loss and by measures that no search optimises, alike for all sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

import auraloss
import torch
from torch import Tensor

from mixgraph.losses import clip_score, make_match_loss
from mixgraph.losses.whole_song import WINDOW_SECONDS, SongScore
from mixgraph.songs.loudness import BLOCK_SECONDS, block_energies
from mixgraph.songs.song import Song

Render = Callable[[Tensor, int], Tensor]
"""Renders sources (K, 2, T), and the sample that they begin at, to a mix (2, T)."""

SIZES = (320, 1280, 5120)  # sizes of auraloss's FFTs, between and beside those that searches optimise
_SILENCE_LUFS = -60.0
_FRAME, _SILENCE_DB = 2048, -50.0


@dataclass(frozen=True)
class CommonScores:
    """The match loss of a graph by our loss module, whichever side made the graph; each clip is rendered from silence.

    Attributes:
        inside: score of clips inside the song.
        published: score by the published protocol, which takes the target to be silent after the song's end.
    """

    inside: SongScore
    published: SongScore

    def to_dict(self) -> dict[str, float]:
        """The scores as dicts for JSON, each over the target's norm and over the prediction's norm."""
        return {
            "loss_target": self.inside.loss["full"],
            "loss_prediction": self.inside.loss_prediction["full"],
            "published_target": self.published.loss["full"],
            "published_prediction": self.published.loss_prediction["full"],
        }


def common_scores(song: Song, render: Render) -> CommonScores:
    """Computes the scores of a graph.

    Args:
        song: the song that was searched. If it is shorter than a clip, `inside` equals `published`.
        render: renders clips with the graph.
    """
    match = make_match_loss(song.sample_rate)
    published = clip_score(match, render, song.sources, song.mix)
    long_enough = song.num_samples >= round((1 + WINDOW_SECONDS) * song.sample_rate)
    inside = clip_score(match, render, song.sources, song.mix, inside=True) if long_enough else published
    return CommonScores(inside, published)


def common_losses(song: Song, render: Render) -> dict[str, float]:
    """The scores of a graph as numbers by name, see `CommonScores`."""
    return common_scores(song, render).to_dict()


def clip_mix(song: Song, render: Render) -> tuple[Tensor, Tensor]:
    """The mix that a graph renders and the target, both without the song's first second, (2, L - 1 s).

    Clips of 3.8 s, each from silence with a second of warm-up, as in `clip_score`, one after the other.
    """
    warm_up, scored = song.sample_rate, round(WINDOW_SECONDS * song.sample_rate)
    parts = []
    with torch.no_grad():
        for start in range(0, song.num_samples - warm_up, scored):
            stop = min(start + warm_up + scored, song.num_samples)
            part = torch.nn.functional.pad(song.sources[..., start:stop], (0, start + warm_up + scored - stop))
            parts.append(render(part, start)[..., warm_up : stop - start])
    return torch.cat(parts, dim=-1), song.mix[..., warm_up:]


def independent_losses(mix: Tensor, target: Tensor, sample_rate: int) -> dict[str, float]:
    """Three measures of a mix against its target.

    Args:
        mix: the rendered mix, (2, L).
        target: the finished mix of the song, (2, L).
        sample_rate: sample rate of both in Hz.

    Returns:
        stft: auraloss's multi-resolution STFT loss at FFT sizes of 320, 1280 and 5120, mean of left and right;
        loudness_lu: mean absolute error of momentary loudness where the target is above -60 LUFS, in LU;
        centroid_octaves: mean absolute error of the spectral centroid of the sum of channels, in octaves, over frames
        of 2048 in which both mixes are within 50 dB of the target's loudest.

    Raises:
        ValueError: mixes of different shapes, or of less than 0.4 s.
    """
    if mix.shape != target.shape or mix.shape[-1] < BLOCK_SECONDS * sample_rate:
        raise ValueError(f"mix: {tuple(target.shape)} and at least 0.4 s are needed, got {tuple(mix.shape)}")
    stft = auraloss.freq.MultiResolutionSTFTLoss(SIZES, tuple(n // 4 for n in SIZES), SIZES, sample_rate=sample_rate)
    with torch.no_grad():
        return {
            "stft": fmean(  # a channel at a time: over a batch it takes one norm, in which the louder channel decides
                float(stft(channel.view(1, 1, -1).float(), target_channel.view(1, 1, -1).float()))
                for channel, target_channel in zip(mix, target, strict=True)
            ),
            "loudness_lu": _loudness_error(mix, target, sample_rate),
            "centroid_octaves": _centroid_error(mix, target),
        }


def _momentary_lufs(audio: Tensor, sample_rate: int) -> Tensor:
    return -0.691 + 10 * torch.log10(block_energies(audio, sample_rate).clamp(min=1e-10))


def _loudness_error(mix: Tensor, target: Tensor, sample_rate: int) -> float:
    loudness, target_loudness = _momentary_lufs(mix, sample_rate), _momentary_lufs(target, sample_rate)
    audible = target_loudness > _SILENCE_LUFS
    return float((loudness - target_loudness).abs()[audible].mean()) if audible.any() else 0.0


def _centroid_error(mix: Tensor, target: Tensor) -> float:
    window = torch.hann_window(_FRAME, dtype=torch.float64)

    def power(audio: Tensor) -> Tensor:
        mono = audio.double().sum(dim=0)
        return torch.stft(mono, _FRAME, _FRAME // 2, window=window, return_complex=True).abs().square()

    spectrum, target_spectrum = power(mix), power(target)
    bins = torch.arange(spectrum.shape[0], dtype=torch.float64).unsqueeze(1)

    def log_centroid(powers: Tensor) -> Tensor:
        centroid = (bins * powers).sum(dim=0) / powers.sum(dim=0).clamp(min=1e-12)
        return torch.log2(centroid.clamp(min=1e-3))

    floor = target_spectrum.sum(dim=0).max() * 10 ** (_SILENCE_DB / 10)
    audible = (target_spectrum.sum(dim=0) > floor) & (spectrum.sum(dim=0) > floor)  # silence has no colour
    octaves = log_centroid(spectrum) - log_centroid(target_spectrum)
    return float(octaves.abs()[audible].mean()) if audible.any() else 0.0
