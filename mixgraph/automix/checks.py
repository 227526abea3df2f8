"""What is unusual about tracks that are to be mixed, and the reading of a reference, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mixgraph.dsp.resample import resample
from mixgraph.songs import Song
from mixgraph.songs.decode import decode
from mixgraph.songs.load import describe_absurd
from mixgraph.songs.loudness import block_energies, integrated_loudness, level_for
from mixgraph.songs.subgroup_rule import OTHER, subgroup_of, words_of
from mixgraph.songs.unmixed import CLIPPED_TRACK, MIX_NOT_USED

LEAST_SECONDS = 1.0
_STEM_WORDS = {"vocals", "drums", "bass", "other", "instrumental", "music", "stem", "stems", "accompaniment"}
_MIX_WORDS = {"mix", "mixdown", "master", "mastered", "premaster", "bounce"}
_MOST_STEMS = 6
_SAME = 0.9  # correlation with the sum of the other tracks from which one seems to be their mix, or a copy
_MASTER_PEAK_DB = (-1.5, 0.2)  # where limiters end
_MASTER_CREST_LU = 11.0  # peak over loudness of the sum; raw recordings have 15 and more
_HARDLY_SOUNDS = 1e-5  # of the energy of the loudest 0.4 s, -50 dB: what is softer counts as silence
_LEAST_SOUNDING = 0.2  # of the length of a reference
_SHOWN = 6
_OWN_MIX = (
    "The reference is the song's own mix: its statistics alone are used. HINT: fit and estimate find the graph of a "
    "song's own mix."
)


@dataclass(frozen=True, eq=False)
class Reference:
    """A mix whose style is wanted.

    Attributes:
        path: its file.
        audio: (2, L), at the song's sample rate and the loudness of a search.
        level: the factor that its samples were multiplied by.
        notes: what was done to it, a sentence each.
    """

    path: Path
    audio: Tensor
    level: float
    notes: tuple[str, ...]


def read_reference_mix(path: Path, sample_rate: int, loudness_lufs: float = -16.0) -> Reference:
    """Reads the mix whose style is wanted, of any sample rate, length and number of channels.

    Args:
        path: its file.
        sample_rate: of the song, in Hz.
        loudness_lufs: the loudness that it is brought to.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, is silent, or is shorter than a second.
    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "nothing"
        raise FileNotFoundError(f"reference: {path}: the audio file of a mix is needed, got {what}")
    decoded = decode(path, sample_rate)
    rate, samples = decoded.sample_rate, decoded.samples
    if (absurd := describe_absurd(path, samples, rate)) is not None:
        raise ValueError(f"reference: {absurd}")
    seconds = samples.shape[-1] / rate
    if seconds < LEAST_SECONDS:
        raise ValueError(f"reference: {path}: at least {LEAST_SECONDS:g} s are needed, got {seconds:.2f} s")
    notes = []
    if rate != sample_rate:
        notes.append(f"The reference was resampled from {rate} Hz to {sample_rate} Hz, at which the network hears.")
    if rate < sample_rate:
        notes.append(f"The reference has nothing above {rate / 2000:g} kHz: the mix it asks for is dark.")
    if samples.shape[0] == 1:
        notes.append("The reference has one channel: it says nothing of width, and the mix it asks for is narrow.")
    audio = resample(samples, rate, sample_rate).expand(2, -1).contiguous()
    if math.isinf(integrated_loudness(audio, sample_rate)):
        raise ValueError(f"reference: {path}: a mix that sounds is needed, got a silent one")
    factor = level_for(audio, sample_rate, loudness_lufs).factor
    energies = block_energies(audio, sample_rate)
    sounding = float((energies > energies.max() * _HARDLY_SOUNDS).double().mean())
    if sounding < _LEAST_SOUNDING:
        notes.append(
            f"The reference sounds in {sounding:.0%} of its length only, and its statistics are those of that part: "
            "is it a mix?"
        )
    return Reference(path, audio * factor, factor, tuple(notes))


def odd_tracks(song: Song, most_tracks: int | None = None, reference_beside: str | None = None) -> list[str]:
    """Says what is unusual about tracks that are to be mixed, a sentence each.

    Args:
        song: dry tracks, with their plain sum as the mix.
        most_tracks: the largest number of tracks that the network was trained on, where that is known.
        reference_beside: the file name of the reference, where it lies in the song's folder.
    """
    tracks, said_below = song.tracks, {CLIPPED_TRACK} if _many_clipped(song) else set()
    own = [w for w in song.warnings if w.code == MIX_NOT_USED and f", {reference_beside}," in w.text]
    notes = [_OWN_MIX] if own else []
    said_below |= {warning.code for warning in own}
    notes += [
        f"{warning.text}.".replace("the ", "The ", int(warning.text.startswith("the ")))
        for warning in song.warnings
        if warning.code not in said_below
    ]
    if len(tracks) == 1:
        notes.append("One track: there is nothing to balance it with, so that only its sound is processed.")
    if most_tracks is not None and len(tracks) > most_tracks:
        notes.append(
            f"{len(tracks)} tracks: the network was trained on songs of at most {most_tracks}, and says less of more."
        )
    silent = [name for name, source in zip(tracks, song.sources, strict=True) if not bool(source.any())]
    if silent:
        notes.append(f"Silent: {_some(silent)}.")
    unknown = [name for name in tracks if subgroup_of(name) == OTHER and name in song.subgroups.get(OTHER, ())]
    if unknown:
        notes.append(
            f"No instrument is known by the name of {_some(unknown)}: they are mixed together, in the subgroup "
            f"{OTHER}. HINT: song.yaml can say which subgroup a track is in."
        )
    return notes + mixes_among_tracks(song) + mixed_already(song)


def mixes_among_tracks(song: Song) -> list[str]:
    """Names the tracks that seem to be a mix of the others, by their names or because they follow the others' sum."""
    mono = song.sources.mean(dim=1).double()
    dry_sum, found, of_song = mono.sum(dim=0), [], {*words_of(song.name), *words_of(song.title)}
    for name, track in zip(song.tracks, mono, strict=True):
        others = dry_sum - track
        sizes = float(track.norm() * others.norm())
        words = {*words_of(name)} - (of_song - _MIX_WORDS)
        if (words and words <= _MIX_WORDS) or (sizes > 0 and abs(float(track @ others)) > _SAME * sizes):
            found.append(name)
    if not found or len(song.tracks) == 1:
        return []
    return [
        f"{_some(found)}: by name or sound a mix of the other tracks, or a copy, and mixed as one more track. HINT: "
        "take it out of the folder, or name the file mix."
    ]


def mixed_already(song: Song) -> list[str]:
    """Says why tracks seem to be mixed already: stems with a master on them, or their names say so."""
    reasons, audio = [], song.mix / song.level
    peak = float(audio.abs().max())
    if peak > 0 and audio.shape[-1] >= 0.4 * song.sample_rate:
        peak_db = 20 * math.log10(peak)
        crest = peak_db - integrated_loudness(audio, song.sample_rate)
        if _MASTER_PEAK_DB[0] <= peak_db <= _MASTER_PEAK_DB[1] and crest < _MASTER_CREST_LU:
            reasons.append(
                f"their plain sum peaks at {peak_db:.1f} dBFS, {crest:.1f} LU above its loudness, as limited masters do"
            )
    if clipped := _many_clipped(song):
        reasons.append(f"{clipped} of {len(song.tracks)} tracks are cut off at their peaks, as by a limiter")
    named = [name for name in song.tracks if _STEM_WORDS & set(words_of(name))]
    if 1 < len(song.tracks) <= _MOST_STEMS and len(named) == len(song.tracks):
        reasons.append(f"their names ({_some(named)}) are those of stems")
    if not reasons:
        return []
    return [
        f"The tracks seem to be mixed already ({'; '.join(reasons)}): what is proposed then comes on top of that mix."
    ]


def _many_clipped(song: Song) -> int:
    """The number of tracks that are cut off at their peaks, where these are several and more than half; else 0."""
    count = sum(warning.code == CLIPPED_TRACK for warning in song.warnings)
    return count if count > max(1, len(song.tracks) / 2) else 0


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
