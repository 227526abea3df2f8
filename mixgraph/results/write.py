"""Writing the files of one song's result, but for those that belong to the search: its settings and its times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from mixgraph.graph import INPUT, MIX, MixGraph
from mixgraph.graph.edit import audible_part
from mixgraph.graph.io import save_graph, save_parameters
from mixgraph.graph.values import GraphValues
from mixgraph.processors import make_processors
from mixgraph.report.console_drawing import ConsoleAndFound
from mixgraph.report.drawing.draw import draw_svg_together, save_drawing
from mixgraph.report.drawing.lettering import lacking_characters
from mixgraph.report.figures import save_figure
from mixgraph.report.loss_increases import LossIncrease, console_increases, increases_figure
from mixgraph.report.panels import settings_figures
from mixgraph.report.progress import progress_figure
from mixgraph.report.ragged_spectrogram import ragged_figure
from mixgraph.report.settings import NodeSettings, read_settings, settings_text
from mixgraph.report.spectrograms import spectrogram_figure
from mixgraph.results.changes import processor_labels
from mixgraph.results.contents import CONSOLE_DRAWING, INCREASES, LOG, TRACE
from mixgraph.results.log import log_to_csv
from mixgraph.results.measure import measure
from mixgraph.results.metrics import Metrics, write_metrics
from mixgraph.results.mixes import AudioRate, Mixes, make_mixes, write_mix
from mixgraph.results.outcome import SearchRun, SongOutcome
from mixgraph.results.summary import head_lines
from mixgraph.songs import Song
from mixgraph.system.files import json_text, write_atomically

Spectrograms = Literal["stft", "ragged"]
_SILENT = "silent over the whole mix"
_UNSEARCHED_LOG: Sequence[Mapping[str, Any]] = ({"step": 0, "stage": "console"},)
"""The log of a graph that was not searched for: it stands where a search starts."""


@dataclass(frozen=True)
class WrittenSong:
    """What was written for a song: its figures, remarks on its files, and the mix that its graph makes.

    Attributes:
        metrics: the content of metrics.json.
        notes: lines of text on files that are other than usual.
        found_mix: (2, L), at the sample rate and the level of the search, see `SongOutcome.render`.
    """

    metrics: Metrics
    notes: tuple[str, ...]
    found_mix: Tensor


def write_song(
    folder: Path, outcome: SongOutcome, spectrograms: Spectrograms = "stft", audio_rate: AudioRate = "song"
) -> WrittenSong:
    """Renders and measures a song's graph, and writes the files of its result to a folder that exists.

    Args:
        folder: an existing folder to write to.
        outcome: the song and the graph that was found for it.
        spectrograms: the transform of `spectrograms.png`, see `ResultFolder`.
        audio_rate: the sample rate of the mixes, see `make_mixes`.

    Raises:
        FloatingPointError: the mix that the graph makes is not finite.
        OSError: a file cannot be written.
    """
    song, search, graph = outcome.song, outcome.search, outcome.values.graph
    found_mix, dry_sum = outcome.render(), song.sources.sum(dim=0)
    if not bool(found_mix.isfinite().all()):
        reason = (search.failure if search else "") or "HINT: a lower model.optimizer.learning_rate"
        raise FloatingPointError(f"the mix that the graph of {song.name} makes is not finite. {reason}")
    metrics = measure(outcome, found_mix, dry_sum)
    rendered = make_mixes(outcome, found_mix, audio_rate)
    metrics = replace(metrics, audio_sample_rate=rendered.sample_rate)
    log = _UNSEARCHED_LOG if search is None else search.log
    _write_data(folder, outcome, metrics, log)
    notes = [*rendered.notes, *_write_mixes(folder, rendered)]
    del rendered  # at 44.1 kHz 42 MB for each minute of a song
    trace = search.record.trace if search else []
    increases = console_increases(trace, outcome.console.count())
    _write_settings(folder, outcome, metrics, increases)
    mixes = {"dry sum": dry_sum, "found": found_mix}
    draw_spectrograms = spectrogram_figure if spectrograms == "stft" else ragged_figure
    save_figure(draw_spectrograms(song.mix, mixes, song.sample_rate), folder / "spectrograms.png")
    save_figure(progress_figure(log), folder / "progress.png")
    if increases:
        tolerance = search.record.tolerance if search else None
        save_figure(increases_figure(increases, song.title or song.name, tolerance), folder / INCREASES)
    if lacking := lacking_characters((song.title or song.name, *graph.names)):
        notes.append(
            f"settings.png, graph.png: no font here has {' '.join(lacking)}: code points stand for them. "
            "HINT: install one that does, such as Noto Sans CJK; settings.txt and graph.svg have the names as they are"
        )
    return WrittenSong(metrics, tuple(notes), found_mix)


def _write_data(folder: Path, outcome: SongOutcome, metrics: Metrics, log: Sequence[Mapping[str, Any]]) -> None:
    """Writes the graph, its values, the metrics, the trace of pruning and the log of training."""
    values, weights = outcome.values, outcome.values.weights.cpu()
    save_graph(
        folder / "graph.json",
        values.graph,
        weights,
        loss_increases=outcome.loss_increases,
        sample_rate=outcome.song.sample_rate,
        processor_options=outcome.processor_options,
    )
    save_parameters(folder / "parameters.safetensors", values.parameters, weights)
    write_metrics(folder, metrics)
    trace = outcome.search.record.trace if outcome.search else []
    write_atomically(folder / TRACE, "".join(json_text(row) + "\n" for row in trace).encode())
    write_atomically(folder / LOG, log_to_csv(log).encode())


def _write_mixes(folder: Path, rendered: Mixes) -> list[str]:
    """Writes the engineer's mix and the found one, mono ones with one channel; returns notes for a person."""
    notes = []
    for name, audio in (("mix_target", rendered.target), ("mix_found", rendered.found)):
        written = write_mix(folder / f"{name}.flac", audio, rendered.sample_rate)
        if written.warning and name == "mix_target":  # the verdict says it of the found mix
            notes.append(written.warning)
    return notes


def _write_settings(folder: Path, outcome: SongOutcome, metrics: Metrics, increases: Sequence[LossIncrease]) -> None:
    """Writes what `write_settings` does, and the console above the found graph."""
    song, graph, options = outcome.song, outcome.values.graph, outcome.processor_options
    head, why = head_lines(metrics), why_unmeasured(outcome.search)
    texts, silent = write_settings(folder, song, outcome.values, options, head, why, outcome.loss_increases)
    title = song.title or song.name
    weights, losses = console_weights(outcome.console, increases), metrics.searched_losses
    bounds = None if outcome.search is None else (losses["console"], losses["found"])
    both = ConsoleAndFound(title, outcome.console, weights, graph, outcome.values.weights.cpu(), bounds, texts, silent)
    write_atomically(folder / CONSOLE_DRAWING, draw_svg_together(both.drawings(), f"{title}: console").encode())


def write_settings(
    folder: Path,
    song: Song,
    found: GraphValues,
    processor_options: Mapping[str, Mapping[str, Any]],
    head: Sequence[str] = (),
    why_unmeasured: str = "",
    loss_increases: Tensor | None = None,
) -> tuple[dict[int, str], tuple[int, ...]]:
    """Writes what the processors are set to, as a text, as pictures of responses, and as drawings of the graph.

    Args:
        folder: an existing folder to write to.
        song: the song whose graph it is.
        found: the graph, its parameters and its weights.
        processor_options: processor name -> constructor arguments that differ from the defaults.
        head: lines for the head of the text.
        why_unmeasured: why loss increases are not known, where they are not.
        loss_increases: (processors,), or None.

    Returns:
        Node -> its settings as they stand in drawings; and the rows of tracks that are silent.
    """
    graph, values = found.graph, (found.parameters, found.weights.cpu())
    processors = make_processors(song.sample_rate, processor_options)  # on the CPU, as the values are read
    settings = read_settings(graph, processors, *values, song.num_samples, song.level, loss_increases)
    silent = tuple(row for row, track in enumerate(song.sources) if not bool(track.any()))
    title, notes = song.title or song.name, _chain_notes(graph, settings, silent)
    text = settings_text(settings, title, song.sample_rate, head, why_unmeasured, notes)
    write_atomically(folder / "settings.txt", text.encode())
    _draw_settings(folder, settings, title, notes)
    texts = {node_settings.node: node_settings.drawn_text() for node_settings in settings}
    for name in ("graph.svg", "graph.png"):
        save_drawing(folder / name, graph, values[1], title, texts, silent)
    return texts, silent


def console_weights(console: MixGraph, increases: Sequence[LossIncrease]) -> Tensor | None:
    """Returns the dry/wet weights of a trained console, (processors,), which its search measured with loss increases.

    None where they were not measured, all of them.
    """
    weights = {increase.label: increase.weight for increase in increases}
    labels = processor_labels(console)
    if not labels or not weights.keys() >= set(labels):
        return None
    return torch.tensor([weights[label] for label in labels])


def _chain_notes(graph: MixGraph, settings: Sequence[NodeSettings], silent: Sequence[int]) -> dict[str, str]:
    """Returns remarks on chains, by place: that they are silent; "" for chains without processors."""
    audible, used = set(audible_part(graph, silent)[1]), {node_settings.place for node_settings in settings}
    nodes = [node for node in range(len(graph)) if graph.types[node] in (INPUT, MIX)]
    notes = {graph.label(node): "" if node in audible else _SILENT for node in nodes}
    return {place: note for place, note in notes.items() if note or place not in used}


def _draw_settings(folder: Path, settings: Sequence[NodeSettings], title: str, notes: Mapping[str, str]) -> None:
    """Writes `settings.png`, and what has no room there to `settings_2.png` and so on."""
    silent = [place for place, note in notes.items() if note == _SILENT]
    empty = [place for place, note in notes.items() if note != _SILENT]
    drawn = [node_settings for node_settings in settings if node_settings.place.split(", ")[0] not in silent]
    below = [f"Silent, not drawn: {', '.join(silent)}."] if silent else []
    below += [f"Without processors: {', '.join(empty)}."] if empty else []
    for number, figure in enumerate(settings_figures(drawn, title, below), start=1):
        save_figure(figure, folder / ("settings.png" if number == 1 else f"settings_{number}.png"))


def why_unmeasured(search: SearchRun | None) -> str:
    """Says why loss increases are not known; empty where they are."""
    if search is None:
        return "there was no search"
    increases = search.record.loss_increases
    if increases is not None and None not in increases:
        return ""
    if search.steps < search.planned_steps:
        return f"the search was stopped after {search.steps} of {search.planned_steps} steps"
    return "the search was stopped while they were" if increases else "pruning.leave_one_out is off"
