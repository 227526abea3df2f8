"""Graphs that no one can tell apart: each equivalence by a pair of graphs made by hand, with exact counts."""

import math

import pytest
import torch

from mixgraph.graph import build_console, prune
from mixgraph.processors import make_processors
from mixgraph.recovery.equivalence import (
    AS_PLACED,
    COMMON_GAIN,
    DOUBLES,
    EQUIVALENCES,
    ORDER,
    SINGLE_TRACKS,
    PlacedProcessor,
    match_chains,
    placed_processors,
    tracks_of_groups,
)
from mixgraph.render import render_song

NAMES = {"e": "equalizer", "c": "compressor", "n": "noisegate", "s": "stereo_imager", "g": "gain_panning"}
NAMES |= {"d": "delay", "r": "reverb", "x": "saturator"}
GROUPS = {"drums": ("kick", "snare"), "voice": ("vox",)}


def chains(**letters):
    """Processors of `track=letters`; each is worth .1, .2, ... in its chain, from behind."""
    return [
        PlacedProcessor(
            ("subgroup" if name in GROUPS else "track", name, ()), NAMES[letter], round(0.1 * (len(chain) - i), 3)
        )
        for name, chain in letters.items()
        for i, letter in enumerate(chain)
    ]


def counted(true, found):
    """(recovered, right) by equivalence."""
    steps = match_chains(chains(**true), chains(**found), GROUPS)
    assert tuple(steps) == EQUIVALENCES
    return {name: (len(step.recovered), len(step.right)) for name, step in steps.items()}


def test_order_is_free_between_linear_processors_alone() -> None:
    swapped = counted({"kick": "egr"}, {"kick": "rge"})
    assert swapped == {AS_PLACED: (1, 1)} | dict.fromkeys(EQUIVALENCES[1:], (3, 3))
    # Before a compressor is not behind it: one of the two is found.
    assert counted({"kick": "ec"}, {"kick": "ce"})[ORDER] == (1, 1)
    # An equalizer on either side of a compressor that was not found: its run is one with that behind it.
    assert counted({"kick": "ecg"}, {"kick": "ge"}) == {AS_PLACED: (1, 1)} | dict.fromkeys(EQUIVALENCES[1:], (2, 2))
    # The most pairs are taken: three linear ones rather than the compressor.
    assert counted({"kick": "cegr"}, {"kick": "regc"})[ORDER] == (3, 3)


def test_the_chain_of_a_subgroup_of_one_track_is_that_of_the_track() -> None:
    moved = counted({"vox": "gr", "kick": "e"}, {"voice": "gr", "drums": "e"})
    assert moved == {AS_PLACED: (0, 0), ORDER: (0, 0)} | dict.fromkeys(EQUIVALENCES[2:], (2, 2))
    # The subgroup's compressor stands behind the track's gain, as in the true chain; the gate stands before it.
    assert counted({"vox": "gc"}, {"vox": "g", "voice": "c"})[SINGLE_TRACKS] == (2, 2)
    assert counted({"vox": "cn"}, {"vox": "n", "voice": "c"})[SINGLE_TRACKS] == (1, 1)


@pytest.mark.parametrize(
    ("true", "found", "expected"),
    [
        ({"drums": "g"}, {"kick": "g", "snare": "g"}, (1, 2)),  # one true gain, made by both found ones
        ({"drums": "g", "kick": "g"}, {"kick": "g", "snare": "g"}, (2, 2)),
        ({"drums": "cg"}, {"drums": "c", "kick": "g", "snare": "g"}, (2, 3)),  # the threshold moves
        ({"drums": "xg"}, {"drums": "x", "kick": "g", "snare": "g"}, (1, 1)),  # saturation does not follow
        ({"drums": "g"}, {"kick": "g"}, (0, 0)),  # not a common one
        ({"kick": "g", "snare": "g"}, {"drums": "g", "kick": "g"}, (2, 2)),
        ({"kick": "g", "snare": "g"}, {"drums": "g"}, (1, 1)),  # it stands for one of them
        ({"kick": "g", "snare": "g"}, {"drums": "g", "kick": "g", "snare": "g"}, (2, 2)),  # one is too many
        ({"kick": "g"}, {"drums": "g"}, (0, 0)),
    ],
)
def test_a_common_gain_may_stand_on_the_subgroup(true, found, expected) -> None:
    before = counted(true, found)
    assert before[COMMON_GAIN] == expected
    unmoved = {"drums": "x", "kick": "g", "snare": "g"}, {"drums": "g", "kick": "g", "snare": "g"}
    assert (before[COMMON_GAIN] > before[SINGLE_TRACKS]) == (expected[1] > 0 and found not in unmoved)


def test_two_gains_of_a_run_are_one() -> None:
    steps = match_chains(chains(vox="ge", voice="ge"), chains(vox="ge"), GROUPS)
    assert (steps[COMMON_GAIN].recall(), steps[COMMON_GAIN].precision) == (0.5, 1)
    assert (steps[DOUBLES].recall(), steps[DOUBLES].precision, len(steps[DOUBLES].true)) == (1, 1, 2)
    assert len(match_chains(chains(vox="gcg"), [], GROUPS)[DOUBLES].true) == 3


def test_recall_is_of_what_is_worth_it_and_precision_of_all() -> None:
    true = [
        PlacedProcessor(("track", "kick", ()), node_type, worth)
        for node_type, worth in (("equalizer", 0.002), ("gain_panning", 0.02), ("reverb", 0.5), ("delay", 0.04))
    ]
    found = chains(kick="ers")
    step = match_chains(true, found, GROUPS)[COMMON_GAIN]
    assert step.precision == pytest.approx(2 / 3)
    assert [step.recall(least) for least in (0, 0.01, 0.03)] == [0.5, pytest.approx(1 / 3), 0.5]
    assert step.f1(0.03) == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))
    record = step.to_dict((0, 0.03))
    assert record["missed"] == [
        {"label": "track kick: gain_panning", "worth": 0.02},
        {"label": "track kick: delay", "worth": 0.04},
    ]
    assert [one["label"] for one in record["spurious"]] == ["track kick: stereo_imager"]
    # Of two equal ones the more valuable one counts as found; without worths only the recall over all is known.
    twice = [true[1], PlacedProcessor(("track", "kick", ()), "gain_panning", 0.9)]
    assert match_chains(twice, chains(kick="g"), GROUPS)[ORDER].recall(0.03) == 1
    unknown = [PlacedProcessor(("track", "kick", ()), "reverb")]
    assert match_chains(unknown, found, GROUPS)[ORDER].recall(0.03) is None
    assert match_chains(unknown, found, GROUPS)[ORDER].recall() == 1
    assert match_chains([], [], GROUPS)[ORDER].f1() is None


def test_graphs_are_read_chain_by_chain() -> None:
    graph, _ = prune(console := build_console(GROUPS, "ecg", "rg"), [n for n in console.processors if n % 2])
    placed = placed_processors(graph, list(range(len(graph.processors))))
    assert [one.label for one in placed] == [graph.label(n) for n in graph.topological_order if n in graph.processors]
    assert {one.label: one.worth for one in placed} == {graph.label(n): i for i, n in enumerate(graph.processors)}
    assert tracks_of_groups(graph) == GROUPS
    branched = build_console({"drums": ("kick",)}, "t(c,g)g", "")
    places = [one.place for one in placed_processors(branched)]
    assert ("track", "kick", ("mid",)) in places
    step = match_chains(placed_processors(branched), placed_processors(branched), {"drums": ("kick",)})[DOUBLES]
    assert (step.precision, step.recall()) == (1, 1)


def test_what_counts_as_equal_sounds_equal() -> None:
    """A subgroup's gain with a compressor before it, against the same gain on both tracks and a moved threshold."""
    processors, gain = make_processors(8000), 0.5
    generator = torch.Generator().manual_seed(0)
    sources = torch.randn(2, 2, 6000, generator=generator)

    def mixed(letters, group_letters, threshold, log_gains):
        graph = build_console({"drums": ("kick", "snare")}, letters, group_letters)
        values = {t: processors[t].sample_initial_values(n, generator, 0.0) for t, n in graph.count().items()}
        values["compressor"]["log_threshold"] = values["compressor"]["log_threshold"] * 0 + threshold
        values["gain_panning"]["log_gain"] = torch.tensor(log_gains).view(-1, 1).expand(-1, 2)
        weights = torch.ones(len(graph.processors))
        return render_song(graph, processors, sources, values, weights)[0]

    spec = processors["compressor"].specification["log_threshold"]
    low, high = (float(spec.from_unit(torch.tensor(db))) for db in (-12.0 + 20 * math.log10(gain), -12.0))
    log_gain = float(torch.tensor(gain).log())
    on_group = mixed("", "cg", high, [log_gain])
    on_tracks = mixed("g", "c", low, [log_gain, log_gain])
    assert float((on_group - on_tracks).abs().max()) < 1e-3 * float(on_group.abs().max())
    assert float((on_group - mixed("g", "c", high, [log_gain, log_gain])).abs().max()) > 0.05
