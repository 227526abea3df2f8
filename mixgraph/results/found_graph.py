"""Result folders, read: a found graph with its values, its rendering, and the search's other files."""

from __future__ import annotations

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
from mixgraph.graph.values import GraphValues
from mixgraph.names import shown_value
from mixgraph.processors import Processors, make_processors
from mixgraph.processors.base import check_rate
from mixgraph.render import BLOCK, render, render_song
from mixgraph.report.settings import NodeSettings, read_settings, settings_text
from mixgraph.results.contents import CONFIG, LOG, TIMINGS, TRACE
from mixgraph.results.log import LogRow, log_from_csv
from mixgraph.results.metrics import (
    METRICS,
    Metrics,
    SongReading,
    TrackReading,
    has_search,
    read_metrics,
    read_reading,
    write_metrics,
)
from mixgraph.results.publish import FolderKind, Place, publish_folder
from mixgraph.songs.track_files import TrackOrigin
from mixgraph.system.files import json_lines, parse_json, parse_yaml, read_text, write_atomically

_FILES = ("graph.json", "parameters.safetensors", METRICS)
_SAVED = FolderKind(
    "saved graph",
    foreign=lambda entries: [entry for entry in entries if entry.name not in _FILES],
    is_whole=lambda folder: all((folder / name).is_file() for name in _FILES),
)


@dataclass(frozen=True, eq=False)
class FoundGraph:
    """A graph that a search found, with all that rendering needs.

    Attributes:
        graph: the graph of one song.
        processors: the modules that render its nodes, by type, as they were in the search.
        processor_options: processor name -> constructor arguments that differ from the defaults.
        parameters: type -> name -> (nodes of the type, *shape).
        weights: dry/wet weights, (processors,).
        sample_rate: sample rate in Hz at which the graph renders.
        level: the factor that the tracks were multiplied by in the search; the graph expects it.
        num_samples: length of the song.
        placements: track -> (first sample read, polarity), as the song was read in the search.
        origins: track -> the file that it had in the search, where the song was read from files.
        loss_increases: (processors,), rise of the loss when a processor is removed (paper eq. 9), where the search
            measured it.
        metrics: the figures of the search; None for a graph that was saved by `save`, or has other values by now.
        folder: the folder that the graph was read from; None if it was not, or has other values by now.
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
    metrics: Metrics | None = None
    folder: Path | None = None

    def trace(self) -> list[dict[str, Any]]:
        """Every trial, round and measured loss increase of the search, a row each, in order of time.

        Raises:
            ValueError: the graph was not searched for (no result folder), or the file is damaged.
            FileNotFoundError: the file is missing from the result folder.
        """
        path = self._file(TRACE)
        try:
            rows: list[dict[str, Any]] = json_lines(read_text(path))
        except ValueError as error:
            raise ValueError(f"{path}: a JSON object a line is needed ({error})") from error
        return rows

    def log(self) -> list[LogRow]:
        """What was logged while training: `step`, `stage` and numbers by name, a row each, in order of time.

        Raises:
            ValueError: the graph was not searched for (no result folder), or the file is damaged.
            FileNotFoundError: the file is missing from the result folder.
        """
        path = self._file(LOG)
        try:
            return log_from_csv(read_text(path))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def timings(self) -> dict[str, Any]:
        """How long the search took, by part, and on which machine.

        Raises:
            ValueError: the graph was not searched for (no result folder), or the file is damaged.
            FileNotFoundError: the file is missing from the result folder.
        """
        path = self._file(TIMINGS)
        try:
            timings: dict[str, Any] = parse_json(read_text(path))
        except ValueError as error:
            raise ValueError(f"{path}: a JSON object is needed ({error})") from error
        if not isinstance(timings, dict):
            raise ValueError(f"{path}: a JSON object is needed, got {shown_value(timings)}")
        return timings

    def config(self) -> dict[str, Any]:
        """The settings of the search, as `python -m mixgraph fit --config` takes them; none for one from Python.

        Raises:
            ValueError: the graph was not searched for (no result folder), or the file is damaged.
            FileNotFoundError: the file is missing from the result folder.
        """
        path = self._file(CONFIG)
        try:
            settings: dict[str, Any] = parse_yaml(read_text(path)) or {}
        except ValueError as error:
            raise ValueError(f"{path}: YAML is needed ({error})") from error
        if not isinstance(settings, dict):
            raise ValueError(f"{path}: a YAML mapping is needed, got {shown_value(settings)}")
        return settings

    def _file(self, name: str) -> Path:
        if self.folder is None or self.metrics is None:
            raise ValueError(f"{name}: the result folder of a search is needed, got {self!r}, which stands alone")
        if not (self.folder / name).is_file():
            raise FileNotFoundError(f"{self.folder}: {name} is missing; a result folder of a search is needed")
        return self.folder / name

    def render(self, sources: Tensor, block: int = BLOCK) -> Tensor:
        """Renders dry tracks to a mix, (inputs, 2, L) to (2, L), any length L, both at their own level, no gradients.

        `load_song` multiplies tracks and mix by `Song.level`, and losses are measured at that level: of a loaded song,
        render `song.sources / song.level`, and compare `song.level` times the mix with `song.mix`.

        L may be other than `num_samples`, the length of the song in the search. The same stretch of longer tracks
        sounds the same, up to the lookahead of the equalizers at its end.
        """
        with torch.no_grad():
            mix = render_song(self.graph, self.processors, sources * self.level, self.parameters, self.weights, block)
        return mix[0] / self.level

    def at_sample_rate(self, sample_rate: int) -> FoundGraph:
        """Returns the graph for audio at another sample rate: the same sound up to what was heard in the search.

        Delays and times are kept in seconds. Responses are kept in Hz up to 88 % of half the rate of the search (13.2
        kHz of 15): there the filter begins to fall through which tracks and mix were read, so that the search heard
        nothing above; equalizers, taps and reverbs go on flat from there. Audio of the graph's own rate is filtered at
        that frequency, audio of this one is not.

        Raises:
            ValueError: a rate that processors do not have, or a processor from outside that does not say how its
                settings are taken to another rate.
        """
        if sample_rate == self.sample_rate:
            return self
        check_rate("sample_rate", sample_rate)
        options = {name: dict(named) for name, named in self.processor_options.items()}
        parameters = {}
        for node_type, values in self.parameters.items():
            settings = self.processors[node_type].at_sample_rate(values, sample_rate)
            parameters[node_type] = dict(settings.parameters)
            if settings.options:
                options[node_type] = {**options.get(node_type, {}), **settings.options}
        ratio = sample_rate / self.sample_rate
        return replace(
            self,
            processors=make_processors(sample_rate, options).to(self.weights.device),
            parameters=parameters,
            sample_rate=sample_rate,
            num_samples=max(1, int(self.num_samples * ratio)),
            placements={track: (round(start * ratio), sign) for track, (start, sign) in self.placements.items()},
            processor_options=options,
            metrics=None,
            folder=None,
        )

    def render_with_gradients(self, sources: Tensor) -> Tensor:
        """Renders the same mix at once, so that gradients reach the sources, the parameters and the weights.

        Takes memory for the whole song; levels and shapes are those of `render`.

        Raises:
            ValueError: sources of another shape.
        """
        rendering = render(
            GraphValues(self.graph, self.parameters, self.weights), self.processors, sources * self.level
        )
        return rendering.mix[0] / self.level

    def with_parameters(
        self, parameters: Mapping[str, Mapping[str, Tensor]] | None = None, weights: Tensor | None = None
    ) -> FoundGraph:
        """Returns a copy with other values; values that are left out stay, and so do the tensors' gradients.

        Args:
            parameters: type -> name -> (nodes of the type, *shape), in trained coordinates;
                `processors[type].specification[name].from_unit` makes them of values in units.
            weights: dry/wet weights, (processors,), in 0..1.

        Raises:
            ValueError: a type or name that the graph does not have, another shape, or values that are not finite.
        """
        merged = {node_type: dict(values) for node_type, values in self.parameters.items()}
        for node_type, values in (parameters or {}).items():
            if node_type not in merged:
                raise ValueError(f"parameters: one of {', '.join(merged)} is needed, got {node_type!r}")
            merged[node_type].update(values)
        flat = {f"{node_type}.{name}": value for node_type, values in merged.items() for name, value in values.items()}
        flat[WEIGHT_KEY] = self.weights if weights is None else weights
        checked = check_parameters(flat, {"schema_version": "1"}, self.graph, self.processors, "parameters")
        # What the search measured is of the values before.
        changed = replace(self, loss_increases=None, metrics=None, folder=None)
        return replace(changed, parameters=checked[0], weights=checked[1])

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Writes a folder that `load_result` reads: the graph, its values, level, length and places of the tracks.

        A graph that was loaded is saved with the same bytes of graph.json and parameters.safetensors. The folder has
        its name when all of it is written. Losses, trace and pictures of a search are not in it.

        Raises:
            FileExistsError: there is such a folder already, and it is not to be overwritten, or it is another than
                a saved graph's.
        """
        place = Place(Path(path), _SAVED, "path", "choose another folder or give overwrite=True")
        with publish_folder(place, overwrite) as work:
            save_graph(
                work / "graph.json",
                self.graph,
                self.weights,
                loss_increases=self.loss_increases,
                sample_rate=self.sample_rate,
                processor_options=self.processor_options,
            )
            write_atomically(work / "parameters.safetensors", parameters_to_bytes(self.parameters, self.weights))
            write_metrics(work, self._reading())

    def _reading(self) -> SongReading:
        names = [self.graph.names[i] for i in self.graph.inputs]
        hashes: dict[str, str | None] = {}
        if set(names) <= set(self.origins):
            files = {origin.file: origin.sha256 for origin in map(self.origins.__getitem__, names)}
            hashes = {"mix": None, **files}  # the mix's comes first; it is not known here
        return SongReading(
            sample_rate=self.sample_rate,
            num_samples=self.num_samples,
            level=self.level,
            tracks=tuple(TrackReading(name, *self.placements.get(name, (0, 1))) for name in names),
            file_hashes=hashes,
        )

    def settings(self) -> list[dict[str, Any]]:
        """Returns the settings of every processor in dB, Hz, ms, seconds and ratios, chain by chain as the signal goes.

        Each processor has `node`, `place` (`track kick`), `type`, `weight` (dry/wet), `loss_increase` (None where not
        measured), `probability_right` (see docs/guide/confidence.md; None as long as it is not calibrated), `text` (a
        line for people), `readings`, see `report.readings.readings_numbers`, and `parametric`: the same as a few bands,
        a feedback delay or a room, with `error_db`; None for types that need none.
        `pandas.DataFrame` takes the list.
        """
        return [
            {
                "node": node_settings.node,
                "place": node_settings.place,
                "type": node_settings.processor.name,
                "weight": node_settings.values.weight,
                "loss_increase": node_settings.loss_increase,
                "probability_right": node_settings.probability_right,
                "text": node_settings.text(),
                "readings": node_settings.numbers(),
                "parametric": None if node_settings.parametric is None else node_settings.parametric.numbers,
            }
            for node_settings in self._node_settings()
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
        """Returns the drawing that a notebook shows."""
        from mixgraph.report.drawing.draw import draw_svg  # loads matplotlib, which nothing else here needs

        texts = {node_settings.node: node_settings.drawn_text() for node_settings in self._node_settings()}
        return draw_svg(self.graph, self.weights, self.name, texts)


def load_result(path: str | Path) -> FoundGraph:
    """Reads a result folder, or one that `FoundGraph.save` wrote.

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
    metrics = read_metrics(path) if has_search(path) else None
    reading = read_reading(path) if metrics is None else metrics
    if reading.sample_rate != file.sample_rate:
        raise ValueError(
            f"{path / METRICS}: sample_rate: {file.sample_rate} is needed, as in graph.json, got {reading.sample_rate}"
        )
    return FoundGraph(
        graph=file.graph,
        processors=processors,
        parameters=parameters,
        weights=weights,
        sample_rate=file.sample_rate,
        level=reading.level,
        num_samples=reading.num_samples,
        placements={track.name: (track.start_sample, track.polarity) for track in reading.tracks},
        processor_options={name: dict(options) for name, options in file.processor_options.items()},
        origins=_origins(reading),
        loss_increases=file.loss_increases,
        metrics=metrics,
        folder=path,
    )


def _origins(reading: SongReading) -> dict[str, TrackOrigin]:
    """Returns the file of each track; nothing where hashes of the mix and all tracks are not known."""
    files = list(reading.file_hashes.items())[1:]  # the mix's is first
    if len(files) != len(reading.tracks):
        return {}
    return {
        track.name: TrackOrigin(file, digest or "") for track, (file, digest) in zip(reading.tracks, files, strict=True)
    }
