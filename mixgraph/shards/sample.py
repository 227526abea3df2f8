"""One sample of a data set: a song's graph with its parameters, its meta data, and its audio if there is any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from mixgraph.graph.types import MixGraph
from mixgraph.processors import Processors
from mixgraph.render import BLOCK, render_song
from mixgraph.shards.fields import AUDIO, DRY, GRAPH, META, MIX, PARAMETERS, TRACE, check_fields, parse_json
from mixgraph.shards.flac import FlacPart
from mixgraph.shards.graphs import Values, processors_of, read_graph, read_parameters, read_trace
from mixgraph.shards.meta import UNKNOWN_SETTINGS, check_fit, check_meta


class SampleAudio(Protocol):
    """The audio of a sample at the level of the search, which the graph expects; methods read it on demand."""

    @property
    def num_samples(self) -> int:
        """The length in samples."""
        ...

    @property
    def sample_rate(self) -> int:
        """The sample rate in Hz."""
        ...

    def tracks(self, start: int, stop: int) -> Tensor:
        """Reads the dry tracks from `start` to `stop`, (K, 2, stop - start) float32, in order of the graph's inputs.

        Samples before 0 and from `num_samples` on are zeros.
        """
        ...

    def mix(self, start: int, stop: int) -> Tensor:
        """Reads the engineer's mix, (2, stop - start) float32, with zeros as in `tracks`."""
        ...


@dataclass(frozen=True)
class FlacAudio:
    """The audio of a sample from the FLAC files in its shard; a stretch is decoded without the rest."""

    dry: FlacPart
    finished: FlacPart
    scales: tuple[float, ...]
    mix_scale: float

    @property
    def num_samples(self) -> int:
        return self.dry.num_samples

    @property
    def sample_rate(self) -> int:
        return self.dry.sample_rate

    def tracks(self, start: int, stop: int) -> Tensor:
        return torch.stack([self.dry.read(k, start, stop) * scale for k, scale in enumerate(self.scales)])

    def mix(self, start: int, stop: int) -> Tensor:
        return self.finished.read(0, start, stop) * self.mix_scale


@dataclass(frozen=True, eq=False)
class GraphSample:
    """A pair of a mixing graph and its audio.

    Attributes:
        key: the key of the sample, unique in its data set.
        graph: the graph of one song.
        parameters: type -> name -> (nodes of the type, *shape), in trained coordinates.
        weights: the dry/wet weight of each processor, (processors,).
        loss_increases: the rise of the match loss when each processor is removed, (processors,) float64; None if not
            known.
        meta: the decoded meta.json, see `mixgraph.shards.meta`.
        audio: the audio; None if the data set has none and was read without a copy of the songs.
        processor_options: processor name -> constructor arguments that differ from the defaults.
        shard: the file that the sample was read from, for error messages.
    """

    key: str
    graph: MixGraph
    parameters: Values
    weights: Tensor
    loss_increases: Tensor | None
    meta: dict[str, Any]
    audio: SampleAudio | None = None
    processor_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    shard: str = ""
    trace_json: bytes = field(default=b"[]", repr=False)

    @property
    def sample_rate(self) -> int:
        """The sample rate in Hz."""
        return int(self.meta["sample_rate"])

    @property
    def num_samples(self) -> int:
        """The length of the song, or of the excerpt, in samples."""
        return int(self.meta["num_samples"])

    @property
    def settings_known(self) -> bool:
        """Whether parameters and weights are those of the mix; not where other effects made it (`unknown_settings`)."""
        return not self.meta["extra"].get(UNKNOWN_SETTINGS, False)

    def trace(self) -> list[dict[str, Any]]:
        """Every trial of the search with its candidates, loss and verdict, decoded on first use.

        Raises:
            ValueError: the trace is damaged.
        """
        return read_trace(self.trace_json, f"{self.shard}: {self.key}: {TRACE}")

    def processors(self) -> Processors:
        """The processors of the graph, on its device; samples with equal processor options share them."""
        return processors_of(self.sample_rate, self.processor_options, self.weights.device)

    def render(self, sources: Tensor, block: int = BLOCK, first: int = 0) -> Tensor:
        """Renders dry tracks (K, 2, L) at the level of the search with the graph, from sample `first` on: (2, L).

        Raises:
            ValueError: the sample's settings are not known, see `settings_known`.
        """
        if not self.settings_known:
            raise ValueError(f"{self.shard}: {self.key}: cannot be rendered: other effects made its mix")
        first += int(self.meta["excerpt_start"])
        values = self.parameters, self.weights
        with torch.no_grad():
            return render_song(self.graph, self.processors(), sources, *values, block, first=first)[0]

    def to(self, device: torch.device | str) -> GraphSample:
        """Returns a copy whose tensors are on a device."""
        return replace(
            self,
            parameters={t: {name: v.to(device) for name, v in values.items()} for t, values in self.parameters.items()},
            weights=self.weights.to(device),
            loss_increases=None if self.loss_increases is None else self.loss_increases.to(device),
        )


@dataclass(frozen=True)
class RawSample:
    """An undecoded sample of a shard.

    Attributes:
        shard: the path of the tar.
        key: the key of the sample.
        fields: name -> content of the fields that are not audio.
        audio: name -> (offset, size) in bytes of the audio fields.
        ignored: names of files whose field is unknown; they were not read.
    """

    shard: Path
    key: str
    fields: Mapping[str, bytes]
    audio: Mapping[str, tuple[int, int]]
    ignored: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The names of shard and sample, for error messages."""
        return f"{self.shard}: {self.key}"


def decode_sample(raw: RawSample, strict: bool = False) -> GraphSample:
    """Decodes graph, parameters and meta data of a sample; its trace and audio are decoded on first use.

    Args:
        raw: the undecoded sample.
        strict: refuse JSON objects that repeat a key (slower).

    Raises:
        ValueError: a field is damaged; the message names shard, sample and field.
    """
    sizes = {name: len(data) for name, data in raw.fields.items()} | {n: size for n, (_, size) in raw.audio.items()}
    try:
        check_fields(sizes)
    except ValueError as error:
        raise ValueError(f"{raw.where}: {error}") from error
    file = read_graph(raw.fields[GRAPH], f"{raw.where}: {GRAPH}", strict)
    parameters, weights = read_parameters(raw.fields[PARAMETERS], file, f"{raw.where}: {PARAMETERS}")
    at = f"{raw.where}: {META}"
    meta = check_meta(parse_json(raw.fields[META], at, strict), at)
    check_fit(meta, file.graph, at)
    if meta["key"] != raw.key:
        raise ValueError(f"{at}: key: {raw.key!r} is needed, as the files are called, got {meta['key']!r}")
    if meta["sample_rate"] != file.sample_rate:
        raise ValueError(f"{at}: sample_rate: the graph's {file.sample_rate} is needed, got {meta['sample_rate']}")
    return GraphSample(
        key=raw.key,
        graph=file.graph,
        parameters=parameters,
        weights=weights,
        loss_increases=file.loss_increases,
        meta=meta,
        audio=_audio(raw, meta),
        processor_options=file.processor_options,
        shard=str(raw.shard),
        trace_json=raw.fields[TRACE],
    )


def _audio(raw: RawSample, meta: dict[str, Any]) -> FlacAudio | None:
    scales = tuple(track["scale"] for track in meta["tracks"])
    if bool(raw.audio) != (scales[0] is not None):
        audio = "but no audio" if scales[0] is not None else "for its audio none"
        raise ValueError(f"{raw.where}: {META}: scale: {' and '.join(AUDIO)} need scales; the sample has {audio}")
    if not raw.audio:
        return None
    rate, length = meta["sample_rate"], meta["num_samples"]
    dry, finished = (
        FlacPart(raw.shard, *raw.audio[name], f"{raw.where}: {name}", rate, parts, length)
        for name, parts in ((DRY, len(scales)), (MIX, 1))
    )
    return FlacAudio(dry, finished, scales, meta["mix"]["scale"])
