"""Packs a result folder, or values in memory, into the fields of a sample; equal input gives equal bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from mixgraph.graph.io import GraphFile, load_graph, parameters_to_bytes
from mixgraph.graph.types import MixGraph
from mixgraph.names import shown_name
from mixgraph.report.confidence import probability_right
from mixgraph.results import CONFIG
from mixgraph.results.found_graph import FoundGraph, load_result
from mixgraph.results.metrics import Losses, Metrics
from mixgraph.shards.config import config_hash, portable_config
from mixgraph.shards.fields import DRY, GRAPH, META, MIX, PARAMETERS, TRACE, check_fields, check_key, to_json
from mixgraph.shards.flac import encode_flac, peak_scale
from mixgraph.shards.graphs import graph_bytes, trace_bytes
from mixgraph.shards.meta import META_VERSION, TOOL, check_fit, check_meta, type_records
from mixgraph.songs import Song
from mixgraph.songs.manifest import slug
from mixgraph.system.files import read_text

Fields = dict[str, bytes]


@dataclass(frozen=True)
class Origin:
    """The entries of `meta.json` that do not follow from the graph: the song, its files, and the search.

    Attributes:
        dataset, song, title, artist, licence: texts of meta.json; splits keep a song and an artist together by them.
        level: the factor that the files' audio was multiplied by in the search.
        num_samples: the length of the song.
        files: a pair for every track: its file relative to the song's folder and the sha256, or (None, None).
        placements: a pair for every track: the sample of its file that is aligned with the mix's first sample, and its
            polarity (1 or -1).
        mono: a flag for every track: its file is mono or has two equal channels.
        mix_file: the file of the mix and its sha256, or (None, None).
        losses: the losses of the dry sum, the console and the found graph, or None.
        console: type -> number of processors before pruning, or None.
        config: the text of the search's configuration.
        confidence: the share of the runs that keep each processor, in 0..1; None without several runs.
        extra: further entries of meta.json, stored under `extra`.
    """

    dataset: str
    song: str
    num_samples: int
    title: str = ""
    artist: str | None = None
    licence: str = ""
    level: float = 1.0
    files: Sequence[tuple[str | None, str | None]] | None = None
    placements: Sequence[tuple[int, int]] | None = None
    mono: Sequence[bool] | None = None
    mix_file: tuple[str | None, str | None] = (None, None)
    losses: Losses | None = None
    console: Mapping[str, int] | None = None
    config: str = ""
    confidence: Sequence[float | None] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def pack_result(
    folder: Path,
    song: Song | None,
    *,
    dataset: str,
    artist: str | None,
    audio: bool,
    confidence: Sequence[float | None] | None = None,
    extra_meta: Mapping[str, Any] | None = None,
    excerpt_seconds: float | None = None,
) -> Iterator[tuple[str, Fields]]:
    """Packs a result folder as one sample, or one sample for each excerpt.

    Args:
        folder: the result folder of a finished search of one song.
        song: the song as the search read it; only needed for audio, and for folders that do not list their files.
        dataset: the name of the data set that the song is from.
        artist: the artist of the song, or None; it decides the split.
        audio: put the tracks and the mix into the sample; otherwise readers find the files by name and hash.
        confidence: the share of the runs that keep each processor, in 0..1; None without several runs.
        extra_meta: further entries of meta.json, stored under `extra`, where `probability_right` of each processor is
            added: that it is one of those that made the mix.
        excerpt_seconds: cut the song into excerpts of this length (the last may be shorter); None keeps it whole.

    Yields:
        (key, field name -> bytes); the key is `DATASET-SONG`, with `-0000` and so on for excerpts.

    Raises:
        FileNotFoundError: the folder is not a result folder.
        ValueError: the folder is damaged or has no file hashes, the song is not that of the folder, or audio is to be
            packed without the song.
    """
    folder = Path(folder)
    result, file = load_result(folder), load_graph(folder / "graph.json")
    metrics, rows = result.metrics, result.trace()
    if metrics is None:
        raise ValueError(f"{folder}: the result of a search is needed, got a graph that was saved without one")
    if audio and song is None:
        raise ValueError(f"{folder}: song: needed for shards with audio, got None")
    if song is not None:
        _check_song(folder, song, result, metrics)
    origin = replace(
        _origin(folder, song, metrics),
        dataset=dataset,
        artist=artist,
        confidence=confidence,
        extra={**(extra_meta or {}), "probability_right": _probabilities(file)},
    )
    if not audio and origin.mix_file[1] is None:
        raise ValueError(
            f"{folder}: file_hashes: metrics.json has none, so that nobody could find the audio again. "
            "HINT: give the song, or put the audio into the shards"
        )
    length = origin.num_samples
    if excerpt_seconds is not None and not round(excerpt_seconds * result.sample_rate) >= 1:
        raise ValueError(f"excerpt_seconds: above 0 is needed, got {excerpt_seconds}")
    step = length if excerpt_seconds is None else round(excerpt_seconds * result.sample_rate)
    name = _key(f"{slug(dataset)}-{slug(origin.song)}", suffix=5)
    for number, start in enumerate(range(0, length, step)):
        count = min(step, length - start)
        packed = song if audio else None
        yield pack_sample(
            name if excerpt_seconds is None else f"{name}-{number:04d}",
            file,
            result.parameters,
            origin,
            tracks=None if packed is None else packed.sources[..., start : start + count],
            mix=None if packed is None else packed.mix[..., start : start + count],
            trace=rows,
            excerpt=(start, count),
        )


def pack_sample(
    key: str,
    file: GraphFile,
    parameters: Mapping[str, Mapping[str, Tensor]],
    origin: Origin,
    *,
    tracks: Tensor | None = None,
    mix: Tensor | None = None,
    trace: Iterable[Mapping[str, Any]] = (),
    excerpt: tuple[int, int] | None = None,
) -> tuple[str, Fields]:
    """Packs a sample from values in memory, such as a synthetic song, which has no result folder.

    Args:
        key: the key of the sample: letters, digits, `_` and `-`.
        file: the graph with sample rate, weights (required), loss increases and processor options.
        parameters: type -> name -> (nodes of the type, *shape).
        origin: the entries of meta.json that do not follow from the graph.
        tracks: dry tracks (K, 2, L) at the level of the search, in order of the graph's inputs; None packs no audio.
        mix: the mix (2, L) at the same level; None packs no audio.
        trace: a row for every trial of the search; empty if there was no search.
        excerpt: (first sample in the song, length); the whole song by default.

    Returns:
        The key, and field name -> bytes.

    Raises:
        ValueError: values do not fit each other, audio has another length, or the key has other characters.
    """
    check_key(key)
    start, length = excerpt or (0, origin.num_samples)
    graph = file.graph
    if file.weights is None:
        raise ValueError(f"{key}: weights: needed, got None")
    if (tracks is None) != (mix is None):
        raise ValueError(
            f"{key}: tracks and mix are needed together, got {'mix' if tracks is None else 'tracks'} alone"
        )
    scales: list[float | None] = [None] * (len(graph.inputs) + 1)
    fields: Fields = {
        GRAPH: graph_bytes(file),
        PARAMETERS: parameters_to_bytes(parameters, file.weights),
        TRACE: trace_bytes(trace),
    }
    if tracks is not None and mix is not None:
        for what, shape, needed in (
            ("tracks", tracks.shape, (len(graph.inputs), 2, length)),
            ("mix", mix.shape, (2, length)),
        ):
            if tuple(shape) != needed:
                raise ValueError(f"{key}: {what}: {needed} is needed, got {tuple(shape)}")
        powers = [peak_scale(part) for part in (*tracks, mix)]
        scales = [*powers]
        fields[DRY] = encode_flac(tracks, powers[:-1], file.sample_rate)
        fields[MIX] = encode_flac([mix], powers[-1:], file.sample_rate)
    fields[META] = to_json(_meta(key, file, origin, scales, start, length))
    check_fields(fields)
    return key, {name: fields[name] for name in sorted(fields)}


def _meta(
    key: str, file: GraphFile, origin: Origin, scales: Sequence[float | None], start: int, length: int
) -> dict[str, Any]:
    graph: MixGraph = file.graph
    names = [graph.names[i] for i in graph.inputs]
    count = len(names)
    files = list(origin.files or [(None, None)] * count)
    placements, mono = list(origin.placements or [(0, 1)] * count), list(origin.mono or [False] * count)
    counts, before = graph.count(), None if origin.console is None else sum(origin.console.values())
    left = len(graph.processors)
    meta = {
        "schema_version": META_VERSION,
        "key": key,
        "dataset": origin.dataset,
        "song": origin.song,
        "title": origin.title,
        "artist": origin.artist,
        "licence": origin.licence,
        "sample_rate": file.sample_rate,
        "level": origin.level,
        "num_samples": length,
        "song_num_samples": origin.num_samples,
        "excerpt_start": start,
        "tracks": [
            {
                "name": name,
                "file": path,
                "sha256": digest,
                "start_sample": first,
                "polarity": sign,
                "mono": is_mono,
                "scale": scale,
            }
            for name, (path, digest), (first, sign), is_mono, scale in zip(
                names, files, placements, mono, scales[:-1], strict=True
            )
        ],
        "mix": {"file": origin.mix_file[0], "sha256": origin.mix_file[1], "scale": scales[-1]},
        "losses": None if origin.losses is None else origin.losses.to_dict(),
        "num_processors": {"console": before, "found": left},
        "pruning_ratio": 1 - left / before if before else None,
        "types": type_records(counts, origin.console),
        "loss_increases": None if file.loss_increases is None else file.loss_increases.tolist(),
        "confidence": None if origin.confidence is None else list(origin.confidence),
        "tool": TOOL,
        "config_sha256": config_hash(origin.config),
        "config": origin.config,
        "extra": dict(origin.extra),
    }
    check_meta(meta, f"{key}: {META}")
    check_fit(meta, graph, f"{key}: {META}")
    return meta


def _probabilities(file: GraphFile) -> list[float] | None:
    """Returns the probability of each processor to be right; None where no loss increases were measured."""
    if file.loss_increases is None or file.weights is None:
        return None
    pairs = zip(file.loss_increases.tolist(), file.weights.tolist(), strict=True)
    known = [probability_right(increase, weight) for increase, weight in pairs]
    return None if None in known else [round(share, 4) for share in known if share is not None]


def _origin(folder: Path, song: Song | None, metrics: Metrics) -> Origin:
    """Reads the origin of a graph from its result folder."""
    tracks = metrics.tracks
    hashes = metrics.file_hashes or (song.file_hashes if song is not None else {})
    if hashes and len(hashes) != len(tracks) + 1:
        raise ValueError(f"{folder}: file_hashes: the mix and {len(tracks)} tracks are needed, got {len(hashes)} files")
    files: list[tuple[str | None, str | None]] = [*hashes.items()] or [(None, None)] * (len(tracks) + 1)
    return Origin(
        dataset="",
        song=metrics.song.name,
        title=metrics.song.title,
        licence=metrics.song.licence,
        level=metrics.level,
        num_samples=metrics.num_samples,
        files=files[1:],
        placements=[(track.start_sample, track.polarity) for track in tracks],
        mono=[bool(track.mono) for track in tracks],
        mix_file=files[0],
        losses=metrics.losses,
        console=metrics.num_console_processors_by_type,
        config=portable_config(read_text(folder / CONFIG)),
    )


def _check_song(folder: Path, song: Song, result: FoundGraph, metrics: Metrics) -> None:
    names = tuple(shown_name(result.graph.names[i]) for i in result.graph.inputs)
    for what, got, needed in (
        ("name", song.name, metrics.song.name),
        ("tracks", song.tracks, names),
        ("sample_rate", song.sample_rate, metrics.sample_rate),
        ("num_samples", song.num_samples, metrics.num_samples),
        ("level", song.level, metrics.level),
    ):
        if got != needed:
            raise ValueError(f"{folder}: song: {what} {needed!r} is needed, as in the search, got {got!r}")
    stated = metrics.file_hashes
    if stated and song.file_hashes and stated != song.file_hashes:
        changed = sorted(n for n in {*stated, *song.file_hashes} if stated.get(n) != song.file_hashes.get(n))
        raise ValueError(f"{folder}: song: other audio than in the search: {', '.join(changed)}")


def _key(name: str, suffix: int) -> str:
    """Makes a key of a name that leaves room for a suffix; a long name is cut and ends in its hash."""
    room = 80 - suffix
    return name if len(name) <= room else f"{name[: room - 13]}-{config_hash(name)[:12]}"
