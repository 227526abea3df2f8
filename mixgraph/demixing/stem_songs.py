"""Songs as stems of a demixer's targets: MUSDB18-HQ, folders of stems, and every multitrack song that is read.

The stem of a target is the sum of its tracks (see `stem_rule`), at the offsets and polarities that the song states; the
mix is the sum of all stems, never the file of a mix. Where there is a found graph of the song, stems are the outputs of
its subgroups, and of tracks in none, instead of dry tracks.

Audio is read in stretches: from a target's own file where it is one, at the right rate, that can be read from any
place; else from a file in the cache folder into which the target's tracks were summed, piece by piece, once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixgraph.demixing.scores import SILENT_DB
from mixgraph.results.found_graph import FoundGraph, load_result
from mixgraph.results.rendering import read_tracks
from mixgraph.results.stems import render_stem, stem_places
from mixgraph.songs import store
from mixgraph.songs.clips import cut
from mixgraph.songs.decode import audio_seconds, file_rate
from mixgraph.songs.formats import is_audio_file
from mixgraph.songs.layouts import look_for_songs, song_files
from mixgraph.songs.load import describe_absurd
from mixgraph.songs.manifest import TrackFile, file_name, slug
from mixgraph.songs.stem_rule import target_of
from mixgraph.songs.stretches import StretchFile, resampled_pieces

REST = ""  # the target of tracks that belong to none
MIX_NAMES = ("mixture", "mix", "master")
_STRETCH_SECONDS = 10
_CHANNELS = 2


@dataclass(frozen=True, eq=False)
class StemSource:
    """Where the samples of one stem are: a file that is read by seeking, or a mapped one.

    Attributes:
        offset: samples of the source before the song's first one.
        polarity: 1 or -1.
        file: the file, at the song's rate; None where `mapped` is given.
        mapped: (2, samples).
    """

    offset: int = 0
    polarity: int = 1
    file: StretchFile | None = None
    mapped: Tensor | None = None

    def read(self, start: int, length: int) -> Tensor:
        """Reads the samples [start, start + length) of the song, (2, length), zeros where the stem has none."""
        if self.file is None:
            assert self.mapped is not None
            return cut(self.mapped, start, length)
        samples = self.file.read(start + self.offset, length)
        absurd = describe_absurd(self.file.path, samples, self.file.sample_rate)
        if absurd is not None:
            raise ValueError(absurd)
        return samples.expand(_CHANNELS, -1) * self.polarity


@dataclass(frozen=True, eq=False)
class StemSong:
    """A song as the stems of targets.

    Attributes:
        name: name of the song.
        folder: its folder.
        num_samples: length, that of the longest stem.
        sample_rate: in Hz.
        sources: a source for each target, None where the song has no track of it; and one for the tracks of no target.
        power: (targets + 1, seconds): mean power of each second of every stem; the last row is of no target.
        notes: lines for a person: what is missing, silent, of another length, or left out.
    """

    name: str
    folder: Path
    num_samples: int
    sample_rate: int
    sources: tuple[StemSource | None, ...] = field(repr=False)
    power: Tensor = field(repr=False)
    notes: tuple[str, ...] = ()

    def read(self, target: int, start: int, length: int) -> Tensor:
        """Reads the samples [start, start + length) of a target, (2, length); zeros past the song's ends."""
        source = self.sources[target]
        return torch.zeros(_CHANNELS, length) if source is None else source.read(start, length)

    def is_heard(self, target: int, start: int = 0, length: int | None = None) -> bool:
        """Whether a target sounds in any of the seconds that a stretch is in."""
        stop = self.num_samples if length is None else start + length
        seconds = self.power[target, max(0, start) // self.sample_rate : -(-stop // self.sample_rate)]
        return bool((seconds > 10 ** (SILENT_DB / 10)).any())

    def level(self, target: int) -> float:
        """The rms of a target over the seconds in which it sounds."""
        heard = self.power[target][self.power[target] > 10 ** (SILENT_DB / 10)]
        return float(heard.mean().sqrt()) if len(heard) else 0.0


@dataclass(frozen=True, eq=False)
class _Draft:
    """The tracks of a song's targets, before their audio is read."""

    name: str
    folder: Path
    members: dict[str, list[TrackFile]]  # by target, REST among them
    notes: list[str]
    is_multitrack: bool  # whose tracks need not have one length


def find_stem_songs(root: Path, targets: Sequence[str]) -> list[Path]:
    """Finds the songs of a root: song folders of any layout, and folders of stems.

    Of a root with a folder `train`, such as MUSDB18-HQ, only that folder's songs are taken.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no song in it.
    """
    if not root.is_dir():
        raise FileNotFoundError(
            f"path: {root}: a folder of songs is needed, got {'a file' if root.exists() else 'none'}"
        )
    root = root / "train" if (root / "train").is_dir() else root
    songs, odd = look_for_songs(root)
    songs += [folder for folder in odd if folder.is_dir() and _stem_files(folder)]
    if not songs:
        raise ValueError(f"path: {root}: songs, or folders of stems ({', '.join(targets)}), are needed, got none")
    return sorted(songs)


def _stem_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if is_audio_file(path) and path.stem.casefold() not in MIX_NAMES]


def name_of(folder: Path) -> str:
    """The name of a song, by which it is left out or chosen: that of its folder."""
    return folder.name or folder.resolve().name


def read_stem_song(
    folder: Path, targets: Sequence[str], sample_rate: int, cache_dir: Path, result: Path | None = None
) -> StemSong:
    """Reads where a song's stems are, and how loud; makes what the cache lacks.

    Args:
        folder: folder of a song, or of stems.
        targets: names of the targets.
        sample_rate: in Hz; files of other rates are resampled into the cache.
        cache_dir: folder of the cache.
        result: folder of a found graph of this song, whose subgroups' outputs are the stems.

    Raises:
        FileNotFoundError: no such folder, or a file is missing.
        ValueError: a file or the song's description cannot be used; the message names it.
    """
    draft = _draft(folder, targets)
    cached = _cached_graph_stems if result is not None else _cached_sums
    direct = {} if result is not None else _direct_sources(draft, sample_rate)
    settings: dict[str, Any] = {
        "what": "stems",
        "targets": list(targets),
        "sample_rate": sample_rate,
        "tracks": {target: [_identity(track) for track in members] for target, members in draft.members.items()},
        "result": [] if result is None else [_file_identity(path) for path in sorted(result.iterdir())],
        "direct": sorted(direct),
    }
    entry = store.entry_path(cache_dir, f"stems-{slug(draft.name)}", settings)
    if not entry.is_dir():
        with store.new_entry(entry) as partial:
            if partial is not None:
                _make_entry(partial, draft, targets, sample_rate, direct, cached, result)
    with store.naming_damage(entry):
        meta = store.read_meta(entry)
        mapped = store.map_existing(entry / store.SOURCES) if meta["cached"] else None
        power, notes = torch.tensor(meta["power"]), [*draft.notes, *meta["notes"]]
    sources: list[StemSource | None] = []
    for target in (*targets, REST):
        if target in direct:
            sources.append(direct[target])
        elif mapped is not None and target in meta["cached"]:
            sources.append(StemSource(mapped=mapped[meta["cached"].index(target)]))
        else:
            sources.append(None)
    for row, target in enumerate(targets):
        if sources[row] is None:
            notes.append(f"{draft.name}: no track is {target}; it is silent")
        elif not bool((power[row] > 10 ** (SILENT_DB / 10)).any()):
            notes.append(f"{draft.name}: {target} is silent")
    return StemSong(draft.name, folder, meta["num_samples"], sample_rate, tuple(sources), power, tuple(notes))


def _draft(folder: Path, targets: Sequence[str]) -> _Draft:
    songs, odd = look_for_songs(folder)
    members: dict[str, list[TrackFile]] = {}
    if folder in songs:
        files = song_files(folder)
        unknown = sorted(set(files.stems.values()) - {*targets, "other"})
        notes = [f"{name_of(folder)}: song.yaml: stems: {target} is no target here" for target in unknown]
        for group, tracks in files.subgroups.items():
            for track in tracks:
                stated = files.stems.get(file_name(track))
                target = stated if stated in targets else target_of(group, track.name, targets)
                members.setdefault(REST if target is None else target, []).append(track)
        return _Draft(name_of(folder), folder, members, notes, files.layout != "musdb")
    for path in _stem_files(folder) if folder in odd or folder.is_dir() else ():
        target = target_of(path.stem, path.stem, targets)
        members.setdefault(REST if target is None else target, []).append(TrackFile(path, path.stem))
    if not members:
        raise ValueError(f"{folder}: a song, or stems ({', '.join(targets)}), are needed, got none")
    return _Draft(name_of(folder), folder, members, [], False)


def _file_identity(path: Path) -> list[Any]:
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def _identity(track: TrackFile) -> list[Any]:
    return [*_file_identity(track.path), track.offset_seconds, track.offset_samples, track.polarity]


def _direct_sources(draft: _Draft, sample_rate: int) -> dict[str, StemSource]:
    """The targets that are one file, which is read as it is."""
    direct = {}
    for target, members in draft.members.items():
        if len(members) == 1 and file_rate(members[0].path) == sample_rate:
            file = StretchFile(members[0].path)
            if file.is_seekable:
                offset = members[0].read_offset(sample_rate, sample_rate)
                direct[target] = StemSource(offset, members[0].polarity, file)
    return direct


def _make_entry(
    partial: Path,
    draft: _Draft,
    targets: Sequence[str],
    sample_rate: int,
    direct: dict[str, StemSource],
    cached: Any,
    result: Path | None,
) -> None:
    """Writes the cached stems and what is known of all of them."""
    lengths = {
        track.path.name: audio_seconds(track.path) - track.read_offset(sample_rate, file_rate(track.path)) / sample_rate
        for members in draft.members.values()
        for track in members
    }
    num_samples = max(1, round(max(lengths.values()) * sample_rate))
    notes = [] if draft.is_multitrack else _length_notes(draft.name, lengths)
    names = [target for target in (*targets, REST) if target in draft.members and target not in direct]
    stems: dict[str, StemSource] = dict(direct)
    if names or result is not None:
        names, num_samples, more = cached(partial, draft, targets, sample_rate, names, num_samples, result)
        notes += more
        mapped = store.map_existing(partial / store.SOURCES)
        stems |= {target: StemSource(mapped=mapped[row]) for row, target in enumerate(names)}
    seconds = -(-num_samples // sample_rate)
    power = torch.zeros(len(targets) + 1, seconds, dtype=torch.float64)
    for row, target in enumerate((*targets, REST)):
        if target in stems:
            for second, value in enumerate(_powers(stems[target], num_samples, sample_rate)):
                power[row, second] = value
    meta = {"num_samples": num_samples, "cached": names, "power": power.tolist(), "notes": notes}
    store.write_meta(partial, torch.zeros(0), meta)


def _powers(source: StemSource, num_samples: int, sample_rate: int) -> Iterator[float]:
    for start in range(0, num_samples, _STRETCH_SECONDS * sample_rate):
        stretch = source.read(start, min(_STRETCH_SECONDS * sample_rate, num_samples - start)).double()
        yield from (float(second.square().mean()) for second in stretch.split(sample_rate, dim=-1))


def _length_notes(name: str, lengths: dict[str, float]) -> list[str]:
    shortest, longest = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
    if lengths[longest] - lengths[shortest] < 1e-3:
        return []
    return [
        f"{name}: stems of one length expected, got {lengths[shortest]:.3f} s ({shortest}) to {lengths[longest]:.3f} s "
        f"({longest}); shorter ones are followed by silence"
    ]


def _cached_sums(
    partial: Path,
    draft: _Draft,
    targets: Sequence[str],
    sample_rate: int,
    names: list[str],
    num_samples: int,
    result: Path | None,
) -> tuple[list[str], int, list[str]]:
    """Sums the tracks of targets, piece by piece."""
    sums = store.map_new(partial / store.SOURCES, (len(names), _CHANNELS, num_samples))
    for row, target in enumerate(names):
        for track in draft.members[target]:
            at = -track.read_offset(sample_rate, file_rate(track.path))
            for piece in resampled_pieces(track.path, sample_rate):
                absurd = describe_absurd(track.path, piece, sample_rate)
                if absurd is not None:
                    raise ValueError(absurd)
                first, stop = max(0, at), min(num_samples, at + piece.shape[-1])
                if stop > first:
                    sums[row, :, first:stop] += track.polarity * piece[:, first - at : stop - at]
                at += piece.shape[-1]
    return names, num_samples, []


def _cached_graph_stems(
    partial: Path,
    draft: _Draft,
    targets: Sequence[str],
    sample_rate: int,
    names: list[str],
    num_samples: int,
    result: Path | None,
) -> tuple[list[str], int, list[str]]:
    """Renders the outputs of the subgroups of a found graph, and of tracks in none."""
    assert result is not None
    graph = load_result(result).at_sample_rate(sample_rate)
    sources = read_tracks(graph, draft.folder).sources
    target_by_track = {track.name: target for target, members in draft.members.items() for track in members}
    places = [place for place in stem_places(graph.graph) if place.into == ""]
    heard = [place for place in places if place.level in ("subgroup", "track")]
    by_target: dict[str, list[Any]] = {}
    for place in heard:
        by_target.setdefault(_target_of_place(graph, place, targets, target_by_track), []).append(place)
    names = [target for target in (*targets, REST) if target in by_target]
    stems = store.map_new(partial / store.SOURCES, (len(names), _CHANNELS, sources.shape[-1]))
    for row, target in enumerate(names):
        for place in by_target[target]:
            stems[row] += render_stem(graph, sources, place)
    left_out = [place.name for place in places if place.level == "return"]
    notes = [f"{draft.name}: stems are the outputs of subgroups of {result}"]
    if left_out:
        notes.append(f"{draft.name}: return buses belong to no target, and are left out: {', '.join(left_out)}")
    return names, sources.shape[-1], notes


def _target_of_place(graph: FoundGraph, place: Any, targets: Sequence[str], target_by_track: dict[str, str]) -> str:
    """A track's target; for a subgroup that of its tracks where they share one, else what its name says."""
    if place.level == "track":
        return target_by_track.get(place.name, REST)
    inner = {
        target_by_track.get(other.name, REST)
        for other in stem_places(graph.graph)
        if other.level == "track" and other.into == place.name
    }
    if len(inner) == 1:
        return inner.pop()
    target = target_of(place.name, place.name, targets)
    return REST if target is None else target
