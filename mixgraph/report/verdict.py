"""A verdict in words on a found mix: its closeness to the target, and causes of the differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from mixgraph.report.closeness import Closeness, measure_closeness
from mixgraph.report.findings import FADERS_LOSS, RECOGNISABLE_LOSS, Finding, find_causes
from mixgraph.songs import Song, SongWarning

SCALE = (
    (0.15, "very close"),
    (0.35, "close"),
    (RECOGNISABLE_LOSS, "recognisably the same mix"),
    (FADERS_LOSS, "far"),
    (float("inf"), "very far"),
)
"""The highest match loss, over the target's norm, of each step of the scale, and its name.

Made from songs that were searched: songs mixed by our own processors end at .08 to .13; of real songs and mixes
by other software three end at .23 to .31 and four at .46 to .54; gain and panning alone reach .9 to 1.05 on real
songs; the mixes of other songs end at 1.3 to 2.0 and dry sums are at 1.7 to 4.2.
"""
_LOW_OCTAVES = ("31", "63", "125")
_NOTABLE_DB = 1.0


@dataclass(frozen=True)
class Verdict:
    """How close a found mix is.

    Attributes:
        words: one of the words of `SCALE`.
        closeness: the measured differences in dB, to two places; None where the target is silent.
        findings: causes why the found mix misses its target, most important first.
    """

    words: str
    closeness: Closeness | None
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """The verdict as JSON can hold it, with the figures beside the words."""
        figures = {} if self.closeness is None else asdict(self.closeness)
        return {"words": self.words, **figures, "findings": [asdict(finding) for finding in self.findings]}


def judge(song: Song, found_mix: Tensor, loss: float, loss_without: Callable[[int], float]) -> Verdict:
    """Judges a found mix.

    Args:
        song: the song with its tracks and mix.
        found_mix: (2, L), at the level of the song's mix.
        loss: the match loss of the found mix, over the target's norm.
        loss_without: returns the loss of the found mix with one track muted, by the track's row in the sources.
    """
    if not bool(song.mix.any()):
        return Verdict("silent target", None, ())
    closeness = measure_closeness(song.mix / song.level, found_mix / song.level, song.sample_rate)
    findings = find_causes(song, found_mix, closeness, loss, loss_without)
    return Verdict(closeness_in_words(loss), _rounded_figures(closeness), findings)


def closeness_in_words(loss: float) -> str:
    """Returns the word of `SCALE` for a match loss over the target's norm."""
    return next((words for most, words in SCALE if loss <= most), SCALE[-1][1])


def what_tracks_are(warnings: Sequence[SongWarning]) -> list[str]:
    """Says what the tracks of a song are where they are no dry tracks, and so what its graph is not."""
    return [f"What this is: {warning.text}." for warning in warnings if warning.code == "normalised_stems"]


def verdict_lines(verdict: Verdict, loss: float) -> list[str]:
    """Formats a verdict for users: how close the mixes are, the octaves, and the findings.

    Args:
        verdict: the verdict on the found mix.
        loss: the match loss of the found mix, over the target's norm.
    """
    closeness = verdict.closeness
    if closeness is None:
        return ["Verdict: the mix is silent, so there is nothing to compare with."]
    worst, worst_db = closeness.worst_octave
    middle = f"{worst[:-1]} kHz" if worst.endswith("k") else f"{worst} Hz"
    lines = [
        f"Verdict: {verdict.words} (match loss {loss:.3f}): level {_db(closeness.level_db)} dB, worst octave "
        f"{middle} {_db(worst_db)} dB, stereo width {_db(closeness.width_db)} dB, peak {_db(closeness.peak_db)} dB.",
        f"  octaves (Hz, dB of the found mix against the target): "
        f"{', '.join(f'{name} {_db(level)}' for name, level in closeness.octaves_db.items())}",
    ]
    if worst in _LOW_OCTAVES and abs(worst_db) >= _NOTABLE_DB:
        lines.append("  (the match loss is A-weighted: it hardly hears the lowest octaves)")
    return lines + [f"  {'WARNING' if f.code == 'another_song' else 'note'}: {f}" for f in verdict.findings]


def _rounded_figures(closeness: Closeness) -> Closeness:
    octaves = {name: _rounded(level) for name, level in closeness.octaves_db.items()}
    others = {name: _rounded(value) for name, value in asdict(closeness).items() if name != "octaves_db"}
    return Closeness(octaves_db=octaves, **others)


def _rounded(value: float, digits: int = 2) -> float:
    return round(value, digits) + 0.0  # without -0.0


def _db(value: float) -> str:
    return f"{_rounded(value, 1):+.1f}"
