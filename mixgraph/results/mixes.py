"""The audio of a result: the target and the found mix, at the song's own sample rate or another one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mixgraph.graph.values import GraphValues
from mixgraph.processors.base import check_rate
from mixgraph.render import render_blocks
from mixgraph.report.findings import is_mono
from mixgraph.results.found_graph import FoundGraph
from mixgraph.results.outcome import SongOutcome
from mixgraph.songs import WrittenAudio, write_audio
from mixgraph.songs.own_rate import OwnRateSong, own_rate

AudioRate = int | Literal["song", "search"]
AUDIO_RATES = "song, search or a number of Hz"


@dataclass(frozen=True, eq=False)
class Mixes:
    """The target and the found mix of a song, at the files' own level.

    Attributes:
        sample_rate: sample rate of both in Hz.
        target: (2, L), the engineer's mix.
        found: (2, L), the mix that the found graph makes.
        notes: why they have another rate than was asked for, if they have.
    """

    sample_rate: int
    target: Tensor
    found: Tensor
    notes: tuple[str, ...] = ()


def check_audio_rate(rule: AudioRate) -> None:
    """Checks a rule for the sample rate of a result's audio.

    Raises:
        ValueError: it is none.
    """
    if isinstance(rule, int):
        check_rate("audio_rate", rule)
    elif rule not in ("song", "search"):
        raise ValueError(f"audio_rate: {AUDIO_RATES} is needed, got {rule!r}")


def make_mixes(outcome: SongOutcome, found_mix: Tensor, rule: AudioRate) -> Mixes:
    """Makes the audio of a result.

    At another rate than the search's, the target is the mix's file as it is (resampled once where it has another rate),
    and the found mix is rendered from the tracks' files by the graph at that rate (`FoundGraph.at_sample_rate`), read
    where the search read them. A song without files has the search's rate. Where files are gone or have changed by the
    end of a search, or a processor cannot be taken to the rate, both mixes have the search's rate, with a note.

    Args:
        outcome: the song and the graph that was found for it.
        found_mix: (2, L), rendered at the search's rate and level.
        rule: `"song"`, the rate of the mix's file; `"search"`; or a rate in Hz.
    """
    song = outcome.song
    rate, note = 0, ""
    try:
        if rule != "search" and song.files is not None:
            rate = own_rate(song) if rule == "song" else rule
            if rate != song.sample_rate:
                return _mixes_at(outcome, rate)
    except (OSError, ValueError) as error:  # nothing of a search is lost by it
        wanted = f"{rate} Hz" if rate else "that of the song"
        note = f"mix_target, mix_found: their sample rate is {song.sample_rate} Hz, that of the search, not {wanted}: "
        note += str(error)
    return Mixes(song.sample_rate, song.mix / song.level, found_mix / song.level, (note,) if note else ())


def found_graph(outcome: SongOutcome) -> FoundGraph:
    """Returns the graph of an outcome as `load_result` will read it, without figures and files."""
    song, values = outcome.song, outcome.values
    return FoundGraph(
        graph=values.graph,
        processors=outcome.processors,
        parameters={node_type: dict(named) for node_type, named in values.parameters.items()},
        weights=values.weights,
        sample_rate=song.sample_rate,
        level=song.level,
        num_samples=song.num_samples,
        placements=dict(zip(song.tracks, song.placements, strict=True)),
        processor_options={name: dict(options) for name, options in outcome.processor_options.items()},
        loss_increases=outcome.loss_increases,
    )


@torch.no_grad()
def _mixes_at(outcome: SongOutcome, rate: int) -> Mixes:
    graph, audio = found_graph(outcome).at_sample_rate(rate), OwnRateSong(outcome.song, rate)
    values = GraphValues(graph.graph, graph.parameters, graph.weights)

    def read(start: int, stop: int) -> Tensor:
        return audio.read(start, stop).to(graph.weights) * graph.level

    length = audio.mix.shape[-1]
    pieces = render_blocks(values, graph.processors, read, length, block=outcome.block, mono=outcome.mono)
    found, done = torch.empty(2, length), 0
    for piece in pieces:
        found[:, done : done + piece.shape[-1]] = piece[0]
        done += piece.shape[-1]
    found /= graph.level
    if not bool(found.isfinite().all()):
        raise ValueError(f"the mix that the graph makes at {rate} Hz is not finite")
    return Mixes(rate, audio.mix, found)


def write_mix(path: Path, mix: Tensor, sample_rate: int) -> WrittenAudio:
    """Writes a mix, (2, L), with one channel where both are equal."""
    return write_audio(path, mix[:1] if is_mono(mix) else mix, sample_rate)
