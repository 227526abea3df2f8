"""What tells proposals apart, in words: processors, levels of tracks, spectrum, width and dynamics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from mixgraph.automix.proposals import Proposal
from mixgraph.processors import Processors
from mixgraph.report.drawing.palette import type_label
from mixgraph.songs.clips import cut, loudest_start
from mixgraph.songs.loudness import integrated_loudness
from mixgraph.style import MixStatistics, mix_statistics
from mixgraph.style.mix_statistics import third_hertz
from mixgraph.style.track_levels import track_levels

_SECONDS = 10.0  # of the song, in which levels of tracks are measured
_LEAST_LEVEL_LU, _LEAST_TILT_DB, _LEAST_WIDTH_DB, _LEAST_RANGE_LU, _LEAST_CREST_DB = 1.5, 1.0, 1.0, 1.0, 0.7
_LOW_HZ, _HIGH_HZ = 300.0, 4000.0
_MOST_TRACKS = 4
_HARDLY_HEARD_LU = -35.0
_MOST_LEVELS = 24


@dataclass(frozen=True, eq=False)
class Heard:
    """How a proposal sounds.

    Attributes:
        number: of the proposal.
        counts: type -> number of its processors.
        levels: track -> its loudness against the mix, in LU, in the 10 s in which the plain sum of all tracks is
            loudest, for every proposal of a song the same; minus infinity where it is silent.
        statistics: of the whole mix.
        plain: track -> its loudness against the plain sum of the tracks, in the same 10 s.
        elsewhere: the tracks that sound outside of these 10 s only.
    """

    number: int
    counts: dict[str, int]
    levels: dict[str, float]
    statistics: MixStatistics
    plain: dict[str, float] = field(default_factory=dict)
    elsewhere: tuple[str, ...] = ()

    @property
    def tilt_db(self) -> float:
        """The level of mid above 4 kHz against that below 300 Hz, each in third octaves, in dB."""
        spectrum = self.statistics.spectrum_mid_db
        hertz = third_hertz(len(spectrum))
        low = [float(level) for level, f in zip(spectrum, hertz, strict=True) if 40 < f < _LOW_HZ]
        high = [float(level) for level, f in zip(spectrum, hertz, strict=True) if f > _HIGH_HZ]
        return (fmean(high) if high else 0.0) - fmean(low)

    @property
    def width_db(self) -> float:
        """Side over mid, the mean over octaves, in dB."""
        return float(self.statistics.width_db.mean())


def hear(proposal: Proposal, processors: Processors) -> Heard:
    """Measures how a proposal sounds; its song's mix is the plain sum of the tracks."""
    song, rate = proposal.song, proposal.song.sample_rate
    length = round(_SECONDS * rate)
    start = loudest_start(song.mix, length) if song.num_samples > length else 0
    sources = cut(song.sources, start, length)
    levels = track_levels(proposal.values, processors, sources, rate).relative
    whole = integrated_loudness(sources.sum(dim=0), rate)
    plain = [integrated_loudness(source, rate) - whole for source in sources]
    return Heard(
        proposal.number,
        dict(proposal.values.graph.count()),
        dict(zip(song.tracks, levels, strict=True)),
        mix_statistics(proposal.mix, rate).detach(),
        dict(zip(song.tracks, plain, strict=True)),
        tuple(
            name
            for name, part, source in zip(song.tracks, sources, song.sources, strict=True)
            if bool(source.any()) and not bool(part.any())
        ),
    )


def said_levels(heard: Heard) -> list[str]:
    """Says how loud each track is against the mix, the loudest first, and what that was in the plain sum."""
    known = {name: level for name, level in heard.levels.items() if math.isfinite(level)}
    if len(known) < 2:
        return []
    loudest = sorted(known, key=lambda name: -known[name])
    named = [f"{name} {known[name]:.1f} ({heard.plain[name]:.1f})" for name in loudest[:_MOST_LEVELS]]
    more = f", and {len(loudest) - len(named)} more" if len(loudest) > len(named) else ""
    where = f"in the loudest {_SECONDS:g} s of the plain sum"
    said = [f"Loudness of each track against the mix (and in the plain sum), {where}, in LU: {', '.join(named)}{more}."]
    if heard.elsewhere:
        said.append(f"Silent in these {_SECONDS:g} s, which say nothing of them: {', '.join(heard.elsewhere)}.")
    return said


def hardly_heard(heard: Heard) -> list[str]:
    """Names the tracks that sound and are far below the mix."""
    names = [name for name, level in heard.levels.items() if math.isfinite(level) and level < _HARDLY_HEARD_LU]
    if not names:
        return []
    where = f"in the loudest {_SECONDS:g} s of the plain sum"
    return [f"Hardly heard, more than {-_HARDLY_HEARD_LU:g} LU below the mix {where}: {', '.join(names)}."]


def figures(heard: Sequence[Heard]) -> list[str]:
    """Lays out what was measured of proposals as lines of a table, with the units in its head."""
    head = (
        "proposal",
        "processors",
        "above 4 kHz / below 300 Hz, dB",
        "side / mid, dB",
        "loudness range, LU",
        "crest, dB",
    )
    rows = [
        (
            str(one.number),
            str(sum(one.counts.values())),
            f"{one.tilt_db:.1f}",
            f"{one.width_db:.1f}",
            f"{float(one.statistics.loudness_range_lu):.1f}",
            f"{float(one.statistics.crest_db.mean()):.1f}",
        )
        for one in heard
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return ["  ".join(f"{text:>{width}}" for text, width in zip(row, widths, strict=True)) for row in (head, *rows)]


def tell_apart(heard: Sequence[Heard]) -> list[str]:
    """Says of each proposal what it has more and less of than the mean of the others: a sentence each, in order."""
    if len(heard) < 2:
        return [f"Proposal {one.number}: {sum(one.counts.values())} processors." for one in heard]
    return [_sentence(one, [other for other in heard if other is not one]) for one in heard]


def _sentence(one: Heard, others: Sequence[Heard]) -> str:
    parts = [*_processors(one, others), *_levels(one, others), *_sound(one, others)]
    said = "; ".join(parts) if parts else "hardly differs from the others"
    return f"Proposal {one.number} ({sum(one.counts.values())} processors): {said}."


def _processors(one: Heard, others: Sequence[Heard]) -> list[str]:
    changes = []
    for kind in dict.fromkeys(kind for heard in (one, *others) for kind in heard.counts):
        difference = one.counts.get(kind, 0) - fmean(other.counts.get(kind, 0) for other in others)
        if abs(difference) >= 1:
            number = math.floor(abs(difference) + 0.5)
            plural, which = "s" if number > 1 else "", "more" if difference > 0 else "fewer"
            changes.append((difference, f"{number} {which} {type_label(kind)}{plural}"))
    return [text for _, text in sorted(changes, key=lambda change: -abs(change[0]))]


def _levels(one: Heard, others: Sequence[Heard]) -> list[str]:
    changes = []
    for track, level in one.levels.items():
        known = [other.levels[track] for other in others if math.isfinite(other.levels[track])]
        if math.isfinite(level) and known and abs(level - fmean(known)) >= _LEAST_LEVEL_LU:
            changes.append((level - fmean(known), track))
    loudest = sorted(changes, key=lambda change: -abs(change[0]))[:_MOST_TRACKS]
    return [f"{track} {abs(by):.0f} dB {'louder' if by > 0 else 'softer'}" for by, track in loudest]


def _sound(one: Heard, others: Sequence[Heard]) -> list[str]:
    def against(values: Sequence[float], value: float) -> float:
        return value - fmean(values)

    mine = one.statistics
    rows = (
        (against([o.tilt_db for o in others], one.tilt_db), _LEAST_TILT_DB, "brighter", "darker", "dB"),
        (against([o.width_db for o in others], one.width_db), _LEAST_WIDTH_DB, "wider", "narrower", "dB"),
        (
            against([float(o.statistics.loudness_range_lu) for o in others], float(mine.loudness_range_lu)),
            _LEAST_RANGE_LU,
            "a larger loudness range",
            "a smaller loudness range",
            "LU",
        ),
        (
            against([float(o.statistics.crest_db.mean()) for o in others], float(mine.crest_db.mean())),
            _LEAST_CREST_DB,
            "sharper peaks",
            "softer peaks",
            "dB",
        ),
    )
    return [
        f"{more if by > 0 else less} ({abs(by):.1f} {unit})" for by, least, more, less, unit in rows if abs(by) >= least
    ]
