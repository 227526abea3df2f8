"""Synthetic songs with a known graph: dry tracks from formulas, mixed by our own processors.

They show what real songs cannot: whether a search finds the processors that were really used. Every processor of
the truth matters: removing it alone raises the match loss by at least twice the tolerance.

Some differences between graphs cannot be heard, and no search can settle them:

- The level of a chain is shared by its gain, the level of its equalizer, and the dry/wet weights of reverb and
  delay. Equalizers of the truth have zero mean over third-octave bands, so that the level stays with the gain.
- The linear processors of a subgroup and those of its tracks: a gain, equalizer or imager on a subgroup equals the
  same on each of its tracks. Therefore every subgroup has two tracks or more, and has such a type only if at
  least two of its tracks lack it: the truth is then the smallest of the equal graphs.
- An imager does nothing on a mono track; the truth has them on stereo tracks alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mixgraph.graph import MixGraph, build_console
from mixgraph.losses import make_match_loss
from mixgraph.processors import Processor, Processors, make_processors, processor_type, types_from_letters
from mixgraph.processors.usage import RandomSettings
from mixgraph.songs.align import TrackAlignment
from mixgraph.songs.loudness import integrated_loudness
from mixgraph.songs.song import Song
from mixgraph.synthetic.balance import Balance, draw_balance
from mixgraph.synthetic.engineer import draw_settings, same_on_subgroups
from mixgraph.synthetic.instruments import INSTRUMENTS, Instrument, make_sheet, make_track
from mixgraph.synthetic.mixer import Mixed, Mixer, MixRules

CHAIN = "ecnsgdr"
ATTEMPTS = 6
_STRONGER = 1.4
_PEAK = 0.95
_MARGIN = 1.02  # above the required increase, so that rounding never falls below it

Values = dict[str, dict[str, Tensor]]


@dataclass(frozen=True, eq=False)
class SyntheticSong:
    """A synthetic song and the graph that made it.

    Attributes:
        song: dry tracks, and the mix that the graph makes of them.
        graph: the true graph, a pruned console.
        processors: one module for each type.
        parameters: type -> name -> (nodes of the type, *shape), in trained coordinates.
        weights: dry/wet weights, (processors,).
        loss_increases: the loss increase on removing each processor alone (paper eq. 9); at least twice the tolerance.
    """

    song: Song
    graph: MixGraph
    processors: Processors
    parameters: Values
    weights: Tensor
    loss_increases: tuple[float, ...]


def make_synthetic_song(
    seed: int = 0,
    num_tracks: int = 6,
    num_subgroups: int = 2,
    seconds: float = 20.0,
    sample_rate: int = 30000,
    tolerance: float = 0.01,
    density: float = 0.4,
    balanced: bool = False,
) -> SyntheticSong:
    """Makes a song and a graph of all processor types; the same arguments give the same samples.

    A graph is drawn; processors whose loss increase is too small are drawn again with stronger settings, and those that
    still do are removed. Where a type was lost, another graph is drawn, up to six times.

    Args:
        seed: seeds all random choices.
        num_tracks: the number K of tracks, at least two for each subgroup.
        num_subgroups: the number of subgroups, which are of about equal size.
        seconds: the length of the song, at least 2.
        sample_rate: the sample rate in Hz.
        tolerance: the tolerance of the intended search; removing any processor costs at least twice as much.
        density: share of the full console's processors to start from.
        balanced: whether the gains of tracks are those of an engineer who listens (`synthetic.balance`); otherwise they
            are drawn at random, whatever the track is.

    Raises:
        ValueError: an argument is out of its range, or no graph has all types with each processor mattering.
    """
    _check(num_tracks, num_subgroups, seconds, tolerance, density)
    generator = torch.Generator().manual_seed(seed)
    sheet = make_sheet(round(seconds * sample_rate), sample_rate, generator)
    parts = _cast(num_tracks)
    sources = torch.stack([make_track(instrument, sheet, generator, octave) for _, instrument, octave in parts])
    subgroups = _subgroups([name for name, _, _ in parts], num_subgroups)
    draft = _Draft(
        seed=seed,
        console=build_console(subgroups, CHAIN, CHAIN, f"synthetic_{seed}"),
        instruments={name: instrument for name, instrument, _ in parts},
        sources=sources,
        mixer=Mixer(
            make_processors(sample_rate),
            make_match_loss(sample_rate),
            MixRules(None, _PEAK, None, 2 * tolerance * _MARGIN),
        ),
        balanced=balanced,
    )
    for attempt in range(ATTEMPTS):
        mixed = draft.attempt(attempt, density)
        values = mixed.values
        if _complete(values.graph):
            song = _song(draft, mixed, subgroups, sample_rate)
            parameters = {node_type: dict(type_parameters) for node_type, type_parameters in values.parameters.items()}
            return SyntheticSong(
                song, values.graph, draft.mixer.processors, parameters, values.weights, mixed.loss_increases or ()
            )
    raise ValueError(
        f"seed {seed}: after {ATTEMPTS} attempts no graph of all {len(CHAIN)} types in which removing any "
        f"processor raises the loss by {2 * tolerance}. HINT: more tracks, a higher density or a lower tolerance"
    )


@dataclass(frozen=True, eq=False)
class _Draft:
    seed: int
    console: MixGraph
    instruments: Mapping[str, Instrument]
    sources: Tensor
    mixer: Mixer
    balanced: bool

    @cached_property
    def balance(self) -> Balance | None:
        """How loud the tracks shall be, in a mix as loud as their sum."""
        if not self.balanced:
            return None
        names, rate = [self.console.names[i] for i in self.console.inputs], self.mixer.match.sample_rate
        loudness = integrated_loudness(self.sources.sum(dim=0), rate)
        draw = RandomSettings(self.generator(0, len(self.console) + 1))
        return draw_balance(names, names, self.sources, loudness, rate, draw)

    def attempt(self, attempt: int, density: float) -> Mixed:
        """Draws a graph, draws processors that matter too little again and stronger, removes those that still do."""
        strengths = dict.fromkeys(self.place(self.generator(attempt, len(self.console)), density), 1.0)
        mixed = self.mixed(attempt, strengths)
        if weak := mixed.weak(self.mixer.rules.least_increase):
            mixed = self.mixed(attempt, strengths | dict.fromkeys(weak, _STRONGER))
        return self.mixer.pruned(mixed, _complete)

    def mixed(self, attempt: int, strengths: Mapping[int, float]) -> Mixed:
        """Mixes with the given processors (node of the console -> strength), and measures their loss increases."""

        def draw(node: int, processor: Processor, signal: Tensor) -> tuple[dict[str, Tensor], float]:
            values, weight = draw_settings(processor, signal, strengths[node], self.generator(attempt, node))
            if self.balance is not None and self.balance.sets(self.console, node):
                values = self.balance.set_gain(processor, values, self.console.names[node], signal)
            return values, weight

        return self.mixer.measured(self.mixer.mix(self.console, list(strengths), self.sources, draw))

    def generator(self, attempt: int, node: int) -> torch.Generator:
        return torch.Generator().manual_seed(((self.seed * 101 + attempt) * 10_007 + node) % (1 << 62))

    def place(self, generator: torch.Generator, density: float) -> list[int]:
        """Chooses processors where engineers would use them and where no smaller graph sounds the same."""
        console = self.console
        group_of = dict(zip((console.names[i] for i in console.inputs), console.subgroups, strict=True))
        num_chains = len(group_of) + len(set(console.subgroups))
        num_wanted = max(2, round(density * num_chains))
        keep: list[int] = []
        for node_type in sorted(types_from_letters(CHAIN)):
            slots = [i for i in console.nodes_of(node_type) if self.suits(i)]
            chosen: list[int] = []
            for slot in torch.randperm(len(slots), generator=generator).tolist():
                candidate = [*chosen, slots[slot]]
                if len(chosen) < num_wanted and (
                    not same_on_subgroups(node_type) or _smallest(candidate, console, group_of)
                ):
                    chosen = candidate
            keep += chosen
        return sorted(keep)

    def suits(self, node: int) -> bool:
        usage = processor_type(self.console.types[node]).usage
        if self.console.types[self.console.chain_head(node)] == "mix":
            return usage.on_subgroups
        return not usage.needs or bool(getattr(self.instruments[self.console.names[node]], usage.needs))


def _complete(graph: MixGraph) -> bool:
    return set(graph.count()) == set(types_from_letters(CHAIN))


def _check(num_tracks: int, num_subgroups: int, seconds: float, tolerance: float, density: float) -> None:
    problems = []
    if num_subgroups < 1:
        problems.append(f"num_subgroups: at least 1, got {num_subgroups}")
    if num_tracks < max(3, 2 * num_subgroups):
        problems.append(f"num_tracks: at least 3, and 2 for each of {num_subgroups} subgroups, got {num_tracks}")
    if not seconds >= 2:
        problems.append(f"seconds: at least 2, got {seconds}")
    if not tolerance >= 0:
        problems.append(f"tolerance: at least 0, in units of the match loss, got {tolerance}")
    if not 0 < density <= 1:
        problems.append(f"density: above 0 and at most 1, got {density}")
    if problems:
        raise ValueError("; ".join(problems))


def _cast(num_tracks: int) -> list[tuple[str, Instrument, int]]:
    """(name, instrument, octave shift) of each track; the rhythm section first."""
    count = len(INSTRUMENTS)
    parts = []
    for track in range(num_tracks):
        instrument, again = INSTRUMENTS[track % count], track // count
        name = instrument.name if again == 0 else f"{instrument.name}_{again + 1}"
        parts.append((name, instrument, (0, 1, -1)[again % 3]))
    rhythm = ("kick", "snare", "hats", "bass")
    return sorted(parts, key=lambda part: part[1].name not in rhythm)


def _subgroups(names: list[str], count: int) -> dict[str, tuple[str, ...]]:
    borders = [round(i * len(names) / count) for i in range(count + 1)]
    return {f"subgroup_{i + 1}": tuple(names[borders[i] : borders[i + 1]]) for i in range(count)}


def _smallest(nodes: list[int], console: MixGraph, group_of: Mapping[str, str]) -> bool:
    """Returns True if no smaller graph sounds the same: a subgroup with a type has two or more tracks without it."""
    names = {console.names[i] for i in nodes}
    for group in set(group_of.values()) & names:
        tracks = [track for track, owner in group_of.items() if owner == group]
        if sum(track not in names for track in tracks) < 2:
            return False
    return True


def _song(draft: _Draft, mixed: Mixed, subgroups: dict[str, tuple[str, ...]], sample_rate: int) -> Song:
    tracks = [track for members in subgroups.values() for track in members]
    return Song(
        name=draft.console.names[-1],
        title=f"Synthetic song {draft.seed}",
        licence="made by mixgraph from formulas; no rights reserved",
        sample_rate=sample_rate,
        subgroups=subgroups,
        sources=mixed.sources,
        mix=mixed.mix,
        mono=tuple(not draft.instruments[track].stereo for track in tracks),
        placements=((0, 1),) * len(tracks),
        level=1.0,
        alignment=tuple(TrackAlignment(0, 1, 1.0, track, False) for track in tracks),
        warnings=(),
        file_hashes={},
    )
