"""From the files of a song, in any layout, to a `Song`."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from mixgraph.dsp.resample import resample
from mixgraph.shipped import song_path
from mixgraph.songs import store
from mixgraph.songs.align import MIN_CONFIDENCE, Alignment, TrackAlignment, estimate_alignment
from mixgraph.songs.clips import cut
from mixgraph.songs.common_offset import DrySum, common_offset
from mixgraph.songs.decode import MAX_BYTES, decode
from mixgraph.songs.layouts import collect_files
from mixgraph.songs.loudness import level_for
from mixgraph.songs.manifest import Problems, SongDraft, SongFiles, TrackFile
from mixgraph.songs.song import Song
from mixgraph.songs.song_warning import SongWarning
from mixgraph.system.files import file_sha256

NOTABLE_OFFSET_SECONDS = 0.001  # the phase of an equalizer moves a peak by less
MAX_SAMPLE = 1000.0  # +60 dBFS: no mix is louder, and what is makes the level of all others next to nothing
MIX_BELOW_TRACKS_DB = 80.0  # as far below its loudest track a mix is taken for silence
UNCACHED_BYTES = 10**9  # of one decoded file that a song without a cache_dir may have, whatever its memory limit
AUDIBLE = 1e-4  # -80 dBFS: louder audio outside the mix's length is worth a warning when it is cut


@dataclass(frozen=True, eq=False)
class _Decoded:
    samples: Tensor  # (1 or 2, frames) at the song's rate; one row where both channels are equal
    file_rate: int


@dataclass
class _Findings:
    """Facts about the tracks, in their order, gathered while they are read."""

    level: float
    mono: list[bool] = field(default_factory=list)
    placements: list[tuple[int, int]] = field(default_factory=list)
    alignment: list[TrackAlignment] = field(default_factory=list)
    warnings: list[SongWarning] = field(default_factory=list)
    num_outside: int = 0  # tracks that are read wholly before or after their audio


def load_song(
    path: str | Path,
    sample_rate: int = 30000,
    layout: str = "auto",
    loudness_lufs: float | None = -16.0,
    apply_alignment: bool = False,
    subgrouping: str = "auto",
    cache_dir: str | Path | None = None,
    memory_limit_gb: float = 4.0,
    mix: str | Path | None = None,
) -> Song:
    """Reads, resamples, aligns and levels one song. All tracks get the length of the mix: padded with zeros, or cut.

    Args:
        path: the song's folder; where `mix` is given, the folder of its dry tracks.
        sample_rate: sample rate of the song in Hz; every file is resampled to it once.
        layout: a name in `layouts.LAYOUTS`, or "auto" to detect it.
        loudness_lufs: one factor brings the mix to this integrated loudness and goes to the tracks too. None leaves
            the levels of the files. Searches, and their losses, are at this level; a found graph keeps the factor and
            renders at the files' own (`FoundGraph.render`).
        apply_alignment: whether to shift and flip tracks by the estimate of `estimate_alignment`, where its confidence
            reaches MIN_CONFIDENCE; where `common_offset` finds that all tracks lie more than a second off, every
            track is shifted by that and by its estimate beside it. The estimates are reported either way; offsets and
            polarities that song.yaml or a data set states are always applied, before the estimate.
        subgrouping: "auto", "rule" or "one_per_track", see `manifest.complete`.
        cache_dir: folder to which songs above the memory limit are decoded; the next search reads them there.
        memory_limit_gb: decoded tracks above it (GB of 10^9 bytes) are mapped from a file instead of held in memory.
            It also becomes the song's `memory_limit`, which bounds what a search makes of it, and bounds what one file
            may decode to, from 4 GB with a cache_dir and 1 GB without.
        mix: file of the mix, where it is not found in the song's folder by its layout.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: a setting is out of range, or the song's files have problems: one error for all, a line a problem.
    """
    _check_settings(sample_rate, loudness_lufs, memory_limit_gb)
    folder, mix_file = song_path(path).resolve(), None if mix is None else song_path(mix).resolve()
    max_bytes = max(memory_limit_gb * 1e9, UNCACHED_BYTES if cache_dir is None else MAX_BYTES)
    problems = Problems(folder)
    files, draft = collect_files(folder, layout, subgrouping, problems, mix_file)
    mix_audio = _decode(draft.mix, sample_rate, max_bytes, problems) if draft.mix is not None else None
    if files is None or mix_audio is None:
        _check_tracks(draft, sample_rate, max_bytes, problems)
        raise problems.error()
    target = mix_audio.samples.expand(2, -1).contiguous()

    num_bytes = len(files.tracks) * target.numel() * 4
    if num_bytes <= memory_limit_gb * 1e9:
        sources = torch.zeros(len(files.tracks), *target.shape)
        findings = _fill(sources, target, files, sample_rate, max_bytes, loudness_lufs, apply_alignment, problems)
        return _song(
            files, sample_rate, sources, target.mul_(findings.level), findings, hash_files(files), memory_limit_gb
        )
    if cache_dir is None:
        _check_tracks(draft, sample_rate, max_bytes, problems)
        problems.add(
            f"memory_limit_gb: at least {num_bytes / 1e9:.3g} for this song expected, got {memory_limit_gb}. "
            "HINT: or name a cache_dir, where the decoded song is kept in a file"
        )
        raise problems.error()
    hashes = hash_files(files)
    settings = {
        "files": hashes,
        "tracks": [{**asdict(track), "path": track.path.relative_to(folder).as_posix()} for track in files.tracks],
        "mix": files.mix.name,
        "sample_rate": sample_rate,
        "loudness_lufs": loudness_lufs,
        "apply_alignment": apply_alignment,
    }
    entry = store.entry_path(Path(cache_dir), files.name, settings)
    if not entry.is_dir():
        with store.new_entry(entry) as partial:
            if partial is not None:  # no other process has just made it
                sources = store.map_new(partial / store.SOURCES, (len(files.tracks), *target.shape))
                findings = _fill(
                    sources, target, files, sample_rate, max_bytes, loudness_lufs, apply_alignment, problems
                )
                store.write_meta(partial, target.mul_(findings.level), asdict(findings))
                del sources
    with store.naming_damage(entry):
        meta = store.read_meta(entry)
        meta["alignment"] = [TrackAlignment(**track) for track in meta["alignment"]]
        meta["warnings"] = [SongWarning(**warning) for warning in meta["warnings"]]
        mapped, mapped_mix = store.map_existing(entry / store.SOURCES), store.map_existing(entry / store.MIX)
        if mapped.shape != (len(files.tracks), *target.shape) or mapped_mix.shape != target.shape:
            raise ValueError(f"audio of {tuple(target.shape)}, got {tuple(mapped.shape)} and {tuple(mapped_mix.shape)}")
        return _song(files, sample_rate, mapped, mapped_mix, _Findings(**meta), hashes, memory_limit_gb)


def _check_settings(sample_rate: int, loudness_lufs: float | None, memory_limit_gb: float) -> None:
    if not isinstance(sample_rate, int) or sample_rate < 1000:
        raise ValueError(f"sample_rate: a whole number of at least 1000 Hz expected, got {sample_rate!r}")
    if loudness_lufs is not None and not -70 <= loudness_lufs <= 0:
        raise ValueError(f"loudness_lufs: None or -70 to 0 LUFS expected, got {loudness_lufs!r}")
    if math.isnan(memory_limit_gb) or memory_limit_gb < 0:
        raise ValueError(f"memory_limit_gb: a number from 0 expected, got {memory_limit_gb!r}")


def _decode(path: Path, sample_rate: int, max_bytes: float, problems: Problems) -> _Decoded | None:
    try:
        audio = decode(path, sample_rate, max_bytes)
    except (ValueError, FileNotFoundError) as error:
        problems.add(str(error))
        return None
    samples = audio.samples
    absurd = describe_absurd(path, samples, audio.sample_rate)
    if absurd is not None:
        problems.add(absurd)
        return None
    if samples.shape[0] == 2 and torch.equal(samples[0], samples[1]):
        samples = samples[:1]
    return _Decoded(resample(samples, audio.sample_rate, sample_rate), audio.sample_rate)


def _decode_again(track: TrackFile, sample_rate: int) -> Tensor:
    problems = Problems(track.path.parent)
    decoded = _decode(track.path, sample_rate, math.inf, problems)  # within the bound before
    if decoded is None:
        raise problems.error()
    return decoded.samples


def describe_absurd(path: Path, samples: Tensor, sample_rate: int) -> str | None:
    """Describes the first sample of a file, (channels, frames), that is no audio, and its place; None if all are."""
    low, high = torch.aminmax(samples)
    if float(low) >= -MAX_SAMPLE and float(high) <= MAX_SAMPLE:  # which NaN is not
        return None
    sane = samples.abs() <= MAX_SAMPLE
    first = int((~sane).any(0).nonzero()[0, 0])
    channel = int((~sane[:, first]).nonzero()[0, 0])
    place = f"channel {channel + 1} at {first / sample_rate:.3f} s (sample {first})"
    count = int((~sane).sum())
    others = f" and {count - 1} more" if count > 1 else ""
    return (
        f"{path}: finite samples expected, up to {MAX_SAMPLE:g} (+60 dBFS), got "
        f"{float(samples[channel, first]):g} on {place}{others}. HINT: the file is damaged; export it again"
    )


class UnusableSongError(ValueError):
    """A song whose files are whole, and from which nothing can be found."""


def check_sound(song: Song) -> None:
    """Refuses a song that no search can learn from: a mix of silence, or one far below its tracks, or silent tracks.

    Raises:
        UnusableSongError: the song is such a one; the message states the levels.
    """
    mix = _power(song.mix)
    tracks = max(_power(track) for track in song.sources)
    if not tracks:
        raise UnusableSongError(f"{song.name}: all tracks are silent over the whole mix, so nothing of it can be found")
    if mix <= tracks * 10 ** (-MIX_BELOW_TRACKS_DB / 10):
        level = f"{10 * math.log10(tracks / mix):.0f} dB below its loudest track" if mix else "silent"
        raise UnusableSongError(
            f"{song.name}: the mix is {level}, so that it is not made of them (less than {MIX_BELOW_TRACKS_DB:g} dB is "
            "needed). HINT: is it the right file?"
        )


def _power(audio: Tensor) -> float:
    return float(torch.linalg.vector_norm(audio, dtype=torch.float64)) ** 2 / audio.shape[-1]


def _check_tracks(draft: SongDraft, sample_rate: int, max_bytes: float, problems: Problems) -> None:
    # Only to find every problem before one error reports them all.
    for track in draft.tracks:
        _decode(track.path, sample_rate, max_bytes, problems)


def _fill(
    sources: Tensor,
    mix: Tensor,
    files: SongFiles,
    sample_rate: int,
    max_bytes: float,
    loudness_lufs: float | None,
    apply_alignment: bool,
    problems: Problems,
) -> _Findings:
    findings = _Findings(level=1.0)
    if loudness_lufs is not None:
        level = level_for(mix, sample_rate, loudness_lufs)
        findings.level = level.factor
        if level.warning is not None:
            findings.warnings.append(level.warning)
    elif not bool(mix.any()):
        findings.warnings.append(SongWarning("silent_mix", "the mix is silent"))
    dry_sum = DrySum(mix.shape[-1], sample_rate)
    cut_off: list[list[SongWarning]] = []
    for row, track in enumerate(files.tracks):
        decoded = _decode(track.path, sample_rate, max_bytes, problems)
        if decoded is not None:
            start = track.read_offset(sample_rate, decoded.file_rate)
            sources[row] = cut(decoded.samples, start, mix.shape[-1]).mul_(track.polarity)
            dry_sum.add(decoded.samples * track.polarity, start)
            findings.mono.append(decoded.samples.shape[0] == 1)
            findings.placements.append((start, track.polarity))
            findings.num_outside += start >= decoded.samples.shape[-1] or start <= -mix.shape[-1]
            cut_off.append(_warnings(decoded.samples, start, sources[row], track.name))
    if findings.num_outside == len(files.tracks):
        first = files.tracks[0]
        problems.add(
            f"offset of the tracks: within the tracks' own length expected, got {first.offset_seconds} s and "
            f"{first.offset_samples} samples for {first.path.name}. HINT: is the alignment that of another song?"
        )
    problems.raise_if_any()
    common = common_offset(dry_sum, mix, sample_rate)
    del dry_sum
    if common is not None:
        findings.warnings.append(_tell_common(common, sample_rate, apply_alignment))
    for row, track in enumerate(files.tracks):
        _align(sources[row], track, mix, sample_rate, common, apply_alignment, findings, cut_off[row])
        sources[row] *= findings.level
    return findings


def _align(
    source: Tensor,
    track: TrackFile,
    mix: Tensor,
    sample_rate: int,
    common: Alignment | None,
    apply_alignment: bool,
    findings: _Findings,
    cut_off: list[SongWarning],
) -> None:
    # Estimates the alignment of a track, (2, L), that was read as its files state; with `apply_alignment`, applies it.
    row = len(findings.alignment)
    start, polarity = findings.placements[row]
    placed, shift = source, 0
    if common is not None:
        shift = common.offset_samples
        placed = cut(_decode_again(track, sample_rate), start + shift, mix.shape[-1]).mul_(polarity)
    estimate = estimate_alignment(placed[:1] if findings.mono[row] else placed, mix, sample_rate)
    beside = estimate.offset_samples  # the common offset
    if common is not None and estimate.confidence < MIN_CONFIDENCE:
        estimate, beside = common, 0
    estimate = replace(estimate, offset_samples=shift + beside)
    applied = apply_alignment and estimate.confidence >= MIN_CONFIDENCE
    if applied and (estimate.offset_samples, estimate.polarity) != (0, 1):
        start, polarity = start + estimate.offset_samples, polarity * estimate.polarity
        findings.placements[row] = start, polarity
        samples = _decode_again(track, sample_rate)
        source.copy_(cut(samples, start, mix.shape[-1]).mul_(polarity))
        cut_off = _warnings(samples, start, source, track.name)
    findings.alignment.append(TrackAlignment(**asdict(estimate), track=track.name, applied=applied))
    findings.warnings.extend(cut_off)
    late = abs(beside) > NOTABLE_OFFSET_SECONDS * sample_rate
    if (late or estimate.polarity < 0) and estimate.confidence >= MIN_CONFIDENCE and not applied:
        seems = [f"{abs(estimate.offset_samples)} samples {'late' if estimate.offset_samples > 0 else 'early'}"] * late
        seems += ["of opposite polarity"] * (estimate.polarity < 0)
        text = (
            f"track {track.name}: seems {' and '.join(seems)} against the mix "
            f"(confidence {estimate.confidence:.2f}); apply_alignment would undo it"
        )
        findings.warnings.append(SongWarning("track_offset", text))


def _tell_common(common: Alignment, sample_rate: int, applied: bool) -> SongWarning:
    late = common.offset_samples > 0
    seconds = f"{abs(common.offset_samples) / sample_rate:.3f} s ({abs(common.offset_samples)} samples)"
    reason = "a lead-in that the mix lacks" if late else "a lead-in of the mix"
    return SongWarning(
        "common_offset",
        f"all tracks: {'were' if applied else 'seem'} {seconds} {'late' if late else 'early'} against the mix "
        f"(confidence {common.confidence:.2f}), as by {reason}; "
        + ("corrected" if applied else "apply_alignment would undo it"),
    )


def _warnings(samples: Tensor, start: int, placed: Tensor, name: str) -> list[SongWarning]:
    if not bool(placed.any()):
        return [SongWarning("silent_track", f"track {name}: silent over the whole mix")]
    before = samples[:, : max(start, 0)]
    after = samples[:, max(start + placed.shape[-1], 0) :]
    peak = max((float(part.abs().max()) for part in (before, after) if part.numel() > 0), default=0.0)
    if peak <= AUDIBLE:
        return []
    level_db = 20 * math.log10(peak)
    text = f"track {name}: audio before or after the mix was cut (its peak is {level_db:.1f} dBFS)"
    return [SongWarning("cut_track", text)]


def hash_files(files: SongFiles) -> dict[str, str]:
    """Returns the sha256 of every audio file by its name relative to the song's folder: the mix's, then the tracks'."""
    hashes = {}
    for path in (files.mix, *(track.path for track in files.tracks)):
        hashes[Path(os.path.relpath(path, files.folder)).as_posix()] = file_sha256(path)
    return hashes


def _song(
    files: SongFiles,
    sample_rate: int,
    sources: Tensor,
    mix: Tensor,
    findings: _Findings,
    hashes: dict[str, str],
    memory_limit_gb: float,
) -> Song:
    subgroups = {name: tuple(track.name for track in members) for name, members in files.subgroups.items()}
    return Song(
        name=files.name,
        title=files.title,
        licence=files.licence,
        sample_rate=sample_rate,
        subgroups=subgroups,
        sources=sources,
        mix=mix,
        mono=tuple(findings.mono),
        placements=tuple((start, polarity) for start, polarity in findings.placements),
        level=findings.level,
        alignment=tuple(findings.alignment),
        warnings=(*files.warnings, *findings.warnings),
        file_hashes=hashes,
        memory_limit=memory_limit_gb * 1e9,
        files=files,
    )
