"""The bench of searches: its measures are exact where they can be, its table is arithmetic, and it runs."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch

from mixgraph.cli.config_paths import FROM_FILE, KEY
from mixgraph.graph import build_console, prune
from mixgraph.graph.io import save_graph
from mixgraph.processors import make_processors, processor_type
from mixgraph.recovery import GraphValues, compare_graphs
from mixgraph.recovery.equivalence import placed_processors
from mixgraph.songs import load_song
from tools.bench.fidelity.curve import first_at
from tools.bench.fidelity.equal_graphs import equal_graphs, true_processors
from tools.bench.fidelity.equal_graphs import main as equal_graphs_main
from tools.bench.fidelity.known_settings import settings_errors
from tools.bench.fidelity.report import to_markdown
from tools.bench.fidelity.runs import PEER
from tools.bench.fidelity.songs import SyntheticOptions, measured_song
from tools.bench.fidelity.table import against_peer, summarise, type_agreements, type_ratios
from tools.bench.fidelity.truth import agreement, in_places, kind, of_kinds, processors_of, read_settings, read_truth
from tools.bench.losses import clip_mix, independent_losses
from tools.fidelity import main, parse
from tools.result_tables import read_table

RATE = 30000
DEMO = Path(__file__).parents[2] / "mixgraph" / "songs" / "demo_potassium"


SHORT = SyntheticOptions(seconds=4.0)


def tone(hertz: float, seconds: float = 2.0):
    t = torch.arange(round(seconds * RATE)) / RATE
    return (0.1 * torch.sin(2 * math.pi * hertz * t)).expand(2, -1)


def test_equal_mixes_are_no_distance_apart() -> None:
    audio = torch.randn(2, RATE, generator=torch.Generator().manual_seed(0))
    losses = independent_losses(audio, audio, RATE)
    assert losses == {"stft": 0.0, "loudness_lu": 0.0, "centroid_octaves": 0.0}


def test_silence_where_there_should_be_a_tail_is_no_error_of_colour() -> None:
    target = 0.1 * torch.randn(2, 4 * RATE, generator=torch.Generator().manual_seed(0))
    target[:, RATE : 2 * RATE] *= 0.01
    mix = target.clone()
    mix[:, RATE : 2 * RATE] = 0
    losses = independent_losses(mix, target, RATE)
    assert losses["centroid_octaves"] < 0.05
    assert losses["loudness_lu"] > 5


def test_half_the_level_is_six_units_of_loudness_and_no_colour() -> None:
    audio = 0.1 * torch.randn(2, RATE, generator=torch.Generator().manual_seed(0))
    losses = independent_losses(audio / 2, audio, RATE)
    assert losses["loudness_lu"] == pytest.approx(20 * math.log10(2), abs=1e-4)
    assert losses["centroid_octaves"] == pytest.approx(0, abs=1e-9)


def test_an_octave_is_an_octave() -> None:
    losses = independent_losses(tone(2000), tone(1000), RATE)
    # Frames that the ends of the tone cut have other centroids than the tone's; they are two of thirty.
    assert losses["centroid_octaves"] == pytest.approx(1, abs=0.02)


def test_silence_in_the_target_is_not_measured() -> None:
    audio = 0.1 * torch.randn(2, 2 * RATE, generator=torch.Generator().manual_seed(0))
    target = torch.cat([audio, torch.zeros(2, RATE)], dim=-1)
    mix = torch.cat([audio, 1e-4 * audio[:, :RATE]], dim=-1)
    losses = independent_losses(mix, target, RATE)
    assert losses["loudness_lu"] < 1e-3
    with pytest.raises(ValueError, match=r"at least 0.4 s are needed"):
        independent_losses(audio[:, :100], audio[:, :100], RATE)


def test_the_louder_channel_does_not_decide() -> None:
    generator = torch.Generator().manual_seed(0)
    target = 0.1 * torch.randn(2, 2 * RATE, generator=generator)
    wrong = 0.1 * torch.randn(2 * RATE, generator=generator)

    def distance(quiet: float) -> float:
        mix = torch.stack([target[0], quiet * wrong])
        return independent_losses(mix, torch.stack([target[0], quiet * target[1]]), RATE)["stft"]

    both = independent_losses(torch.stack([wrong, wrong]), torch.stack([target[1], target[1]]), RATE)["stft"]
    assert distance(1.0) == pytest.approx(both / 2, rel=1e-6)  # left is exact
    # A quiet channel counts as much; auraloss's floor of 1e-8 under energies is far below it.
    assert distance(0.05) == pytest.approx(both / 2, rel=1e-4)


def test_where_a_curve_reaches_a_loss() -> None:
    points = [{"step": 50, "x": 2.0}, {"step": 100, "x": 1.0}, {"step": 150, "x": 1.5}]
    assert first_at(points, 3.0, "x") == 50
    assert first_at(points, 1.5, "x") == 75
    assert first_at(points, 1.0, "x") == 100
    assert first_at(points, 0.9, "x") is None
    diverged = [{"step": 50, "x": 2.0}, {"step": 100, "x": math.nan}]
    assert first_at(diverged, 1.5, "x") is None
    assert first_at([*diverged, {"step": 150, "x": 1.0}], 1.5, "x") == 150


def test_truth_of_the_demo_song() -> None:
    known = read_truth(DEMO)
    assert known is not None
    assert len(known) == len(set(known))
    assert {level for level, *_ in known} == {"track", "subgroup"}
    assert ("track", "minilogue_synth", "delay", "", 0) in known
    assert ("track", "pad_bass", "delay", "", 0) not in known
    song = load_song(DEMO, RATE)
    assert {name for level, name, *_ in known if level == "track"} <= set(song.tracks)
    assert {name for level, name, *_ in known if level == "subgroup"} <= set(song.subgroups)


def test_both_forms_of_truth_and_what_does_nothing(tmp_path) -> None:
    old = {
        "kick": [["HighpassFilter", {}], ["Gain", {"gain_db": 0.0}], ["Pan", {"pos": 0.0}]],
        "bus:a": [["Reverb", {}]],
    }
    (tmp_path / "truth.json").write_text(json.dumps(old))
    assert read_truth(tmp_path) == [("subgroup", "a", "reverb", "", 0), ("track", "kick", "equalizer", "", 0)]
    (tmp_path / "truth.json").write_text(json.dumps({"tracks": {"a.flac": [["chorus", {}]]}, "subgroups": {}}))
    with pytest.raises(ValueError, match=r"a: one of .*equalizer, .* is needed, got 'chorus'"):
        read_truth(tmp_path)
    (tmp_path / "truth.json").unlink()
    assert read_truth(tmp_path) is None


def test_agreement_of_processors() -> None:
    true = [("track", "a", "reverb", "", 0), ("track", "b", "reverb", "", 0), ("track", "a", "delay", "", 0)]
    left = [("track", "a", "reverb", "", 0), ("subgroup", "a", "reverb", "", 0)]
    by_type = agreement(true, left)
    assert (by_type["reverb"]["precision"], by_type["reverb"]["recall"]) == (0.5, 0.5)
    assert (by_type["delay"]["precision"], by_type["delay"]["recall"]) == (None, 0)
    assert by_type["all"]["f1"] == pytest.approx(2 / 5)


def test_further_types_count_as_what_truths_call_them() -> None:
    true = processors_of(build_console({"all": ["a"]}, "cnegr", ""))
    further = processors_of(build_console({"all": ["a"]}, "kqpgl", ""))
    assert agreement(true, of_kinds(further))["all"]["f1"] == 1
    assert agreement(in_places(true), in_places(further))["all"]["f1"] == 1
    assert agreement(true, further)["all"]["found"] == 5
    assert agreement(true, further)["all"]["matched"] == 1


@pytest.mark.parametrize(
    ("track_chain", "returns", "node_type", "dropped", "matched"),
    [
        ("b(c,c)", {}, "compressor", (0, 1), 0),
        ("", {"room": "r", "echo": "d"}, "send", (0, 1), 0),
        ("cnec", {}, "compressor", (None, 1), 1),
    ],
)
def test_outlets_buses_and_repeated_types_are_told_apart(track_chain, returns, node_type, dropped, matched) -> None:
    """As `compare_graphs` does it."""
    console = build_console({"all": ["a"]}, track_chain, "", returns=returns)
    of_type = [node for node in console.processors if console.types[node] == node_type]
    assert len(of_type) == 2

    def without(rank):
        gone = () if rank is None else (of_type[rank],)
        return prune(console, [node for node in console.processors if node not in gone])[0]

    graphs = without(dropped[0]), without(dropped[1])
    by_type = agreement(*map(processors_of, graphs))
    assert by_type["all"] == compare_graphs(*graphs).overall.to_dict()
    assert by_type[node_type]["matched"] == matched
    first, second = (in_places(processors_of(graph)) for graph in graphs)
    assert (first == second) == (node_type == "compressor")  # a truth.json does not know where in a chain


def test_true_processors_and_their_worth_are_read(tmp_path) -> None:
    """Of the demo, whose truth.json has them in order; in the bench's table, medians and what each equivalence adds."""
    known, read = read_settings(DEMO), true_processors(DEMO)
    assert known is not None
    assert read is not None
    assert [(one.place[0], one.place[1], one.type) for one in read] == [(k.level, k.name, k.type) for k in known]
    assert {one.worth for one in read} == {None}
    song = tmp_path / "song"
    song.mkdir()
    shutil.copy(DEMO / "truth.json", song)
    places = [(k.level, k.name) for k in known]
    entries = [
        {"level": k.level, "name": k.name, "position": places[:i].count(places[i]), "type": k.type, "loss_increase": i}
        for i, k in enumerate(known)
    ]
    (song / "importance.json").write_text(json.dumps(entries[::-1]))
    assert [one.worth for one in true_processors(song) or ()] == list(range(len(known)))
    (song / "importance.json").write_text(json.dumps(entries[1:]))
    with pytest.raises(ValueError, match=r"truth.json are needed, in their order: equalizer, got compressor"):
        true_processors(song)
    (song / "importance.json").write_text(json.dumps([*entries, entries[0] | {"name": "none"}]))
    with pytest.raises(ValueError, match=r"1 processors that truth.json does not have"):
        true_processors(song)


def test_a_row_tells_what_each_equivalence_adds() -> None:
    console = build_console({"a": ("x",)}, "eg", "eg")
    graph, _ = prune(console, [console.processors[0], console.processors[3]])
    true = [replace(one, worth=0.02 * i) for i, one in enumerate(placed_processors(console))]
    answers = [measured(0.5, 1, seed) | {"equal": equal_graphs(true, graph)} for seed in range(2)]
    summary = summarise({("s", "ours"): answers})["s", "ours"]
    assert (summary["equal_precision"], summary["equal_recall_0"], summary["equal_recall_0.03"]) == (1, 0.5, 1)
    # In their places the track's equalizer and the subgroup's gain; in one chain the two that are worth more.
    row = "| s | ours | 2 | 1.00 | 0.50 | 0.67 | 1.00 | 1.00 | +0.00, +0.00 | +0.00, +0.50 | +0.00, +0.00 | +0.00, "
    assert row in to_markdown({("s", "ours"): answers, ("t", "ours"): [measured(0.5, 1, 0)]}, [])


@pytest.mark.long
def test_kept_searches_and_result_folders_are_matched(tmp_path, capsys) -> None:
    places = [["track", "vox_lead", "gain_panning", "", 0], ["subgroup", "lead_vocals", "reverb", "", 0]]
    places += [["subgroup", "drums", "gain_panning", "", 0]]  # of one track, which has a gain
    key = {"song": "demo_potassium", "rules": [], "steps": "3 + 1 x 1", "seed": 0}
    record = {"key": key, "run": "", "answer": {"processors": places}}
    path = tmp_path / "searches.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in (record, record | {"key": key | {"song": "other"}})))
    folder = tmp_path / "result"
    folder.mkdir()
    save_graph(folder / "graph.json", build_console(load_song(DEMO, RATE).subgroups, "g", "g"), sample_rate=RATE)
    config = {"data": {"steps_per_stage": 2}, "pruning": {"console_stages": 3, "rounds": 1}}
    (folder / "config.yaml").write_text(json.dumps(config | {KEY: FROM_FILE}))
    words, table = [f"{DEMO}={path}", f"{DEMO}={folder}"], tmp_path / "table.json"
    equal_graphs_main([*words, "--out", str(tmp_path / "out"), "--table", str(table)])
    told = json.loads((tmp_path / "out" / "equal_graphs.json").read_text())
    searches = ["defaults, 3 + 1 x 1 steps, seed 0", "result, 6 + 1 x 2 steps"]
    assert [(one["song"], one["search"]) for one in told] == [("demo_potassium", search) for search in searches]
    kept, result = (one["matched"] for one in told)
    assert [kept[name]["right"] for name in ("as placed", "order", "single tracks")] == [2, 2, 3]
    assert kept["common gain"]["recall"]["0"] == pytest.approx(3 / 23)
    assert result["as placed"]["recovered"] == 8  # all gains of the truth
    assert "| demo_potassium | result, 6 + 1 x 2 steps | 1 | 0.80 | 0.35 | - | - | " in capsys.readouterr().out
    rows = read_table(table).rows
    assert [row[:2] for row in rows] == [("demo_potassium", search) for search in searches]
    assert rows[1][3:7] == ("0.80", "0.35", "-", "-")
    command = "demo_potassium=searches.jsonl demo_potassium=result"
    assert read_table(table).measured[0].command == f"python -m tools.bench.fidelity.equal_graphs {command}"
    record["answer"]["processors"] = [["track", "nobody", "delay", "", 0]]
    path.write_text(json.dumps(record))
    with pytest.raises(SystemExit):
        equal_graphs_main([f"{DEMO}={path}"])
    assert "the usual console is needed, which has no track nobody delay" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        equal_graphs_main([f"{tmp_path}={folder}"])
    assert "SONG=RESULT is needed, of a song whose mix truth.json tells of" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        equal_graphs_main([words[1], words[1]])
    assert "demo_potassium, result, 6 + 1 x 2 steps was given before" in capsys.readouterr().err


def test_level_errors_are_told_by_octave() -> None:
    errors = {"31": 4.0, "63": -1.0}, {"31": 2.0, "63": -3.0}
    answers = [measured(0.5, 1, seed) | {"octaves_db": octaves} for seed, octaves in enumerate(errors)]
    assert summarise({("s", "ours"): answers})["s", "ours"]["worst_octave_db"] == 3.5
    text = to_markdown({("s", "ours"): answers, ("earlier", "ours"): [measured(0.5, 1, 0)]}, [])
    assert "| song | rules | 31 | 63 |" in text
    assert "| s | ours | +3.0 | -2.0 |" in text


def measured(loss: float, left: int, seed: int):
    curve = [
        {
            "step": 10 * (i + 1),
            "seconds": float(i),
            "processors": 4,
            "loss_target": loss + 2 - i,
            "loss_prediction": loss + 2 - i,
        }
        for i in range(3)
    ]
    return {
        "curve": curve,
        "seconds": 10.0 * loss,
        "loss_target": loss,
        "loss_prediction": loss,
        "stft": loss,
        "loudness_lu": loss,
        "centroid_octaves": loss,
        "console": {"delay": 2, "reverb": 2},
        "found": {"reverb": left},
        "pruning_ratio": 1 - left / 4,
        "processors": [["track", "a", "reverb", "", 0], ["track", "b", "reverb", "", 0]][:left],
        "truth": None,
        "errors": [],
        "seed": seed,
    }


def test_table_is_medians_and_ratios() -> None:
    runs = {
        ("s", "ours"): [measured(0.5, 1, 0), measured(0.7, 2, 1), measured(0.6, 1, 2)],
        ("s", PEER): [measured(1.0, 2, 0), measured(1.25, 2, 1)],
    }
    summaries = summarise(runs)
    ours = summaries["s", "ours"]
    assert (ours["loss_target"], ours["pruning_ratio"], ours["f1"]) == (0.6, 0.75, None)
    assert ours["seed_agreement"] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert ours["steps_to_reference"] == pytest.approx(23.5)  # 0.6 + 2, + 1, + 0 at 10, 20, 30; 1.25 between them
    assert ours["seconds_to_reference"] == pytest.approx(1.35)
    assert summaries["s", PEER]["steps_to_reference"] == pytest.approx(28.75)  # 30, and 27.5 for the other
    assert summarise(runs, 1.6)["s", "ours"]["steps_to_stated"] == pytest.approx(20)
    ratios = against_peer(summaries)["ours"]
    assert ratios["loss_target"] == pytest.approx(0.6 / 1.125)
    assert ratios["pruning_ratio"] == pytest.approx(0.25)
    assert type_ratios(runs["s", "ours"]) == {"delay": 1.0, "reverb": 0.5}


def test_seeds_that_never_come_to_the_references_loss_count_as_late() -> None:
    peer = [measured(1.0, 2, 0)]
    reached, never = measured(0.5, 1, 0), measured(1.5, 1, 1)

    def steps(*answers):
        return summarise({("s", "ours"): list(answers), ("s", PEER): peer})["s", "ours"]["steps_to_reference"]

    assert steps(reached, reached, never) == steps(reached) is not None
    assert steps(reached, never, never) is None
    assert steps(reached, never) is None


def test_songs_that_never_come_to_the_references_loss_count_as_late() -> None:
    worse = {(song, "ours"): [measured(1.5 if song != "a" else 0.5, 1, 0)] for song in "abc"}
    peer = {(song, PEER): [measured(1.0, 2, 0)] for song in "abc"}
    two = {key: runs for key, runs in (worse | peer).items() if key[0] != "c"}
    assert against_peer(summarise(worse | peer))["ours"]["steps"] is None
    assert against_peer(summarise({k: v for k, v in two.items() if k[0] == "a"}))["ours"]["steps"] < 1


def test_a_reference_without_an_error_is_no_division_by_zero() -> None:
    silent = measured(1.0, 2, 0) | {"loudness_lu": 0.0, "centroid_octaves": 0.0}
    runs = {("s", "ours"): [measured(0.5, 1, 0) | {"centroid_octaves": 0.0}], ("s", PEER): [silent]}
    ratios = against_peer(summarise(runs))["ours"]
    assert (ratios["loudness_lu"], ratios["centroid_octaves"]) == (None, 1.0)


def test_what_is_known_of_a_mix_is_told_by_type_and_in_units() -> None:
    true = [("track", "a", "reverb", "", 0), ("track", "b", "reverb", "", 0), ("track", "a", "delay", "", 0)]
    error = {"node": "track a: delay", "type": "delay", "quantity": "tap delay", "unit": "ms", "error": 2.0}
    searches = []
    for seed, left in enumerate((1, 2)):
        answer = measured(0.5, left, seed)
        answer["truth"] = agreement(true, [tuple(place) for place in answer["processors"]])
        searches.append(answer | {"errors": [error, error | {"error": 4.0}]})
    runs = {("s", "ours"): searches, ("unknown", "ours"): [measured(0.5, 1, 0)]}
    known = type_agreements(runs)
    assert (known["ours", "reverb"].true, known["ours", "reverb"].found, known["ours", "reverb"].matched) == (4, 3, 3)
    assert known["ours", "delay"].recall == 0
    summary = summarise(runs)["s", "ours"]
    assert summary["precision"] == 1
    assert summary["recall"] == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert summary["f1"] == pytest.approx((2 / 4 + 4 / 5) / 2)
    text = to_markdown(runs, ["head"], 0.9)
    assert "| ours | reverb | 4 | 3 | 3 | 1.00 | 0.75 | 0.86 |" in text
    assert "| ours | delay | tap delay | ms | 4 | 3 |" in text
    assert "| s | ours | 1.00 | 0.25 |" in text  # of two delays none is left, of two reverbs 1 and 2
    assert "steps to the stated loss" in text


@pytest.mark.parametrize("dynamics", ["compressor noisegate", "attack_release_compressor attack_release_gate"])
def test_settings_are_compared_with_those_of_pedalboard(dynamics) -> None:
    """Exactly the demo's settings, at four times the level, have no error; others have theirs."""
    dynamics = dynamics.split()
    letters = "e" + "".join(processor_type(t).letter for t in dynamics) + "sgdr"
    known = read_settings(DEMO)
    assert known is not None
    song, processors = load_song(DEMO, RATE, loudness_lufs=None), make_processors(RATE)
    settings_at = {(entry.level, entry.name, entry.type): entry.settings for entry in known}
    console = build_console(song.subgroups, letters, letters)
    places = {
        node: (console.level(node), console.names[node], kind(console.types[node])) for node in console.processors
    }
    graph, _ = prune(console, [node for node, place in places.items() if place in settings_at])
    values = {t: processors[t].sample_initial_values(n, spread=0.0) for t, n in graph.count().items()}
    weights = torch.full((len(graph.processors),), 0.25)

    def put(node: int, name: str, unit: float) -> None:
        node_type, row = graph.types[node], graph.rows[node]
        values[node_type][name][row] = processors[node_type].specification[name].from_unit(torch.tensor([unit]))

    for node in graph.processors:
        settings = settings_at[graph.level(node), graph.names[node], kind(graph.types[node])]
        if graph.types[node] in dynamics:
            put(node, "log_threshold", settings["threshold_db"] + 20 * math.log10(4))
            put(node, "log_ratio", settings["ratio"])
            if "attack_logit" in values[graph.types[node]]:
                put(node, "attack_logit", settings["attack_ms"])
                put(node, "release_logit", settings["release_ms"])
        elif graph.types[node] == "delay":
            delay = processors["delay"].specification
            ms = torch.arange(20.0).repeat(2) * 100 + 50
            ms[[5, 25]] = 500.0 + 1000 / RATE
            z = delay["delay_z"].from_unit(torch.stack((ms, torch.full((40,), 0.9)), dim=-1))
            values["delay"]["delay_z"][graph.rows[node]] = z
            values["delay"]["log_fir_magnitude"][graph.rows[node], [5, 25]] = 5.0
            weights[graph.processors.index(node)] = settings["mix"]
    errors = settings_errors(known, GraphValues(graph, values, weights), processors, 4.0)
    quantities = {(e["type"], e["quantity"], e["unit"]) for e in errors}
    compared_of = [("threshold", "dB"), ("ratio", ":1")]
    compared_of += [("attack", "ms"), ("release", "ms")] if "attack" in dynamics[0] else []
    assert quantities == {(t, *q) for t in dynamics for q in compared_of} | {
        ("delay", "tap delay", "ms"),
        ("delay", "tap level", "dB"),
    }
    compared = [entry for entry in known if entry.type in ("compressor", "noisegate", "delay")]
    assert len({e["node"] for e in errors}) == len(compared)
    for entry in errors:
        assert entry["error"] == abs(entry["found"] - entry["true"])
        if entry["quantity"] == "threshold":
            assert entry["error"] < 0.5  # the detector's floor lifts a gate's threshold near it
        elif entry["quantity"] == "ratio":
            assert entry["error"] < 1e-4
        elif entry["quantity"] in ("attack", "release"):
            assert entry["error"] < 1e-3 * entry["true"]
        elif entry["quantity"] == "tap delay":
            assert entry["error"] == pytest.approx(1000 / RATE, rel=1e-3)
        else:
            assert entry["error"] < 0.1  # nearly all of the energy is in the two taps
    louder = settings_errors(known, GraphValues(graph, values, weights), processors, 8.0)
    thresholds = [[e["found"] for e in some if e["quantity"] == "threshold"] for some in (errors, louder)]
    assert thresholds[0] == pytest.approx([level + 20 * math.log10(2) for level in thresholds[1]])


def test_a_rendering_that_is_the_dry_sum_is_scored_as_that() -> None:
    song = load_song(DEMO, RATE, loudness_lufs=None)
    mix, target = clip_mix(song, lambda sources, first: sources.sum(dim=0))
    assert torch.equal(target, song.mix[:, RATE:])
    assert torch.allclose(mix, song.sources.sum(dim=0)[:, RATE:])


@pytest.mark.long
def test_synthetic_songs_are_written_as_they_are(tmp_path) -> None:
    written = measured_song("synthetic:3:1", tmp_path, SHORT)
    song = load_song(written.folder, RATE, loudness_lufs=None)
    assert written.truth is not None
    assert song.tracks == tuple(written.truth.graph.names[i] for i in written.truth.graph.inputs)
    assert processors_of(written.truth.graph)
    again = measured_song("synthetic:3:1", tmp_path / "again", SHORT)
    assert torch.equal(song.sources, load_song(again.folder, RATE, loudness_lufs=None).sources)
    with pytest.raises(FileNotFoundError, match="synthetic:TRACKS:SEED, is needed"):
        measured_song("nowhere", tmp_path)


@pytest.mark.long
def test_whole_run_is_kept_and_told(tiny_song, tmp_path, capsys) -> None:
    out = tmp_path / "report"
    arguments = [str(tiny_song), "--seeds", "0", "1", "--steps", "2", "1", "1", "--out", str(out)]
    short = "--model.track_chain=eg,--model.subgroup_chain=g"
    main([*arguments, "--config", f"short={short}", "--config", f"strict={short},--pruning.tolerance=0"])
    text = capsys.readouterr().out
    assert (out / "fidelity.md").read_text() == text
    for picture in ("curves.png", "ends.png"):
        assert (out / picture).read_bytes().startswith(b"\x89PNG")
    rows = json.loads((out / "fidelity.json").read_text())["summaries"]
    assert [row["rules"] for row in rows] == ["short", "strict"]
    assert all(0 < row["loss_target"] < 10 for row in rows)
    assert [row["level_db"] for row in rows] == [None, None]  # the song has no truth.json
    assert "against the truth" not in text
    lines = (out / "searches.jsonl").read_text().splitlines()
    assert [point["step"] for point in json.loads(lines[0])["answer"]["curve"]] == [1, 2, 3]
    main([*arguments, "--keep", "--config", f"short={short}"])
    assert capsys.readouterr().err.count(", kept") == 2
    assert (out / "searches.jsonl").read_text().splitlines() == lines


@pytest.mark.long
def test_losses_of_a_console_are_told_after_given_steps(tiny_song, tmp_path, capsys) -> None:
    """Without pruning; the first is that of the console before any step, the last that of a stage's end."""
    short = "short=--model.track_chain=g,--model.subgroup_chain="
    steps = ["--steps", "2", "0", "2", "--measure-at", "0", "1", "2"]
    main([str(tiny_song), "--seeds", "0", "--config", short, *steps, "--out", str(tmp_path)])
    (line,) = (tmp_path / "searches.jsonl").read_text().splitlines()
    points, text = json.loads(line)["answer"]["curve"], capsys.readouterr().out
    assert [point["step"] for point in points] == [0, 1, 2]
    for point in points:
        terms = point["published_terms"]
        assert terms["full"] == point["published_prediction"]
        assert terms["full"] == pytest.approx((2 * terms["lr"] + terms["mid"] + terms["side"]) / 4)
        assert f"| tiny | short | {point['step']} | {terms['full']:.6g} |" in text
    assert len({point["published_prediction"] for point in points}) == 3


def test_a_file_of_another_sample_rate_is_refused(tiny_song, tmp_path) -> None:
    (tmp_path / "slow.yaml").write_text("data: {sample_rate: 16000}")
    with pytest.raises(ValueError, match="sample_rate: songs are measured at 30000 Hz only, got 16000"):
        main([str(tiny_song), "--config", f"slow={tmp_path / 'slow.yaml'}", "--steps", "1", "1", "1", "--seeds", "0"])


@pytest.mark.long
def test_a_kept_search_is_of_the_same_files(tiny_song, tmp_path, capsys) -> None:
    song, out = tmp_path / "x" / "song", tmp_path / "report"
    shutil.copytree(tiny_song, song)
    arguments = ["--seeds", "0", "--steps", "1", "1", "1", "--out", str(out), "--keep"]
    short = ["--config", "short=--model.track_chain=g,--model.subgroup_chain=g"]
    main([str(song), *arguments, *short])
    main([str(song), *arguments, *short])
    assert capsys.readouterr().err.count(", kept") == 1
    shutil.copy(song / "tracks" / "kick.wav", song / "tracks" / "hat.wav")
    main([str(song), *arguments, *short])
    assert ", kept" not in capsys.readouterr().err
    synthetic = ["synthetic:3:1", "--synthetic-seconds", "4", "--recovery", *arguments, *short]
    for _ in range(2):  # made anew each time, with the time of writing in its files
        main(synthetic)
        time.sleep(1.1)
    printed = capsys.readouterr()
    assert printed.err.count(", kept") == 1
    answer = json.loads((out / "searches.jsonl").read_text().splitlines()[-1])["answer"]
    truth = measured_song("synthetic:3:1", tmp_path / "truth", SHORT).truth
    assert truth is not None
    known, left = processors_of(truth.graph), [tuple(place) for place in answer["processors"]]
    assert answer["truth"]["all"] == agreement(known, left)["all"]
    assert answer["truth"]["all"]["true"] == len(known) > 0
    assert {error["type"] for error in answer["errors"]} == {"gain_panning"}  # of the short console
    recovery = answer["recovery"]
    assert recovery["losses"]["truth"] < 0.1 < min(recovery["losses"]["found"], recovery["losses"]["dry_sum"])
    assert len(recovery["missed"]) == len(known) - answer["truth"]["all"]["matched"]
    assert min(recovery["missed"].values()) >= 2 * SHORT.tolerance
    assert printed.out.count("missed in 1 of 1 searches: ") == 2 * len(recovery["missed"])
    shutil.copytree(tiny_song, tmp_path / "y" / "song")
    with pytest.raises(ValueError, match="two are named song"):
        main([str(song), str(tmp_path / "y" / "song"), *arguments, *short])


@pytest.mark.skipif(importlib.util.find_spec("grafx") is None, reason="the peer is an optional extra")
@pytest.mark.filterwarnings("ignore")  # on import, grafx 0.6.0 compares torchaudio's version as text
def test_the_peer_is_measured_alike(tmp_path, capsys) -> None:
    main([str(DEMO), "--reference", "--seeds", "0", "--steps", "1", "1", "1", "--out", str(tmp_path)])
    assert "| demo_potassium | reference |" in capsys.readouterr().out
    rows = json.loads((tmp_path / "fidelity.json").read_text())
    assert set(rows["against_reference"]) == {"ours"}
    assert all(row["f1"] is not None for row in rows["summaries"])
    # Nearly untrained: the far pans of the song (0.36 to 0.75 away from the centre, of half its tracks) are not found.
    assert all(0.05 < row["pan"] < 0.8 for row in rows["summaries"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["s", "--steps", "3", "1", "2"], "CONSOLE a multiple of STEPS"),
        (["s", "--config", "a"], "NAME=PARTS"),
        (["s", "--config", "a=", "--config", "a="], "each name once"),
        (["s", "--config", "reference="], "not reference"),
        (["s", "--keep"], "nothing to take without --out"),
        (["s", "--recovery"], "no song is synthetic:TRACKS:SEED"),
        (["s", "--config", "a=--start=x,--budget=1m"], "--start=x, --budget=1m: searches are measured without"),
        (["s", "--config", "a=--config=x.yaml"], "--config=x.yaml: searches are measured without"),
        (["s", "--config", "a=--seed_everything=5"], "--seed_everything=5: searches are measured without"),
        (["s", "--config", "a=--data.sample_rate=16000"], "--data.sample_rate=16000: searches are measured without"),
        (["synthetic:3:1", "--config", "a=--data.loudness_lufs=null"], "at their own level"),
        (["s", "--config", "a=--pruning.rounds=x"], "whole numbers are needed"),
        (["s", "--config", "a=--pruning.rounds=5"], "550 steps; a configuration may part the 500 steps"),
    ],
)
def test_wrong_options_are_refused(arguments, message, capsys) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert message in capsys.readouterr().err


def test_songs_too_short_to_measure_are_refused_before_the_search(tiny_song, tmp_path) -> None:
    song = shutil.copytree(tiny_song, tmp_path / "short")
    for path in song.rglob("*.wav"):
        audio, rate = soundfile.read(path)
        soundfile.write(path, audio[: round(1.3 * rate)], rate, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"short: at least 1.4 s are needed to be measured, got 1.30 s"):
        main([str(song), "--steps", "2", "1", "1", "--seeds", "0"])


def test_configurations_may_part_the_steps_and_have_brackets() -> None:
    split = (
        "a=x.yaml, --data.steps_per_stage=25,--pruning.console_stages=12,--pruning.rounds=8,--model.track_chain=et(c,g)"
    )
    (arguments,) = parse(["song", "--config", split]).configurations.values()
    assert arguments[:2] == ["--config", "x.yaml"]
    assert arguments[2:] == [
        "--data.steps_per_stage=25",
        "--pruning.console_stages=12",
        "--pruning.rounds=8",
        "--model.track_chain=et(c,g)",
    ]


@pytest.mark.long
def test_an_estimator_is_not_judged_by_songs_that_it_was_trained_on(tiny_song, tmp_path) -> None:
    song = shutil.copytree(tiny_song, tmp_path / "ev3_francium")
    configurations = ["--config", "ours=", "--config", "estimated=--model.initial_values=estimated"]
    with pytest.raises(ValueError, match=r"--config estimated: the estimator was trained on .* ev3_francium, wh"):
        main([str(tiny_song), str(song), *configurations])
