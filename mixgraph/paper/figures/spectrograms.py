"""Figures 5, 7 and 15 to 18: a target, its matches row by row, and their errors in mid and side."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from mixgraph.paper.published import SAMPLER_NAMES
from mixgraph.paper.readings import Reading, check_alike, check_one_song
from mixgraph.report.spectrograms import spectrogram_figure
from mixgraph.results.contents import FOUND_AUDIO
from mixgraph.songs import load_song, read_audio

MAY_DIFFER = ("pruning.", "model.track_chain", "model.subgroup_chain")
"""The settings in which the rows differ: consoles, samplers and tolerances."""
MAIN_TEXT_CHAINS = ("", "esg", "esgr", "ecnsgr", "ecnsgdr")
"""The consoles of Figure 7: the dry sum, and those of 3, 4, 6 and 7 processor types."""
_TARGETS = ("mix_target.flac", "mix_target.wav")


def match_figure(readings: Sequence[Reading], song: Path | None = None) -> Figure:
    """Draws the target in the first row, then a row for each result, in their order: mid, its error, side, its error.

    Args:
        readings: results of one song: consoles, and graphs that were pruned by any sampler and tolerance.
        song: the folder of the song, for a row of the dry sum where no result is that of a base graph; None for none.

    Raises:
        FileNotFoundError: a mix is missing from a result.
        ValueError: no results, results of different songs, other settings or versions.
    """
    check_alike(readings, MAY_DIFFER)
    check_one_song(readings)
    first = readings[0]
    rate = first.metrics.sample_rate
    target = _audio(first.folder, _TARGETS, rate)
    rows: dict[str, Tensor] = {}
    if song is not None and all(reading.is_pruned or reading.chain for reading in readings):
        rows[f"dry sum\nL {first.metrics.searched_losses['dry_sum']:.3f}"] = _dry_sum(song, first)
    for reading in readings:
        rows[_free(_label(reading), rows)] = _audio(reading.folder, FOUND_AUDIO, rate)
    length = min(target.shape[-1], *(audio.shape[-1] for audio in rows.values()))
    figure = spectrogram_figure(
        target[:, :length], {label: audio[:, :length] for label, audio in rows.items()}, rate, 500
    )
    figure.suptitle(first.metrics.song.title or first.song, fontsize=11, parse_math=False)
    return figure


def _label(reading: Reading) -> str:
    """Names a row as the captions of the paper do: the console or the sampler, its loss, its pruning ratio."""
    loss = f"L {reading.metrics.searched_losses['found']:.3f}"
    if not reading.is_pruned:
        chain = reading.chain
        return f"console {chain}\n{loss}" if chain else f"dry sum\n{loss}"
    sampler, tolerance = reading.method
    ratio = f"ρ {reading.metrics.pruning_ratio:.2f}"
    return f"{SAMPLER_NAMES.get(sampler, sampler).lower()}, τ {tolerance:g}\n{loss}, {ratio}"


def _free(label: str, taken: Collection[str]) -> str:
    """A label that no row has yet: that of the second search of one kind ends in 2."""
    names = (label if number == 1 else f"{label} ({number})" for number in itertools.count(1))
    return next(name for name in names if name not in taken)


def _audio(folder: Path, names: Sequence[str], rate: int) -> Tensor:
    """Reads the mix of a result in stereo, at the sample rate of the search."""
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"result: {folder}: {names[0]} is missing")
    audio = read_audio(path, rate)
    return audio.expand(2, -1) if audio.shape[0] == 1 else audio


def _dry_sum(song: Path, reading: Reading) -> Tensor:
    """Reads a song's tracks as the search did; refuses the tracks of another song, whatever their names."""
    data = reading.config["data"]
    options = {name: data[name] for name in ("layout", "apply_alignment", "subgrouping") if name in data}
    loaded = load_song(song, reading.metrics.sample_rate, loudness_lufs=None, **options)
    # The hashes of tracks, by file; the mix's is first.
    searched, here = (dict(list(facts.file_hashes.items())[1:]) for facts in (reading.metrics, loaded))
    is_other = bool(searched) and searched != here
    if is_other or set(loaded.tracks) != {track.name for track in reading.metrics.tracks}:
        raise ValueError(f"song: {song} has other tracks than the song of {reading.folder}")
    return loaded.sources.sum(dim=0)
