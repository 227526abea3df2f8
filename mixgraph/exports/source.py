"""What a format exports: a found graph with its settings, its dry tracks and its printed stems."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from mixgraph.exports.settings import ExportSettings
from mixgraph.render import BLOCK
from mixgraph.report.settings import NodeSettings, read_settings
from mixgraph.results.found_graph import FoundGraph, load_result
from mixgraph.results.rendering import choose_rate, read_tracks
from mixgraph.results.stems import Stem, render_stems
from mixgraph.shipped import song_path
from mixgraph.songs.track_files import MatchedTrack, list_tracks, match_tracks

USUAL_RATE = 48000
"""Sample rate in Hz of an export that needs no tracks where the rate of their files is not known."""


@dataclass(frozen=True, eq=False)
class ExportSource:
    """A found graph, ready to be exported.

    Attributes:
        found_graph: the graph at the sample rate of the export.
        searched: the graph as it was found, at the sample rate of the search.
        settings: what the user chose.
        sources: the dry tracks, (inputs, 2, L), at their own level, at the sample rate of the export, placed as in the
            search; no tracks where the format needs none.
        notes: lines for a person on how the tracks were read.
        folder: the folder that they were read from; None where none were read.
    """

    found_graph: FoundGraph
    searched: FoundGraph
    settings: ExportSettings
    sources: Tensor = field(default_factory=lambda: torch.zeros(0, 2, 0))
    notes: tuple[str, ...] = ()
    folder: Path | None = None

    @property
    def sample_rate(self) -> int:
        """The sample rate of all audio of the export, in Hz."""
        return self.found_graph.sample_rate

    @property
    def title(self) -> str:
        """The song's title, or its name where it has none."""
        metrics = self.searched.metrics
        return (metrics.song.title if metrics is not None else "") or self.found_graph.name

    @property
    def licence(self) -> str:
        """The song's licence, `""` where none is stated."""
        metrics = self.searched.metrics
        return (metrics.song.licence if metrics is not None else "") or ""

    @property
    def placement_lines(self) -> list[str]:
        """Lines on tracks that were not read from the first sample of their file on, or upside down."""
        lines = []
        for track, (start, sign) in self.found_graph.placements.items():
            parts = ["polarity inverted"] if sign < 0 else []
            if start:
                seconds = abs(start) / self.sample_rate
                way = "before the song: place it earlier by that" if start > 0 else "after it: place it later by that"
                parts.append(f"its file begins {abs(start)} samples ({seconds:.3f} s) {way}")
            lines += [f"Track {track}: {'; '.join(parts)}."] if parts else []
        return lines

    @property
    def block(self) -> int:
        """Length of a block of rendering in samples."""
        return self.settings.block or BLOCK

    @cached_property
    def mix(self) -> Tensor:
        """The found mix, (2, L), at the tracks' own level."""
        return self.found_graph.render(self.sources, self.block)

    def stems(self) -> Iterator[Stem]:
        """Renders the printed stems one after the other, see `mixgraph.results.stems.render_stems`."""
        return render_stems(self.found_graph, self.sources, self.block, self.mix)

    @cached_property
    def node_settings(self) -> tuple[NodeSettings, ...]:
        """The settings of all processors, chain by chain, in the signal's order within a chain."""
        found = self.found_graph
        values = found.parameters, found.weights, found.num_samples, found.level, found.loss_increases
        return tuple(read_settings(found.graph, found.processors, *values))


def open_source(result: Path, tracks: Path | None, settings: ExportSettings, needs_tracks: bool) -> ExportSource:
    """Reads a result folder and, where they are needed, its tracks.

    Args:
        result: folder of a result, or of a saved graph.
        tracks: folder of the song, or of its tracks; None takes the one that the search read.
        settings: what the user chose.
        needs_tracks: whether the format needs audio.

    Raises:
        FileNotFoundError: files of the result, the tracks' folder or tracks are missing.
        ValueError: a damaged result, tracks that are not those of the search, or ones that cannot be read.
    """
    found_graph = load_result(result)
    if not needs_tracks:
        rate, rate_notes = _rate_without_audio(found_graph, tracks, settings)
        return ExportSource(found_graph.at_sample_rate(rate), found_graph, settings, notes=tuple(rate_notes))
    folder = _tracks_folder(found_graph, tracks)
    matches = _match(found_graph, folder)
    notes = _check_unchanged(found_graph, matches, folder, settings)
    files = [match.file.path for match in matches]
    rate, rate_notes = choose_rate(settings.sample_rate, found_graph.sample_rate, files)
    at_rate = found_graph.at_sample_rate(rate)
    read = read_tracks(at_rate, folder)
    notes += [_rate_line(rate, found_graph.sample_rate), *rate_notes, *read.notes]
    return ExportSource(at_rate, found_graph, settings, read.sources, tuple(notes), folder)


def _rate_without_audio(
    found_graph: FoundGraph, tracks: Path | None, settings: ExportSettings
) -> tuple[int, list[str]]:
    """Returns the sample rate of an export that reads no tracks: that of their files, or a usual one."""
    searched_at = found_graph.sample_rate
    if settings.sample_rate != "file":
        rate, notes = choose_rate(settings.sample_rate, searched_at, [])
        return rate, [_rate_line(rate, searched_at), *notes]
    try:
        matches = _match(found_graph, _tracks_folder(found_graph, tracks))
    except (ValueError, FileNotFoundError):
        if tracks is not None:
            raise
        return USUAL_RATE, [
            f"Sample rate: {USUAL_RATE} Hz, for the tracks, whose rate would be taken, are not here; --sample-rate "
            f"says another. The graph was found at {searched_at} Hz."
        ]
    rate, notes = choose_rate("file", searched_at, [match.file.path for match in matches])
    return rate, [_rate_line(rate, searched_at), *notes]


def _match(found_graph: FoundGraph, folder: Path) -> list[MatchedTrack]:
    names = [found_graph.graph.names[i] for i in found_graph.graph.inputs]
    return match_tracks(names, found_graph.origins, list_tracks(folder), folder)


def _rate_line(rate: int, searched_at: int) -> str:
    searched = f"; the graph was found at {searched_at} Hz" if rate != searched_at else ""
    return f"Sample rate: {rate} Hz{searched}."


def _tracks_folder(found_graph: FoundGraph, tracks: Path | None) -> Path:
    if tracks is not None:
        return song_path(tracks)
    hint = "give --tracks DIR, the folder of the song or of its tracks"
    try:
        config = found_graph.config()
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"tracks: the result does not say where they are ({error}); {hint}") from error
    data = config.get("data")
    stated = data.get("path") if isinstance(data, dict) else None
    if not isinstance(stated, str) or found_graph.folder is None:
        raise ValueError(f"tracks: the result's config.yaml does not say where they are (data.path); {hint}")
    here = found_graph.folder if config.get("relative_to") == "this_file" else Path()
    folder = song_path(here / stated)
    if not folder.is_dir():
        raise FileNotFoundError(f"tracks: {stated}, which the search read, is not here; {hint}")
    return folder


def _check_unchanged(
    found_graph: FoundGraph, matches: list[MatchedTrack], folder: Path, settings: ExportSettings
) -> list[str]:
    """Refuses tracks whose content is not that of the search, unless they are allowed; returns notes."""
    if not found_graph.origins:
        return ["Whether the tracks are those of the search is not known: the result has no hashes of them."]
    changed = [f"{match.track} ({match.file.path.name})" for match in matches if not match.is_original]
    if changed and not settings.allow_changed:
        raise ValueError(
            f"tracks: the files of the search are needed, by their content; {folder} has others for "
            f"{', '.join(changed)}. HINT: --changed-tracks allow, where that is meant"
        )
    return [f"Not the files of the search, as allowed: {', '.join(changed)}."] if changed else []
