"""The excerpts of a result that Lightning's loggers play: the loudest part of the target, and the found mix's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from mixgraph.songs import Song
from mixgraph.songs.clips import loudest_start

_SECONDS = 10.0


@dataclass(frozen=True, eq=False)
class ResultExcerpts:
    """The same stretch of a song's target and found mix, within -1 to 1.

    Attributes:
        audio: `mix_target` and `mix_found`, (2, samples), at the level of the song's files unless that needs more than
            full scale: then both are divided by the higher peak.
        sample_rate: that of the search, in Hz.
        caption: which stretch it is, and by how much both were turned down, if they were.
    """

    audio: Mapping[str, Tensor]
    sample_rate: int
    caption: str


def result_excerpts(song: Song, found_mix: Tensor, seconds: float = _SECONDS) -> ResultExcerpts:
    """Cuts the loudest stretch of a song's target, or the whole of a shorter song, from the target and the found mix.

    Args:
        song: the song as it was searched.
        found_mix: (2, L), rendered at the search's rate and level.
        seconds: the length of the stretch.
    """
    rate, length = song.sample_rate, min(round(seconds * song.sample_rate), song.num_samples)
    start = loudest_start(song.mix, length)
    mixes = {"mix_target": song.mix, "mix_found": found_mix}
    audio = {name: mix[:, start : start + length] / song.level for name, mix in mixes.items()}
    caption = f"{start / rate:.1f} to {(start + length) / rate:.1f} s of {song.title or song.name}"
    peak = max(float(excerpt.abs().max()) for excerpt in audio.values())
    if peak > 1.0:
        audio = {name: excerpt / peak for name, excerpt in audio.items()}
        caption += f"; mix_target and mix_found are {20 * math.log10(peak):.2f} dB softer here, to fit into full scale"
    return ResultExcerpts(audio, rate, caption)
