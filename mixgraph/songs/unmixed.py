"""Songs without a mix: dry tracks alone, whose plain sum stands where the mix would be.

    my_song/tracks/kick.wav ...     as a song's folder, with or without song.yaml; a mix beside it is not read
    my_song/kick.wav ...            or the tracks themselves

Offsets and polarities that the song states are applied; nothing is aligned, since there is nothing to align with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mixgraph.dsp.resample import resample
from mixgraph.shipped import song_path
from mixgraph.songs.align import TrackAlignment
from mixgraph.songs.clips import check_stated_length, cut
from mixgraph.songs.decode import Audio, decode
from mixgraph.songs.folder import read_bare_tracks, read_folder
from mixgraph.songs.layouts import LAYOUTS, fitting_layouts
from mixgraph.songs.load import describe_absurd
from mixgraph.songs.loudness import BLOCK_SECONDS, level_for
from mixgraph.songs.manifest import Problems, SongFiles, complete
from mixgraph.songs.song import Song
from mixgraph.songs.song_warning import SongWarning
from mixgraph.system.files import file_sha256

MIX_NOT_USED = "mix_not_used"
"""The code of the warning that a mix is there, which was not read."""
CLIPPED_TRACK = "clipped_track"
"""The code of the warning that a track is cut off at its peaks."""
_MOST_BYTES = 16 * 10**9  # of all tracks, as stereo at the rate of use: 138 of 8 minutes at 30 kHz
_FLAT_SAMPLES = 4  # at a track's own peak, one after another: it was clipped, where the samples behind them fall
_LEAST_FALL = 0.003  # of the peak within as many samples; a low sine in whole numbers is flat for longer, but bends


@dataclass(frozen=True, eq=False)
class _Track:
    samples: Tensor  # (1 or 2, frames) at the song's rate, with the polarity that is stated
    start: int  # the first sample that is read
    polarity: int


def unmixed_files(folder: Path, subgrouping: str = "auto") -> SongFiles:
    """Reads which tracks a song without a mix has; its `mix` is one of the tracks, and means nothing.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: with everything that is wrong with the song's files.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"song: {folder} is not a folder; one with the dry tracks is needed")
    problems, layouts = Problems(folder), fitting_layouts(folder)
    if "folder" in layouts:
        draft = read_folder(folder, problems, needs_mix=False)
    elif layouts:
        draft = LAYOUTS[layouts[0]].read(folder, problems)
    else:
        draft = read_bare_tracks(folder, problems)
    if draft.mix is not None:
        text = f"the song's own mix, {draft.mix.name}, is there and is not used"
        draft = replace(draft, warnings=[*draft.warnings, SongWarning(MIX_NOT_USED, text)])
    if draft.tracks:
        draft = replace(draft, mix=draft.tracks[0].path)
    files = complete(draft, folder, layouts[0] if layouts else "tracks", subgrouping, problems)
    if files is None:
        raise problems.error()
    return files


def load_unmixed(
    path: str | Path, sample_rate: int = 30000, loudness_lufs: float = -16.0, subgrouping: str = "auto"
) -> Song:
    """Reads the dry tracks of a song as long as the longest of them; `Song.mix` is their plain sum.

    Args:
        path: the song's folder, or one of tracks.
        sample_rate: in Hz; every file is resampled to it once.
        loudness_lufs: the loudness that one factor for all tracks brings their plain sum to.
        subgrouping: see `load_song`.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: with everything that is wrong with the song's files; or tracks that are all silent, too short for a
            loudness, much longer by their offsets than their audio, or together above 16 GB.
    """
    folder = song_path(path).resolve()
    files = unmixed_files(folder, subgrouping)
    problems, tracks, hashes = Problems(folder), [], {}
    clipped: list[SongWarning] = []
    held = 0
    for track in files.tracks:
        if (audio := _decoded(track.path, sample_rate, problems)) is None:
            continue
        samples = audio.samples
        if samples.shape[0] == 2 and torch.equal(samples[0], samples[1]):
            samples = samples[:1]
        if is_clipped(samples):  # at the file's own rate: resampling rounds what was cut off
            clipped.append(SongWarning(CLIPPED_TRACK, f"{track.name} is cut off at its peaks"))
        start = track.read_offset(sample_rate, audio.sample_rate)
        tracks.append(_Track(resample(samples, audio.sample_rate, sample_rate), start, track.polarity))
        held += 8 * tracks[-1].samples.shape[-1]
        _check_bytes(held, folder, sample_rate)
        hashes[track.path.relative_to(folder).as_posix()] = file_sha256(track.path)
    problems.raise_if_any()
    length = max(track.samples.shape[-1] - track.start for track in tracks)
    if length < BLOCK_SECONDS * sample_rate:
        allowed = f"at least {BLOCK_SECONDS:g} s of tracks, behind their stated offsets, are needed"
        raise ValueError(f"{folder}: {allowed}, got {max(0, length) / sample_rate:.2f} s")
    try:
        check_stated_length(length, sum(track.samples.shape[-1] for track in tracks), sample_rate)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}. HINT: the offsets of the tracks") from error
    _check_bytes(8 * length * len(tracks), folder, sample_rate)
    sources = torch.stack(
        [cut(track.samples, track.start, length).mul(track.polarity).expand(2, -1) for track in tracks]
    )
    if not bool(sources.any()):
        raise ValueError(f"{folder}: tracks that sound are needed, got {len(tracks)} silent ones")
    dry_sum = sources.sum(dim=0)
    level = level_for(dry_sum, sample_rate, loudness_lufs)
    warnings = [*files.warnings, *clipped, *([] if level.warning is None else [level.warning])]
    return Song(
        name=files.name,
        title=files.title,
        licence=files.licence,
        sample_rate=sample_rate,
        subgroups={name: tuple(track.name for track in members) for name, members in files.subgroups.items()},
        sources=sources * level.factor,
        mix=dry_sum * level.factor,
        mono=tuple(track.samples.shape[0] == 1 for track in tracks),
        placements=tuple((track.start, track.polarity) for track in tracks),
        level=level.factor,
        alignment=tuple(TrackAlignment(0, 1, 0.0, track.name, False) for track in files.tracks),
        warnings=tuple(warnings),
        file_hashes={"mix": "", **hashes},
    )


def _decoded(path: Path, sample_rate: int, problems: Problems) -> Audio | None:
    try:
        audio = decode(path, sample_rate)
    except (ValueError, FileNotFoundError) as error:
        problems.add(str(error))
        return None
    if (absurd := describe_absurd(path, audio.samples, audio.sample_rate)) is not None:
        problems.add(absurd)
        return None
    return audio


def _check_bytes(num_bytes: int, folder: Path, sample_rate: int) -> None:
    if num_bytes > _MOST_BYTES:
        raise ValueError(
            f"{folder}: at most {_MOST_BYTES / 1e9:.3g} GB of tracks, as stereo at {sample_rate} Hz, are needed, got "
            f"{num_bytes / 1e9:.3g} GB or more. HINT: a part of the song, fewer tracks, or other offsets"
        )


def is_clipped(samples: Tensor) -> bool:
    """Whether audio, (channels, frames) at its own rate, stays at its own peak, for some samples and repeatedly."""
    magnitude = samples.abs().amax(dim=0)
    peak = float(magnitude.max())
    if peak == 0 or len(magnitude) < _FLAT_SAMPLES:
        return False
    at_peak = (magnitude >= peak * (1 - 1e-5)).to(samples)
    runs = torch.nn.functional.pad(at_peak, (0, 1)).unfold(0, _FLAT_SAMPLES, 1).amin(dim=-1)
    behind = torch.nn.functional.pad(magnitude, (0, _FLAT_SAMPLES))[2 * _FLAT_SAMPLES - 1 :]
    falls = (runs[1:] < runs[:-1]) & (behind < peak * (1 - _LEAST_FALL))
    return int(falls.sum()) >= 2
