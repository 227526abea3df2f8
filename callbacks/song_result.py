"""What a search leaves of one song: its figures, its files, and how they are told to a person."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from mixgraph.graph import INPUT, MIX, MixGraph
from mixgraph.graph.edit import audible_part
from mixgraph.graph.io import save_graph, save_parameters
from mixgraph.losses import Denominator, SongScore
from mixgraph.processors import make_processors
from mixgraph.pruning import SongRecord
from mixgraph.render import render_blocks
from mixgraph.report.drawing.draw import save_drawing
from mixgraph.report.drawing.lettering import lacking_characters
from mixgraph.report.figures import save_figure
from mixgraph.report.findings import is_mono
from mixgraph.report.panels import settings_figures
from mixgraph.report.progress import progress_figure
from mixgraph.report.settings import NodeSettings, read_settings, settings_text
from mixgraph.report.spectrograms import spectrogram_figure
from mixgraph.report.verdict import judge, verdict_lines
from mixgraph.results import RESULT_FILES
from mixgraph.search.module import ConsoleModule
from mixgraph.songs import Song, write_audio
from mixgraph.songs.align import MIN_CONFIDENCE
from mixgraph.songs.load import NOTABLE_OFFSET_SECONDS
from mixgraph.system.files import json_text, write_atomically

_SILENT = "silent over the whole mix"


def write_song(
    folder: Path,
    module: ConsoleModule,
    song: Song,
    record: SongRecord,
    log: list[dict[str, Any]],
    steps: int,
    planned_steps: int | None = None,
) -> dict[str, Any]:
    """Writes what was found of a song, but for what belongs to the search; returns what stands in metrics.json.

    Args:
        folder: to write to.
        module: trained.
        song: one of its songs.
        record: of the song's pruning.
        log: rows of log.csv.
        steps: of training.
        planned_steps: more than `steps` where the search was stopped; as many by default.
    """
    part = module.part(song)
    found, dry = module.render(song), song.sources.sum(dim=0)
    if not bool(found.isfinite().all()):
        reason = module.failure or "HINT: a lower model.optimizer.learning_rate"
        raise FloatingPointError(f"the mix that the graph of {song.name} makes is not finite. {reason}")
    metrics = measure(module, song, found, dry, record, steps, planned_steps)
    weights, increases = part.weights.detach().cpu(), _known(record.loss_increases)
    save_graph(
        folder / "graph.json",
        part.graph,
        weights,
        loss_increases=increases,
        sample_rate=module.sample_rate,
        processor_options=module.processor_options,
    )
    save_parameters(folder / "parameters.safetensors", part.parameters, weights)
    write_atomically(folder / "metrics.json", json_text(metrics, indent=1).encode())
    write_atomically(folder / "trace.jsonl", "".join(json_text(row) + "\n" for row in record.trace).encode())
    write_atomically(folder / "log.csv", to_csv(log).encode())
    for name, audio in (("mix_target", song.mix), ("mix_found", found)):
        channels = audio[:1] if is_mono(audio) else audio
        written = write_audio(folder / f"{name}.flac", channels / song.level, song.sample_rate)
        if written.warning and name == "mix_target":  # of the found mix the verdict says it
            rank_zero_info(written.warning)
    title = song.title or song.name
    processors = make_processors(module.sample_rate, module.processor_options)  # on the CPU, as what is read
    settings = read_settings(part.graph, processors, part.parameters, weights, song.num_samples, song.level, increases)
    silent = tuple(row for row, track in enumerate(song.sources) if not bool(track.any()))
    lines = verdict_lines(metrics["verdict"], metrics["losses"]["found"]["loss"]["full"])
    notes = _notes(part.graph, settings, silent)
    text = settings_text(settings, title, module.sample_rate, lines, _unmeasured(record, steps, planned_steps), notes)
    write_atomically(folder / "settings.txt", text.encode())
    _draw_settings(folder, settings, title, notes)
    for name in ("graph.svg", "graph.png"):
        save_drawing(folder / name, part.graph, weights, title, {own.node: own.text() for own in settings}, silent)
    candidates: dict[str, Tensor] = {"dry sum": dry, "found": found}
    save_figure(spectrogram_figure(song.mix, candidates, song.sample_rate), folder / "spectrograms.png")
    save_figure(progress_figure(log), folder / "progress.png")
    if lacking := lacking_characters((title, *part.graph.names)):
        rank_zero_info(
            f"settings.png, graph.png: no font here has {' '.join(lacking)}: code points stand for them. "
            "HINT: install one that does, such as Noto Sans CJK; settings.txt and graph.svg have the names as they are"
        )
    return metrics


def _notes(graph: MixGraph, settings: Sequence[NodeSettings], silent: Sequence[int]) -> dict[str, str]:
    """What is said of chains, by place: that they are silent, and of what has no processors nothing ("")."""
    audible, used = set(audible_part(graph, silent)[1]), {own.place for own in settings}
    nodes = [node for node in range(len(graph)) if graph.types[node] in (INPUT, MIX)]
    notes = {graph.label(node): "" if node in audible else _SILENT for node in nodes}
    return {place: note for place, note in notes.items() if note or place not in used}


def _draw_settings(folder: Path, settings: Sequence[NodeSettings], title: str, notes: Mapping[str, str]) -> None:
    """Writes `settings.png`, and what has no room there to `settings_2.png` and so on."""
    silent = [place for place, note in notes.items() if note == _SILENT]
    empty = [place for place, note in notes.items() if note != _SILENT]
    drawn = [own for own in settings if own.place.split(", ")[0] not in silent]
    below = [f"Silent, not drawn: {', '.join(silent)}."] if silent else []
    below += [f"Without processors: {', '.join(empty)}."] if empty else []
    for number, figure in enumerate(settings_figures(drawn, title, below), start=1):
        save_figure(figure, folder / ("settings.png" if number == 1 else f"settings_{number}.png"))


def _unmeasured(record: SongRecord, steps: int, planned_steps: int | None) -> str:
    """Why loss increases are not known; empty where they are."""
    if _known(record.loss_increases) is not None:
        return ""
    if steps == 0:
        return "there was no search"
    if planned_steps is not None and steps < planned_steps:
        return f"the search was stopped after {steps} of {planned_steps} steps"
    return "the search was stopped while they were" if record.loss_increases else "pruning.leave_one_out is off"


def _known(increases: list[float | None] | None) -> Tensor | None:
    """Loss increases where all of them were measured (an interrupted search has only some)."""
    if increases is None or None in increases:
        return None
    return torch.tensor(increases, dtype=torch.float64)


def measure(
    module: ConsoleModule,
    song: Song,
    found: Tensor,
    dry: Tensor,
    record: SongRecord,
    steps: int,
    planned_steps: int | None = None,
) -> dict[str, Any]:
    """The figures of a result: losses before and after pruning beside the dry sum, ratios, what was read."""
    target = module.target(song)
    score = target.score(found)
    console = record.console_score or score
    denominator = module.loss_settings.denominator
    verdict = judge(
        song, found, score.loss["full"], lambda row: target.score(_mix_without(module, song, row)).loss["full"]
    )
    counts = module.part(song).graph.count()
    initial_counts = module.initial_counts[module.song_number(song)]
    initial, left = sum(initial_counts.values()), sum(counts.values())
    return {
        "song": {"name": song.name, "title": song.title, "licence": song.licence},
        "sample_rate": song.sample_rate,
        "num_samples": song.num_samples,
        "level": song.level,
        "tracks": [
            {"name": name, "start_sample": start, "polarity": polarity, "mono": mono}
            for name, (start, polarity), mono in zip(song.tracks, song.placements, song.mono, strict=True)
        ],
        "file_hashes": song.file_hashes,
        "alignment": [asdict(track) for track in song.alignment],
        "warnings": [warning.text for warning in song.warnings],
        "warning_codes": [warning.code for warning in song.warnings],
        "steps": steps,
        "planned_steps": steps if planned_steps is None else planned_steps,
        "failure": module.failure or None,
        "losses": {
            "dry_sum": asdict(target.score(dry)),
            "console": asdict(console),
            "found": asdict(score),
        },
        "verdict": verdict.as_dict(),
        "tolerance": record.tolerance,
        "denominator": denominator,
        "within_tolerance": within_tolerance(console, score, record.tolerance, denominator),
        "num_processors": {"console": initial, "found": left},
        "pruning_ratio": 1 - left / initial if initial else 0.0,
        "pruning_ratio_by_type": {t: 1 - counts.get(t, 0) / n for t, n in initial_counts.items()},
        "num_processors_by_type": {t: counts.get(t, 0) for t in initial_counts},
        "num_console_processors_by_type": dict(initial_counts),
    }


@torch.no_grad()
def _mix_without(module: ConsoleModule, song: Song, row: int) -> Tensor:
    """The mix of a song with one of its tracks muted, (2, L), on the CPU."""
    part = module.part(song)

    def read(start: int, stop: int) -> Tensor:
        sources = song.sources[..., start:stop].to(part.weights.device, part.weights.dtype, copy=True)
        sources[row] = 0
        return sources

    values = part.parameters, part.weights
    block, mono = module.rendering.block, song.mono_rows if module.rendering.shortcuts else ()
    pieces = render_blocks(part.graph, module.processors, read, *values, song.num_samples, block, mono)
    return torch.cat(list(pieces), dim=-1)[0].cpu()


def within_tolerance(
    console: SongScore, found: SongScore, tolerance: float | None, denominator: Denominator
) -> bool | None:
    """The constraint of the whole search (paper eq. 7): at most the tolerance above the loss of the trained console.

    Args:
        console: the trained console's score.
        found: that of the found graph.
        tolerance: of pruning; None where nothing was pruned, for which the answer is None.
        denominator: of the loss that was searched by.
    """
    if tolerance is None:
        return None
    return found.over(denominator)["full"] <= console.over(denominator)["full"] + tolerance


def describe(song: Song) -> list[str]:
    """What was read, for a person: tracks, offsets and polarities against the mix, warnings."""
    seconds = song.num_samples / song.sample_rate
    counts = f"{len(song.tracks)} tracks, {len(song.subgroups)} subgroups"
    band = f"read at {song.sample_rate} Hz (up to {song.sample_rate / 2000:g} kHz)"
    lines = [f"{song.title or song.name}: {counts}, {seconds:.1f} s, {band}"]
    groups = (f"{name} ({', '.join(members)})" for name, members in song.subgroups.items())
    lines.append(f"  subgroups: {', '.join(groups)}")
    for track in song.alignment:
        if track.confidence < MIN_CONFIDENCE:
            lines.append(f"  {track.track}: no clear offset against the mix (confidence {track.confidence:.2f})")
            continue
        late = track.offset_samples
        told = f"{abs(late)} samples ({1000 * abs(late) / song.sample_rate:.2f} ms) {'late' if late > 0 else 'early'}"
        sign = ", polarity flipped" if track.polarity < 0 else ""
        applied = ", corrected" if track.applied else ""
        told = f"{told if late else 'in time'}{sign} (confidence {track.confidence:.2f}{applied})"
        lines.append(f"  {track.track}: against the mix {told}")
    notable = NOTABLE_OFFSET_SECONDS * song.sample_rate  # below it, it may be the phase of an equalizer in the mix
    clear = [track for track in song.alignment if track.confidence >= MIN_CONFIDENCE and not track.applied]
    if any(abs(track.offset_samples) > notable or track.polarity < 0 for track in clear):
        lines.append("  (offsets are left as they are; --data.apply_alignment=true corrects them)")
    return lines + [f"  warning: {warning}" for warning in song.warnings]


def default_path(song: Song) -> Path:
    """`results/SONG`, or, in a wandb sweep, `results/SONG_RUN`, so that its runs do not collide."""
    run = os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None
    return Path("results") / (f"{song.name}_{run}" if run else song.name)


def summary(path: Path, metrics: dict[str, Any]) -> str:
    """The few figures that matter, for a person."""
    losses = metrics["losses"]
    searched = "loss" if metrics["denominator"] == "target" else "loss_prediction"
    full = {name: losses[name][searched]["full"] for name in losses}
    count = metrics["num_processors"]
    stopped = ""
    if metrics["steps"] < metrics["planned_steps"]:
        stopped = f"Stopped after {metrics['steps']} of {metrics['planned_steps']} steps, with the graph as it was.\n"
    return (
        f"{stopped}"
        f"Match loss: dry sum {full['dry_sum']:.3f}, console {full['console']:.3f}, found graph {full['found']:.3f}.\n"
        f"Processors: {count['found']} of {count['console']} left ({metrics['pruning_ratio']:.0%} pruned).\n"
        f"{_exceeded(full, metrics)}"
        + "".join(f"{line}\n" for line in verdict_lines(metrics["verdict"], losses["found"]["loss"]["full"]))
        + f"Result in {path}: {', '.join(RESULT_FILES)}."
    )


def _exceeded(full: Mapping[str, float], metrics: Mapping[str, Any]) -> str:
    if metrics["within_tolerance"] is not False:
        return ""
    return (
        f"The found graph is {full['found'] - full['console']:.3f} above the console, more than the tolerance of "
        f"{metrics['tolerance']:g}. HINT: lower pruning.tolerance, or train longer between rounds.\n"
    )


def to_csv(records: list[dict[str, Any]]) -> str:
    """Rows with all columns that any of them has."""
    buffer = io.StringIO()
    columns = list(dict.fromkeys(name for row in records for name in row))
    writer = csv.DictWriter(buffer, columns)
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()
