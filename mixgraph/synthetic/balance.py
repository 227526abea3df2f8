"""The gains of an engineer who listens: how loud each track shall be in the mix, and the gain that makes it so.

The loudness that a track shall have is that of a mix in which all tracks are equally loud, moved by its role (ROLES),
by the engineer's taste and by the song; and the engineer goes only a part of the way there, since tracks often come at
a level that means something. The numbers are rules of this generator, not figures of measured mixes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from mixgraph.graph import MixGraph
from mixgraph.processors import Processor
from mixgraph.processors.usage import RandomSettings
from mixgraph.songs.loudness import integrated_loudness
from mixgraph.songs.subgroup_rule import subgroup_of
from mixgraph.synthetic.engineer import Engineer

ROLES: Mapping[str, float] = {"lead_vocals": 4.0, "drums": 1.0, "bass": 1.0, "backing_vocals": -3.0, "fx": -5.0}
"""Subgroup of the rule on names -> how much louder than equally loud its tracks shall be, LU; 0 for the others."""
SPREAD_LU = 2.5
"""Standard deviation of taste and song together."""
WAY = (0.4, 1.0)
"""The least and the largest part of the way that engineers go."""
LEAST_CHANGE_LU = 1.5
"""A track that is nearer than this to its loudness gets no gain for it."""
GAINS_DB = (-18.0, 12.0)
GAIN = "gain_panning"
_NORMAL = NormalDist()
_EDGE = 1e-6


@dataclass(frozen=True)
class Balance:
    """How loud each track shall be.

    Attributes:
        wanted_lufs: name of a track -> its loudness in the mix, after its gain.
        dry_lufs: name of a track -> the loudness that it comes with; minus infinity where it is silent.
        sample_rate: in Hz.
    """

    wanted_lufs: Mapping[str, float]
    dry_lufs: Mapping[str, float]
    sample_rate: int

    def sets(self, graph: MixGraph, node: int) -> bool:
        """Whether a processor of a console is one that the balance sets: the gain of a track."""
        return graph.types[node] == GAIN and graph.level(node) == "track"

    def needs_gain(self, name: str) -> bool:
        """Whether a track is so far from its loudness that it gets a gain; one without sound never is."""
        dry = self.dry_lufs[name]
        return math.isfinite(dry) and abs(self.wanted_lufs[name] - dry) >= LEAST_CHANGE_LU

    def gain_db(self, name: str, signal: Tensor) -> float:
        """The gain that brings a track to its loudness, within GAINS_DB; 0 where there is nothing to hear.

        Args:
            name: of the track.
            signal: (2, L), what enters the gain.
        """
        loudness = integrated_loudness(signal, self.sample_rate)
        if math.isinf(loudness):
            return 0.0
        return min(max(self.wanted_lufs[name] - loudness, GAINS_DB[0]), GAINS_DB[1])

    def set_gain(self, processor: Processor, values: dict[str, Tensor], name: str, signal: Tensor) -> dict[str, Tensor]:
        """Moves the level of a drawn gain to that of the balance; its panning stays, and both sides keep their power.

        Args:
            processor: gain/panning.
            values: its drawn settings, in trained coordinates.
            name: of the track.
            signal: (2, L), what enters it.
        """
        gains = processor.specification["log_gain"].to_unit(values["log_gain"])
        power_db = 10 * torch.log10((10 ** (gains / 10)).mean())
        moved = gains - power_db + self.gain_db(name, signal)
        return {**values, "log_gain": processor.specification["log_gain"].from_unit(moved).float()}


def draw_balance(
    names: Sequence[str],
    instruments: Sequence[str],
    sources: Tensor,
    loudness_lufs: float,
    sample_rate: int,
    draw: RandomSettings,
    engineer: Engineer | None = None,
) -> Balance:
    """Draws how loud the tracks shall be.

    Args:
        names: the tracks' names.
        instruments: what each of them is called in the song that it is from, which tells its role.
        sources: (K, 2, L), as they enter the mix, but for one factor of all.
        loudness_lufs: the loudness that the sum of the tracks is brought to before the mix.
        sample_rate: in Hz.
        draw: source of the song's own randomness.
        engineer: whose taste it is, if any.
    """
    whole = integrated_loudness(sources.sum(dim=0), sample_rate)
    louder = loudness_lufs - whole if math.isfinite(whole) else 0.0
    dry = [integrated_loudness(source, sample_rate) + louder for source in sources]
    heard = max(1, sum(not math.isinf(loudness) for loudness in dry))
    equal = loudness_lufs - 10 * math.log10(heard)

    def luck(*choice: object) -> float:
        number = draw.uniform(0, 1)
        return number if engineer is None else engineer.moved(number, "balance", *choice)

    way = WAY[0] + (WAY[1] - WAY[0]) * luck("way")
    wanted = []
    for instrument, loudness in zip(instruments, dry, strict=True):
        role = subgroup_of(instrument)
        taste = SPREAD_LU * _NORMAL.inv_cdf(min(max(luck(role), _EDGE), 1 - _EDGE))
        there = equal + ROLES.get(role, 0.0) + taste
        wanted.append(there if math.isinf(loudness) else loudness + way * (there - loudness))
    return Balance(dict(zip(names, wanted, strict=True)), dict(zip(names, dry, strict=True)), sample_rate)
