"""Finds causes why a found mix misses its target, with the option that would help: one function for each cause."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, median_low

import torch
from torch import Tensor

from mixgraph.report.closeness import Closeness, decibels
from mixgraph.songs import Alignment, Song, estimate_alignment
from mixgraph.songs.align import MAX_LAG_SECONDS, MIN_CONFIDENCE
from mixgraph.songs.load import NOTABLE_OFFSET_SECONDS

RECOGNISABLE_LOSS = 0.75
"""The match loss, over the target's norm, up to which a found mix is recognisably the same mix."""
FADERS_LOSS = 1.05
"""The match loss that gain and panning alone reach on real songs, at the most."""

_LONGEST_OFFSET_SECONDS = 10.0  # of the sum of all tracks; `load_song` looks for more
_COMMON_OFFSET_SECONDS = 0.01  # smaller common offsets are reported track by track
_UNHEARD_LOSS = 0.001  # a track is inaudible if the loss rises by less without it
_MOST_MUTED = 12  # the most tracks that are muted, those with the least clear places first: each takes a rendering

_WINDOW_SECONDS = 0.5  # length of the windows of levels over time
_WINDOWS_AT_ONCE = 256
_QUIET_DB = -30.0  # windows of the found mix that are this far below its loudest are not used to find fades
_FADE_DB, _FADE_WINDOWS, _FADE_SLACK_DB = 6.0, 4, 0.5
_FADE_BEFORE_DB = 2.0  # that the last window but one is below the median
_UNPLAYED_DB, _UNPLAYED_SECONDS = -30.0, 2.5  # of the mix's loudest window; echoes and reverbs reach 2 s

_BLOCK_SECONDS = 0.02  # of peaks
_CEILING = 0.98  # quantile of the peaks: single ones may pass a ceiling (resampling lets them)
_CROWD_DB, _LEAST_CROWD, _MORE_CROWDED = 2.0, 0.25, 1.5
_OVERSHOOT_DB = 1.0


@dataclass(frozen=True)
class Finding:
    """One cause why the found mix misses its target.

    Attributes:
        code: `another_song`, `unexplained`, `lead_in`, `late_tracks`, `unheard_tracks`, `unplayed_mix`, `fade_in`,
            `fade_out`, `ceiling`, `mono_mix` or `peak`.
        text: the observation, for users.
        hint: advice for users; empty if there is none.
        option: the setting that would help, as on the command line without the dashes; empty where none does.
    """

    code: str
    text: str
    hint: str = ""
    option: str = ""

    def __str__(self) -> str:
        return f"{self.text} HINT: {self.hint}" if self.hint else self.text


_UNEXPLAINED = Finding(
    "unexplained",
    "Faders alone come closer to most mixes.",
    "is a track missing, or was the search too short? --budget gives it more time",
    "budget",
)


def find_causes(
    song: Song, found_mix: Tensor, closeness: Closeness, loss: float, loss_without: Callable[[int], float]
) -> tuple[Finding, ...]:
    """Finds the causes why the found mix misses its target, most important first.

    Args:
        song: the song with its tracks and mix.
        found_mix: (2, L), at the level of the song's mix.
        closeness: the measured differences of the found mix and the song's mix.
        loss: the match loss of the found mix.
        loss_without: returns the loss of the found mix with one track muted, by the track's row in the sources; called
            only for tracks without a clear place in the mix.
    """
    common = align_dry_sum(song)
    mix_findings = [peak(closeness), mono_mix(song.mix, found_mix, closeness)]
    if another := another_song(song, common, loss):
        return (another, *filter(None, mix_findings))
    causes = [
        late_tracks(song, common),
        unheard_tracks(song, loss, loss_without),
        unplayed_mix(song),
        *fades(song.mix, found_mix, song.sample_rate),
        ceiling(song.mix, found_mix, song.sample_rate),
    ]
    findings = [finding for finding in causes if finding is not None]
    if not findings and loss > FADERS_LOSS:
        findings.append(_UNEXPLAINED)
    return (*findings, *filter(None, mix_findings))


def align_dry_sum(song: Song) -> Alignment:
    """Estimates how late the sum of all tracks is against the mix, up to 10 s and half of the song."""
    longest = min(_LONGEST_OFFSET_SECONDS, 0.5 * song.num_samples / song.sample_rate)
    return estimate_alignment(song.sources.sum(dim=0), song.mix, song.sample_rate, longest)


def another_song(song: Song, common: Alignment, loss: float) -> Finding | None:
    """Whether neither the dry sum nor any track has a place in a mix that was not matched.

    On seven real songs the dry sum's confidence is .75 to .90, on four mixes of other songs .005 to .09; their best
    track has .81 to .92, and .09 to .14. What is matched is no other song: tracks that repeat themselves to the sample
    have no clear place. Without a second of sound there is nothing to tell.
    """
    if (
        loss <= RECOGNISABLE_LOSS
        or song.num_samples < song.sample_rate
        or not bool(song.sources.any())
        or not bool(song.mix.any())
    ):
        return None
    best = max((track.confidence for track in song.alignment), default=0.0)
    if max(common.confidence, best) >= MIN_CONFIDENCE:
        return None
    return Finding(
        "another_song",
        "Another song? No track has a place in the mix, nor have all of them together.",
        "are tracks and mix of the same song and the same recording?",
        "data.path",
    )


def late_tracks(song: Song, common: Alignment) -> Finding | None:
    """Finds tracks that are late or early against the mix and were not aligned."""
    rate, option = song.sample_rate, "data.apply_alignment"
    late = _common_lateness(song, common)
    if late:
        lateness = f"{abs(late) / rate:.3f} s {'late' if late > 0 else 'early'} against the mix"
        cause = ", as where one of them has a lead-in" if abs(late) > MAX_LAG_SECONDS * rate else ""
        code = "lead_in" if cause else "late_tracks"
        return Finding(code, f"All tracks are {lateness}{cause}.", "--data.apply_alignment=true corrects it", option)
    late_ones = [
        track.track
        for track in song.alignment
        if not track.applied
        and track.confidence >= MIN_CONFIDENCE
        and (abs(track.offset_samples) > NOTABLE_OFFSET_SECONDS * rate or track.polarity < 0)
    ]
    if not late_ones:
        return None
    text = f"Late, early or of opposite polarity against the mix: {', '.join(late_ones)}."
    return Finding("late_tracks", text, "--data.apply_alignment=true corrects them", option)


def _common_lateness(song: Song, common: Alignment) -> int:
    """Returns by how many samples the tracks' sum is late, or else all tracks with a clear place; 0 if it is little."""
    clear = [track for track in song.alignment if track.confidence >= MIN_CONFIDENCE]
    if any(track.applied for track in clear):
        return 0
    offsets = [track.offset_samples for track in clear]
    if common.confidence >= max([MIN_CONFIDENCE, *(track.confidence for track in clear)]):
        offsets = [common.offset_samples]
    slack = _COMMON_OFFSET_SECONDS * song.sample_rate
    if not offsets or max(offsets) - min(offsets) > slack or abs(median_low(offsets)) <= slack:
        return 0
    return median_low(offsets)


def unheard_tracks(song: Song, loss: float, loss_without: Callable[[int], float]) -> Finding | None:
    """Finds tracks that are not silent, have no clear place in the mix, and do not bring the found mix nearer to it.

    If the mix was not matched, nothing is reported: the loss then hardly depends on most tracks.
    """
    if loss > RECOGNISABLE_LOSS:
        return None
    unclear = [row for row, track in enumerate(song.alignment) if track.confidence < MIN_CONFIDENCE]
    unclear = [row for row in unclear if bool(song.sources[row].any())]
    tried = sorted(unclear, key=lambda row: song.alignment[row].confidence)[:_MOST_MUTED]
    unheard = [row for row in tried if loss_without(row) - loss < _UNHEARD_LOSS]
    if not unheard:
        return None
    names = ", ".join(song.alignment[row].track for row in sorted(unheard))
    only = (
        f" (of {len(unclear)} tracks without a clear place, {len(tried)} were tried)"
        if len(tried) < len(unclear)
        else ""
    )
    text = f"Not heard in the mix: {names}; the found mix is as close without{only}."
    return Finding("unheard_tracks", text, "do they belong to this mix? Take out what does not", "data.path")


def unplayed_mix(song: Song) -> Finding | None:
    """Finds parts of the mix that sound, longer than an echo, where no track does."""
    window = round(_WINDOW_SECONDS * song.sample_rate)
    mix = window_powers(song.mix, window)
    played = torch.zeros(len(mix), dtype=torch.bool)
    for track in song.sources:
        played |= window_powers(track, window) > 0
    silent = ~played & (mix > float(mix.max()) * 10 ** (_UNPLAYED_DB / 10))
    if int(silent.sum()) * _WINDOW_SECONDS < _UNPLAYED_SECONDS:
        return None
    first = int(silent.nonzero()[0, 0]) * _WINDOW_SECONDS
    text = f"The mix plays for {int(silent.sum()) * _WINDOW_SECONDS:.1f} s in which no track does, from {first:.1f} s."
    return Finding("unplayed_mix", text, "is a track missing, or shorter than the mix?", "data.path")


def fades(target: Tensor, found_mix: Tensor, sample_rate: int) -> list[Finding]:
    """Finds a target whose level falls steadily against the found mix at the end, or rises at the start."""
    window = round(_WINDOW_SECONDS * sample_rate)
    num_samples = target.shape[-1] // window * window
    if not num_samples:
        return []
    before, after = (window_powers(mix[:, :num_samples], window) for mix in (target, found_mix))
    audible = after > float(after.max()) * 10 ** (_QUIET_DB / 10)
    levels = [decibels(float(t / f)) for t, f, h in zip(before, after, audible, strict=True) if h]
    findings = []
    for code, series in (("fade_in", levels[::-1]), ("fade_out", levels)):
        count = _fade_windows(series)
        if count:
            verb, part = ("rises", "first") if code == "fade_in" else ("falls", "last")
            seconds, shape = count * _WINDOW_SECONDS, code.replace("_", "-")
            text = f"The mix {verb} steadily over its {part} {seconds:.1f} s against the found mix, as in a {shape}."
            hint = "--model.master_chain=f (a fader behind the sum) can follow it"
            findings.append(Finding(code, text, hint, "model.master_chain"))
    return findings


def _fade_windows(levels: list[float]) -> int:
    """How many windows at the end of a series of levels are in a fall of 6 dB or more below its median; 0 for none."""
    if len(levels) < _FADE_WINDOWS + 2:
        return 0
    usual = median(levels)
    end = levels[-_FADE_WINDOWS:]
    falls = all(later < earlier + _FADE_SLACK_DB for earlier, later in pairwise(end))
    if not falls or sum(end[-2:]) / 2 > usual - _FADE_DB or end[-2] > usual - _FADE_BEFORE_DB:
        return 0  # not at all, or only where the mix was cut
    start = next((i for i in reversed(range(len(levels))) if levels[i] >= usual - _FADE_SLACK_DB), 0)
    return max(_FADE_WINDOWS, len(levels) - 1 - start)


def ceiling(target: Tensor, found_mix: Tensor, sample_rate: int) -> Finding | None:
    """Finds a target whose peaks crowd below a ceiling that the found mix exceeds: a limiter, or clipping.

    Peaks are those of blocks of 20 ms. Of eight songs 5 to 24 % of them are within 2 dB of the ceiling or above, of
    their mixes clipped 6 dB below their peak 39 to 65 %; two songs with few peaks, 6 and 23 %, go unnoticed.
    """
    (limit, crowd), (reach, free) = (crowding(mix, sample_rate) for mix in (target, found_mix))
    passed = reach - limit
    if crowd < _LEAST_CROWD or crowd < _MORE_CROWDED * free or passed < _OVERSHOOT_DB:
        return None
    text = (
        f"The mix was limited or clipped: {crowd:.0%} of its peaks are within {_CROWD_DB:g} dB of its ceiling "
        f"(the found mix: {free:.0%}, and it passes the ceiling by {passed:.1f} dB)."
    )
    hint = "--model.master_chain=h (a saturator behind the sum) or ecsg may take part of it over"
    return Finding("ceiling", text, hint, "model.master_chain")


def crowding(mix: Tensor, sample_rate: int) -> tuple[float, float]:
    """The ceiling of a mix in dB, and the share of its peaks within 2 dB of it or above."""
    block = round(_BLOCK_SECONDS * sample_rate)
    peaks = mix.abs().amax(dim=0)
    peaks = torch.nn.functional.pad(peaks, (0, -len(peaks) % block)).view(-1, block).amax(dim=1)
    peaks = peaks[peaks > 10 ** (_QUIET_DB / 20) * peaks.max()].double()
    if not len(peaks):
        return -math.inf, 0.0
    levels = 20 * peaks.log10()
    highest = float(levels.sort().values[math.floor(_CEILING * (len(levels) - 1))])
    return highest, float((levels > highest - _CROWD_DB).double().mean())


def mono_mix(target: Tensor, found_mix: Tensor, closeness: Closeness) -> Finding | None:
    """Finds a mono target whose found mix is stereo."""
    if not is_mono(target) or is_mono(found_mix):
        return None
    text = (
        f"The mix is mono and the found mix is not (its side is {-closeness.found_width_db:.0f} dB below its mid), "
        "so it is written in stereo."
    )
    hint = "stereo imager, gain/panning, delay and reverb part the channels: leave out their letters, s, g, d and r"
    return Finding("mono_mix", text, hint, "model.track_chain")


def peak(closeness: Closeness) -> Finding | None:
    """Finds a found mix whose peaks exceed full scale, which FLAC cannot hold."""
    if closeness.found_peak_dbfs <= 0:
        return None
    text = f"The found mix peaks at {closeness.found_peak_dbfs:+.1f} dBFS, so it is written as float WAV."
    return Finding("peak", text)


def is_mono(audio: Tensor) -> bool:
    """Whether both channels of (2, L) are equal."""
    return torch.equal(audio[0], audio[1])


def window_powers(audio: Tensor, window: int) -> Tensor:
    """The power of each window of (2, L), side by side; the last one, where it is short, with zeros: (windows,)."""
    powers = []
    for part in audio.split(window * _WINDOWS_AT_ONCE, dim=-1):
        padded = torch.nn.functional.pad(part.double(), (0, -part.shape[-1] % window))
        powers.append(padded.reshape(2, -1, window).square().mean(dim=(0, 2)))
    return torch.cat(powers)
