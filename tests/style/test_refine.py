"""Graphs that are moved towards statistics, with every track within its bounds."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mixgraph.graph import build_console
from mixgraph.graph.values import GraphValues
from mixgraph.processors import make_processors
from mixgraph.render import render_song
from mixgraph.songs import Song, load_song
from mixgraph.style import mix_statistics
from mixgraph.style.module import StyleConsole
from mixgraph.style.refine import RefineSettings, held_at_loudness, refine
from mixgraph.style.track_levels import (
    HeldLevels,
    LevelsNotHeld,
    TrackLevels,
    change_level,
    hold_levels,
    track_gains,
    track_levels,
)

RATE = 8000


@pytest.fixture(scope="module")
def song(tiny_song: Path) -> Song:
    return load_song(tiny_song, sample_rate=RATE, cache_dir=None)


def start_of(song: Song, chain: str) -> GraphValues:
    """The song's console with its tracks' chain alone; equalizers and gains do nothing yet."""
    graph = build_console(song.subgroups, chain, "", song.name)
    values = {}
    for node_type, count in graph.count().items():
        processor = make_processors(RATE)[node_type]
        values[node_type] = processor.sample_initial_values(count, torch.Generator().manual_seed(0))
        for name, value in (processor.identity or {}).items():
            values[node_type][name].fill_(value)
    return GraphValues(graph, values, torch.full((len(graph.processors),), 0.5))


def with_bus(song: Song, bus: str, log_threshold: float, log_ratio: float) -> GraphValues:
    """A gain of 0 dB on every track, and dynamics on every subgroup."""
    graph = build_console(song.subgroups, "g", bus, song.name)
    (kind,) = set(graph.count()) - {"gain_panning"}
    values = make_processors(RATE)[kind].sample_initial_values(2, torch.Generator().manual_seed(0))
    values["log_threshold"].fill_(log_threshold)
    values["log_ratio"].fill_(log_ratio)
    weights = torch.tensor([1.0 if graph.types[node] == kind else 0.5 for node in graph.processors])
    return GraphValues(graph, {"gain_panning": {"log_gain": torch.zeros(3, 2)}, kind: values}, weights)


def test_the_gain_of_a_track_is_changed_or_put_before_its_chain(song: Song) -> None:
    processors = make_processors(RATE)
    for chain, before in (("eg", 6), ("e", 3)):
        start = start_of(song, chain)
        assert len(start.graph.processors) == before
        louder = change_level(change_level(start, 1, 3.0), 1, 2.0)
        assert track_gains(louder.graph)[1] in louder.graph.processors
        first, then = (track_levels(values, processors, song.sources, RATE) for values in (start, louder))
        changes = [b - a for a, b in zip(first.tracks, then.tracks, strict=True)]
        assert changes == pytest.approx([0, 5, 0], abs=1e-3)
        assert sum(10 ** (level / 10) for level in first.relative) == pytest.approx(1, abs=0.1)  # they add up


def test_no_track_is_silenced(song: Song) -> None:
    """A gate that takes a track away has to go; a gain that is too low is raised; a silent track stays silent."""
    processors = make_processors(RATE)
    start = start_of(song, "ng")
    sources = song.sources.clone()
    sources[2] = 0
    before = track_levels(start, processors, sources, RATE).relative
    assert before[2] == -math.inf
    changed = change_level(start, 0, -15.0)
    gates = {name: value.clone() for name, value in changed.parameters["noisegate"].items()}
    gates["log_threshold"][1], gates["log_ratio"][1] = 20.0, 6.0
    changed = replace(changed, parameters={**changed.parameters, "noisegate": gates}, weights=changed.weights.clone())
    changed.weights[changed.graph.processors.index(changed.graph.nodes_of("noisegate")[1])] = 1.0
    held = hold_levels(changed, processors, sources, RATE, before, (-6.0, 6.0))
    assert all(-6.2 < change < 6.2 for change in held.changes_db)
    assert held.changes_db[2] == 0
    assert len(held.notes) == 2
    assert len(held.values.graph.nodes_of("noisegate")) < 3
    assert held.values.graph.inputs
    assert held.values.weights.shape == (len(held.values.graph.processors),)


def test_what_a_bus_loses_is_measured_in_all_its_tracks(song: Song) -> None:
    """The gate of a subgroup takes the hat away and has to go; the kick, which it left in bounds, is louder then."""
    processors = make_processors(RATE)
    before = track_levels(start_of(song, "g"), processors, song.sources, RATE).relative
    gated = with_bus(song, "n", 4.0, 4.0)
    gated.weights[-1] = 1e-3  # the lead's
    kick, hat, _ = track_levels(gated, processors, song.sources, RATE).relative
    assert (hat, kick < before[0] - 5) == (-math.inf, True)
    held = hold_levels(gated, processors, song.sources, RATE, before, (-8.0, 8.0))
    now = track_levels(held.values, processors, song.sources, RATE).relative
    assert held.changes_db == pytest.approx([a - b for a, b in zip(now, before, strict=True)], abs=1e-3)
    assert abs(held.changes_db[0]) < 0.5
    assert held.notes == (
        "hat: its dynamics had to be removed, with the dynamics of subgroup drums, "
        "so that its level moves by -8 to +8 dB at most",
    )


def test_a_loudness_is_reached_within_the_bounds_of_tracks_although_compressors_answer(song: Song) -> None:
    processors = make_processors(RATE)
    start = with_bus(song, "c", 2.0, 1.0)
    start.weights[-1] = 1e-3  # the lead is not compressed: louder tracks would bring it forward
    before = track_levels(start, processors, song.sources, RATE)
    held = HeldLevels(start, (0.0,) * 3, ())
    reached = held_at_loudness(held, processors, song, before.relative, (-2.0, 2.0), before.mix + 12)
    now = track_levels(reached.values, processors, song.sources, RATE)
    assert all(-2.2 < a - b < 2.2 for a, b in zip(now.relative, before.relative, strict=True))
    assert now.mix == pytest.approx(before.mix + 12, abs=0.2)
    assert any(note.startswith("kick: ") for note in reached.notes)


def test_the_common_change_of_an_even_number_of_gains_is_in_the_middle(song: Song) -> None:
    two = build_console({"all": ("kick", "hat")}, "g", "", song.name)
    module = StyleConsole(mix_statistics(song.mix, RATE), sample_rate=RATE, initial_values="drawn")
    module.load(two, {"gain_panning": {"log_gain": torch.zeros(2, 2)}}, torch.full((2,), 0.9))
    module._start_gains = module._gain_levels()
    for change, kept in ((1.0, True), (1.8, False)):  # 8.1 and 14.9 dB, half of it on either side of the middle
        with torch.no_grad():
            module._log_gains()[1] = change
        before = module._gain_levels()
        module._hold_gains()
        assert (module._gain_levels() == before) == kept


def test_a_bass_stays_near_the_middle_and_keeps_its_power(song: Song) -> None:
    graph = build_console({"all": ("bass", "hat")}, "g", "g", song.name)
    module = StyleConsole(mix_statistics(song.mix, RATE), most_panning_db=3.0, sample_rate=RATE, initial_values="drawn")
    module.load(graph, {"gain_panning": {"log_gain": torch.zeros(3, 2)}}, torch.full((3,), 0.9))
    module._start_gains, module._start_balances = module._gain_levels(), module._balances()
    assert list(module._start_balances) == [("track", "bass")]
    rows = [graph.rows[node] for node in track_gains(graph).values()]
    with torch.no_grad():
        for row in rows:
            module._log_gains()[row] = torch.tensor((0.6, -0.6))
    before, power = module._log_gains()[rows[1]].clone(), module._gain_levels()["bass"]
    assert module._balances()["track", "bass"] > 8
    module._hold_balances()
    assert module._balances()["track", "bass"] == pytest.approx(3.0, abs=1e-3)
    assert module._gain_levels()["bass"] == pytest.approx(power, abs=1e-3)
    assert torch.equal(module._log_gains()[rows[1]], before)  # the hat goes where it likes


@pytest.mark.long
def test_statistics_of_another_mix_are_approached_without_the_songs_own(song: Song) -> None:
    start = start_of(song, "eg")
    wanted = change_level(change_level(start, 0, 4.0), 1, -4.0)
    wanted.parameters["gain_panning"]["log_gain"][2] += torch.tensor((0.3, -0.3))  # the start is mono
    mix = render_song(wanted.graph, make_processors(RATE), song.sources, wanted.parameters, wanted.weights)[0]
    target = mix_statistics(mix, RATE)
    settings = RefineSettings(steps_per_stage=12, console_stages=1, rounds=1, clip_seconds=2.0, tolerance=0.05)
    nonsense = replace(song, mix=torch.rand_like(song.mix))
    refined = refine(nonsense, start, target, settings)
    assert float(refined.after.full) < 0.5 * float(refined.before.full)
    assert refined.levels_db["kick"] > 0 > refined.levels_db["hat"]
    assert all(abs(change) < 6.2 for change in refined.levels_db.values())
    assert float(refined.after.parts["width_db"]) < 0.5 * float(refined.before.parts["width_db"])
    assert len(refined.values.graph.processors) <= 6
    assert refined.steps == 24
    assert len(track_gains(refined.values.graph)) == 3


def test_where_levels_cannot_be_held_the_start_is_kept(song: Song, monkeypatch: pytest.MonkeyPatch) -> None:
    start, processors = start_of(song, "g"), make_processors(RATE)
    impossible = (0.0, 0.0, 0.0)  # three tracks that are each as loud as their sum
    with pytest.raises(LevelsNotHeld, match=r"^the levels of kick, hat, lead could not be kept within 0 and \+0 dB$"):
        hold_levels(start, processors, song.sources, RATE, impossible, (0.0, 0.0))
    monkeypatch.setattr("mixgraph.style.refine.track_levels", lambda *_: TrackLevels(-16.0, (-16.0,) * 3))
    settings = RefineSettings(2, 1, 1, clip_seconds=2.0, level_bounds_db=(0.0, 0.0))
    refined = refine(song, start, mix_statistics(song.mix, RATE), settings)
    assert refined.values is start
    assert refined.notes[0].startswith("The levels of kick, hat, lead could not be kept within 0 and +0 dB: the start")
    assert float(refined.after.full) == float(refined.before.full)


def test_what_cannot_be_refined_is_refused(song: Song) -> None:
    start = start_of(song, "g")
    target = mix_statistics(song.mix, RATE)
    empty = GraphValues(build_console(song.subgroups, "", "", song.name), {}, torch.zeros(0))
    with pytest.raises(ValueError, match="put a gain on every track"):
        refine(song, empty, target)
    with pytest.raises(ValueError, match="mix is silent"):
        refine(replace(song, sources=0 * song.sources), start, target)
    others = replace(song, subgroups={"drums": ("kick", "hat"), "lead": ("voice",)})
    with pytest.raises(ValueError, match="kick, hat, voice is needed"):
        refine(others, start, target)
    with pytest.raises(ValueError, match="most_panning_db: at least 0 dB, got -1"):
        RefineSettings(most_panning_db=-1)
    with pytest.raises(ValueError, match="from 0 are needed, got 1 and 6"):
        RefineSettings(level_bounds_db=(1, 6))
