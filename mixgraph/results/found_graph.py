"""Result folders, read: a found graph with its values, and its rendering on tracks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixgraph.graph.io import (
    WEIGHT_KEY,
    check_parameters,
    load_graph,
    load_parameters,
    parameters_to_bytes,
    save_graph,
)
from mixgraph.graph.types import MixGraph
from mixgraph.names import shown_value
from mixgraph.processors import Processors, make_processors
from mixgraph.render import BLOCK, check_block, render, render_song
from mixgraph.report.readings import read_numbers
from mixgraph.report.settings import NodeSettings, read_settings, settings_text
from mixgraph.results import FolderKind, Place
from mixgraph.songs import WrittenAudio, write_audio
from mixgraph.songs.clips import cut
from mixgraph.songs.decode import decode
from mixgraph.songs.load import describe_absurd
from mixgraph.songs.resample import resample
from mixgraph.songs.track_files import MatchedTrack, TrackOrigin, describe_matches, list_tracks, match_tracks
from mixgraph.system.files import json_text, write_atomically

_MOST_SECONDS = 86400  # of a song
_LEAST_LEVEL = 1e-8  # less, or its inverse, no song within +60 dBFS can get
_FILES = ("graph.json", "parameters.safetensors", "metrics.json")
_SAVED = FolderKind(
    "saved graph",
    foreign=lambda entries: [entry for entry in entries if entry.name not in _FILES],
    is_whole=lambda folder: all((folder / name).is_file() for name in _FILES),
)


@dataclass(frozen=True, eq=False)
class FoundGraph:
    """A graph that a search found, with all that rendering needs.

    Attributes:
        graph: of one song.
        processors: as they were in the search.
        processor_options: that they were made with, where these differ from the defaults.
        parameters: type -> name -> (nodes of the type, *shape).
        weights: dry/wet weights, (processors,).
        sample_rate: in Hz.
        level: the factor that the tracks were multiplied by in the search; the graph expects it.
        num_samples: length of the song.
        placements: track -> (first sample read, polarity), where the song had it so.
        origins: track -> the file that it had in the search, where the song was read from files.
        loss_increases: of removing each processor (paper eq. 9), (processors,), where the search measured them.
    """

    graph: MixGraph
    processors: Processors
    parameters: dict[str, dict[str, Tensor]]
    weights: Tensor
    sample_rate: int
    level: float
    num_samples: int
    placements: dict[str, tuple[int, int]]
    processor_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    origins: dict[str, TrackOrigin] = field(default_factory=dict)
    loss_increases: Tensor | None = None

    def render(self, sources: Tensor, block: int = BLOCK) -> Tensor:
        """The mix of dry tracks, (inputs, 2, L) to (2, L), for any length L; both at their own level, no gradients.

        `load_song` multiplies tracks and mix by `Song.level`, and losses are measured at that level: of a loaded song,
        render `song.sources / song.level`, and compare `song.level` times the mix with `song.mix`.

        L may be other than `num_samples`, the length of the song in the search. The same stretch of longer tracks
        sounds the same, up to the lookahead of the equalizers at its end.
        """
        with torch.no_grad():
            mix = render_song(self.graph, self.processors, sources * self.level, self.parameters, self.weights, block)
        return mix[0] / self.level

    def render_with_gradients(self, sources: Tensor) -> Tensor:
        """The same mix at once, through which gradients reach the sources, the parameters and the weights.

        Takes memory for the whole song; levels and shapes are those of `render`.

        Raises:
            ValueError: sources of another shape.
        """
        made = render(self.graph, self.processors, sources * self.level, self.parameters, self.weights)
        return made.mix[0] / self.level

    def with_parameters(
        self, parameters: Mapping[str, Mapping[str, Tensor]] | None = None, weights: Tensor | None = None
    ) -> FoundGraph:
        """A copy with other values; those that are not given stay, and so do the tensors' gradients.

        Args:
            parameters: type -> name -> (nodes of the type, *shape), in trained coordinates;
                `processors[type].specification[name].from_unit` makes them of values in units.
            weights: dry/wet weights, (processors,), in 0..1.

        Raises:
            ValueError: a type or name that the graph does not have, another shape, or values that are not finite.
        """
        merged = {node_type: dict(named) for node_type, named in self.parameters.items()}
        for node_type, named in (parameters or {}).items():
            if node_type not in merged:
                raise ValueError(f"parameters: one of {', '.join(merged)} is needed, got {node_type!r}")
            merged[node_type].update(named)
        flat = {f"{node_type}.{name}": value for node_type, named in merged.items() for name, value in named.items()}
        flat[WEIGHT_KEY] = self.weights if weights is None else weights
        checked = check_parameters(flat, {"schema_version": "1"}, self.graph, self.processors, "parameters")
        return replace(self, parameters=checked[0], weights=checked[1], loss_increases=None)

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Writes a folder that `load_result` reads: the graph, its values, level, length and places of the tracks.

        A graph that was loaded is saved with the same bytes of graph.json and parameters.safetensors. The folder has
        its name when all of it is written. Losses, trace and pictures of a search are not in it.

        Raises:
            FileExistsError: there is such a folder already, and it is not to be overwritten, or it is another than
                a saved graph's.
        """
        names = [self.graph.names[i] for i in self.graph.inputs]
        places = [(name, *self.placements.get(name, (0, 1))) for name in names]
        metrics: dict[str, Any] = {
            "sample_rate": self.sample_rate,
            "num_samples": self.num_samples,
            "level": self.level,
            "tracks": [{"name": name, "start_sample": start, "polarity": sign} for name, start, sign in places],
        }
        if set(names) <= set(self.origins):
            files = {origin.file: origin.sha256 for origin in map(self.origins.__getitem__, names)}
            metrics["file_hashes"] = {"mix": None, **files}  # the mix's comes first; it is not known here
        with Place(Path(path), _SAVED, "path", "choose another folder or give overwrite=True").held() as held:
            held.check(overwrite)
            work = held.new_work()
            save_graph(
                work / "graph.json",
                self.graph,
                self.weights,
                loss_increases=self.loss_increases,
                sample_rate=self.sample_rate,
                processor_options=self.processor_options,
            )
            write_atomically(work / "parameters.safetensors", parameters_to_bytes(self.parameters, self.weights))
            write_atomically(work / "metrics.json", json_text(metrics, indent=1).encode())
            held.publish(work, overwrite)

    def settings(self) -> list[dict[str, Any]]:
        """What every processor is set to, in dB, Hz, ms, seconds and ratios, chain by chain as the signal goes.

        Each has `node`, `place` (`track kick`), `type`, `weight` (dry/wet), `loss_increase` (None where not measured),
        `text` (a line for people) and `readings`, see `report.readings.read_numbers`. `pandas.DataFrame` takes it.
        """
        return [
            {
                "node": own.node,
                "place": own.place,
                "type": own.processor.name,
                "weight": own.weight,
                "loss_increase": own.loss_increase,
                "text": own.text(),
                "readings": read_numbers(own),
            }
            for own in self._node_settings()
        ]

    def settings_table(self) -> str:
        """The settings as a plain table for people, as in settings.txt."""
        return settings_text(self._node_settings(), self.name, self.sample_rate)

    def _node_settings(self) -> list[NodeSettings]:
        values = self.parameters, self.weights, self.num_samples, self.level, self.loss_increases
        return read_settings(self.graph, self.processors, *values)

    @property
    def name(self) -> str:
        """The song's name."""
        return self.graph.names[self.graph.outputs[0]]

    def __repr__(self) -> str:
        counts = f"{len(self.graph.inputs)} tracks, {len(self.graph.processors)} processors"
        seconds = self.num_samples / self.sample_rate
        return f"FoundGraph({self.name}: {counts}, {seconds:.1f} s at {self.sample_rate} Hz)"

    def _repr_svg_(self) -> str:
        """The drawing that a notebook shows."""
        from mixgraph.report.drawing.draw import draw_svg  # loads matplotlib, which nothing else here needs

        told = {own.node: own.text() for own in self._node_settings()}
        return draw_svg(self.graph, self.weights, self.name, told)


def load_result(path: str | Path) -> FoundGraph:
    """Reads a result folder.

    Raises:
        FileNotFoundError: not a result folder.
        ValueError: a file of it is damaged, of a newer schema, or does not fit the others.
    """
    path = Path(path)
    for name in _FILES:
        if not (path / name).is_file():
            raise FileNotFoundError(f"{path}: {name} is missing; a result folder of a finished search is needed")
    file = load_graph(path / "graph.json")
    processors = make_processors(file.sample_rate, file.processor_options)
    parameters, weights = load_parameters(path / "parameters.safetensors", file.graph, processors)
    level, num_samples, placements, hashes = _read_metrics(path / "metrics.json", file.sample_rate)
    options = {name: dict(given) for name, given in file.processor_options.items()}
    values = file.graph, processors, parameters, weights
    files = list(hashes.items())[1:]  # the mix's is first
    known = zip(placements, files, strict=True) if len(files) == len(placements) else ()
    origins = {name: TrackOrigin(*file) for name, file in known}
    where = placements, options, origins
    return FoundGraph(*values, file.sample_rate, level, num_samples, *where, file.loss_increases)


def _read_metrics(path: Path, sample_rate: int) -> tuple[float, int, dict[str, tuple[int, int]], dict[str, str]]:
    """Level, length, placements and files' hashes, as far as they can be those of a song."""
    longest, placements = _MOST_SECONDS * sample_rate, {}

    def whole(name: str, value: Any, least: int, most: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(
                f"{path}: {name}: a whole number from {least} to {most} is needed, got {shown_value(value)}"
            )
        return value

    try:
        metrics: dict[str, Any] = _read_json(path)
        level, length = metrics["level"], whole("num_samples", metrics["num_samples"], 1, longest)
        for track in metrics["tracks"]:
            start = whole(f"start_sample of {track['name']}", track["start_sample"], -longest, longest)
            if track["polarity"] not in (-1, 1):
                got = shown_value(track["polarity"])
                raise ValueError(f"{path}: polarity of {track['name']}: 1 or -1 is needed, got {got}")
            placements[track["name"]] = start, int(track["polarity"])
        hashes: dict[str, str] = dict(metrics.get("file_hashes") or {})
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: level, num_samples and tracks are needed ({error!r})") from error
    if not isinstance(level, float | int) or not _LEAST_LEVEL <= level <= 1 / _LEAST_LEVEL:
        needed = f"a number from {_LEAST_LEVEL:g} to {1 / _LEAST_LEVEL:g}"
        raise ValueError(f"{path}: level: {needed} is needed, got {shown_value(level)}")
    return float(level), length, placements, hashes


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, no text, or a number of too many digits
        raise ValueError(f"{path}: level, num_samples and tracks are needed ({error!r})") from error


@dataclass(frozen=True, eq=False)
class TracksRead:
    """The tracks of a found graph, read again.

    Attributes:
        sources: (inputs, 2, L), at the tracks' own level.
        notes: lines for a person: how tracks were found, where not by name, and another length than the song's.
    """

    sources: Tensor
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Rendering:
    """Where a mix was written, and lines for a person on how its tracks were read."""

    written: WrittenAudio
    notes: tuple[str, ...]


def read_tracks(found: FoundGraph, folder: Path) -> TracksRead:
    """Reads the tracks of a found graph from a song's folder, of any layout, or from a folder of files.

    A track is found by the content that it had in the search, by its name and by its file's name, which may not
    contradict each other. It is read where and with the polarity that the search read it; another recording in a
    song's folder where that folder states it. If all tracks are those of the search, the length is that of its mix,
    as in the search; else it is that of the longest track.

    Raises:
        FileNotFoundError: no such folder, or tracks that are missing in it; all of them are named.
        ValueError: contradictions, two files for a track, a song's folder or files that cannot be read, or tracks
            that end before the song begins.
    """
    names = [found.graph.names[i] for i in found.graph.inputs]
    matches = match_tracks(names, found.origins, list_tracks(folder), folder)
    notes = describe_matches(matches)
    placed = [_read(found, match) for match in matches]
    original = all(match.is_original for match in matches)
    length = found.num_samples if original else max(audio.shape[-1] - start for audio, start in placed)
    if length < 1:
        raise ValueError(f"tracks: audio after the song's beginning expected in {folder}, got tracks that end before")
    if length != found.num_samples:
        searched, got = (n / found.sample_rate for n in (found.num_samples, length))
        notes.append(f"The longest track has {got:.2f} s, the song of the search {searched:.2f} s: all is rendered.")
    return TracksRead(torch.stack([cut(audio, start, length).expand(2, -1) for audio, start in placed]), tuple(notes))


def _read(found: FoundGraph, match: MatchedTrack) -> tuple[Tensor, int]:
    """A track, (1 or 2, frames), with its polarity, and the sample of it that meets the song's first."""
    audio = decode(match.file.path, found.sample_rate)
    absurd = describe_absurd(match.file.path, audio.samples, audio.sample_rate)
    if absurd is not None:
        raise ValueError(absurd)
    samples = resample(audio.samples, audio.sample_rate, found.sample_rate)
    start, polarity = found.placements.get(match.track, (0, 1))
    stated = match.file.read_offset(found.sample_rate, audio.sample_rate), match.file.polarity
    if not match.is_original and stated != (0, 1):
        start, polarity = stated
    return samples * polarity, start


def render_result(result: Path, tracks: Path, out: Path, block: int = BLOCK, overwrite: bool = False) -> Rendering:
    """Renders a result folder's graph on tracks, see `read_tracks`, and writes the mix.

    Raises:
        FileExistsError: there is such a file already, and it is not to be overwritten.
        ValueError: a block that is too short, or a file among the tracks; and as `read_tracks` and `write_audio`.
    """
    check_block(block)
    folders = {tracks.resolve(), *(file.path.resolve().parent for file in list_tracks(tracks))}
    if out.resolve().parent in folders:
        raise ValueError(f"out: {out} would be among the tracks; choose another folder")
    places = [out, out.with_suffix(".wav")] if out.suffix.lower() == ".flac" else [out]  # what clips in FLAC is WAV
    if not overwrite and (existing := [str(place) for place in places if place.exists()]):
        raise FileExistsError(f"out: {', '.join(existing)} exists and is kept; choose another name or give --overwrite")
    found = load_result(result)
    read = read_tracks(found, tracks)
    return Rendering(write_audio(out, found.render(read.sources, block), found.sample_rate), read.notes)
