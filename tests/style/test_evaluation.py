"""Judging of mixes: an engineer's own graph is perfect, baselines are what they say, and the listening test is fair."""

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch
import yaml

from mixgraph.cli.evaluate_automix import main
from mixgraph.estimators import EstimatorModule
from mixgraph.estimators.settings import EstimatorTask, NetworkSettings
from mixgraph.estimators.weights import save_weights
from mixgraph.graph import build_console
from mixgraph.graph.values import GraphValues
from mixgraph.processors import make_processors
from mixgraph.results.found_graph import FoundGraph
from mixgraph.songs import load_song
from mixgraph.songs.loudness import integrated_loudness
from mixgraph.style.baseline_graphs import (
    EngineersMix,
    as_they_are,
    dry_loudness,
    equal_loudness,
    graph_of,
    mean_levels,
)
from mixgraph.style.evaluation import JudgedSong, evaluate, mixed_by_result, mixes_by_song
from mixgraph.style.judging import Judge, MixedSong
from mixgraph.style.listening_test import (
    ListeningPage,
    at_one_loudness,
    check_listening_test,
    low_passed,
    write_listening_test,
)
from tools.bench.automix import main as judge_network

RATE = 8000
GAINS = {"kick": (0.5, 0.5), "hat": (0.2, 0.4), "lead": (0.5, 0.1)}


def engineers_result(folder: Path, song_folder: Path) -> Path:
    """A result folder whose graph makes the song's mix of its tracks, at another level."""
    song = load_song(song_folder, sample_rate=RATE, cache_dir=None)
    graph = build_console(song.subgroups, "g", "", song.name)
    gains = torch.tensor([GAINS[graph.names[node]] for node in graph.processors])
    found = FoundGraph(
        graph=graph,
        processors=make_processors(RATE),
        parameters={"gain_panning": {"log_gain": gains.log()}},
        weights=torch.full((len(graph.processors),), 1 - 1e-6),
        sample_rate=RATE,
        level=2.0,
        num_samples=song.num_samples,
        placements={},
    )
    found.save(folder / song.name)
    return folder / song.name


def turned_round(mixed: MixedSong) -> MixedSong:
    """The same mix by a graph of gains whose inputs are in the opposite order."""
    order = tuple(reversed(range(len(mixed.song.tracks))))
    group = {"all": [mixed.song.tracks[row] for row in order]}
    gains = {"gain_panning": {"log_gain": mixed.values.parameters["gain_panning"]["log_gain"].flip(0)}}
    graph = build_console(group, "g", "", mixed.song.name)
    values = GraphValues(graph, gains, mixed.values.weights.flip(0))
    return MixedSong(mixed.song, values, mixed.processors, mixed.gain, order)


@pytest.fixture(scope="module")
def results(tiny_song: Path, duo_song: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for song in (tiny_song, duo_song):
        engineers_result(folder, song)
    return folder


def test_an_engineers_graph_is_perfect_and_baselines_are_what_they_say(
    tiny_song: Path, duo_song: Path, results: Path
) -> None:
    songs = [load_song(path, sample_rate=RATE, cache_dir=None) for path in (tiny_song, duo_song)]
    tiny, duo = (EngineersMix.of(mixed_by_result(song, results / song.name)) for song in songs)
    judge = Judge(songs[0], tiny.tracks)
    perfect = judge(tiny.mixed)
    assert (perfect.level_db, perfect.panning_db, perfect.processors) == (0, 0, 3)
    assert perfect.match_loss == pytest.approx(0, abs=0.01)
    assert perfect.distance_db == pytest.approx(0, abs=0.01)
    assert tiny.tracks.balances[2] == pytest.approx(20 * math.log10(5), abs=0.01)

    processors = make_processors(RATE)
    dry = dry_loudness(songs[0])
    plain = as_they_are(songs[0], processors).tracks().levels
    assert [level - plain[0] for level in plain] == pytest.approx([level - dry[0] for level in dry], abs=1e-3)
    equal = equal_loudness(songs[0], processors, dry_loudness(songs[0])).tracks()
    assert max(equal.levels) - min(equal.levels) < 0.01
    assert judge(equal_loudness(songs[0], processors, dry_loudness(songs[0]))).level_db > 1
    # From a song of the lead and the hat, with the same gains: these two have its balances and levels.
    mean = mean_levels(songs[0], processors, [duo]).tracks()
    assert mean.levels[2] - mean.levels[1] == pytest.approx(duo.tracks.levels[0] - duo.tracks.levels[1], abs=0.1)
    assert mean.balances[1:] == pytest.approx(tiny.tracks.balances[1:], abs=0.01)
    # No track of the other song is a bass: the mean over all of its tracks stands for it.
    other = replace(songs[0], subgroups={"drums": ("kick", "hat"), "bass": ("bass",)})
    mean = mean_levels(other, processors, [duo]).tracks()
    assert mean.balances[2] == pytest.approx(sum(duo.tracks.balances) / 2, abs=0.01)
    wanted = (duo.tracks.levels[0] - duo.tracks.levels[1]) / 2
    assert mean.levels[2] - mean.levels[1] == pytest.approx(wanted, abs=0.1)
    donated = graph_of(songs[1], tiny)  # the drums of the other song are a kick and a hat
    assert len(donated.values.graph.processors) == 4
    assert donated.tracks().balances[0] == pytest.approx(tiny.tracks.balances[2], abs=0.1)
    # A graph whose inputs stand in another order than the song's tracks gives the same.
    turned = EngineersMix.of(turned_round(tiny.mixed))
    assert turned.tracks.levels == pytest.approx(tiny.tracks.levels, abs=1e-3)
    again = graph_of(songs[1], turned)
    assert again.tracks().balances == pytest.approx(donated.tracks().balances, abs=1e-3)


@pytest.mark.long
def test_a_command_judges_answers_and_writes_a_listening_test(
    tiny_song: Path, duo_song: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"{song}={results / song.name}" for song in (tiny_song, duo_song)]
    shared = ["--out", str(tmp_path / "out"), "--sample-rate", str(RATE), "--cache", str(tmp_path / "cache")]
    shutil.copytree(results / "tiny", tmp_path / "one" / "tiny")
    answers = ["--answers", f"found again={results}", f"tiny alone={tmp_path / 'one'}"]
    answers += ["--listening-test", str(tmp_path / "test")]
    assert main([*words, *shared, *answers, "--excerpt-seconds", "1.5"]) == 0
    printed = capsys.readouterr().out
    assert "| found again | 2 | 0 | 0 |" in printed
    assert "| tiny alone | 1 | 0 | 0 |" in printed
    assert f"tiny alone: is not judged on duo: {tmp_path / 'one'} has no such folder." in printed
    assert {path.name for path in tmp_path.iterdir()} == {"out", "one", "test"}
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    middle = record["medians"]["real songs"]
    assert list(middle) == [
        "tracks as they are",
        "sum at equal loudness",
        "mean levels and panning",
        "graph of the nearest song",
        "found again",
        "tiny alone",
        "the engineer's graph",
    ]
    assert record["counts"]["real songs"]["tiny alone"] == 1
    assert middle["found again"] == middle["the engineer's graph"]
    assert len((tmp_path / "out" / "evaluation.csv").read_text().splitlines()) == 14
    assert (tmp_path / "out" / "evaluation.png").read_bytes()[:4] == b"\x89PNG"

    configuration = yaml.safe_load((tmp_path / "test" / "automix.yaml").read_text())
    order, *pages = configuration["pages"][1]
    assert (order, [page["type"] for page in pages]) == ("random", ["mushra"] * 2)
    for page, mixes in zip(pages, (7, 6), strict=True):
        files = [page["reference"], *page["stimuli"].values()]
        assert len(files) == 1 + mixes + 2
        assert [Path(file).stem for file in files[-2:]] == ["anchor_3.5_kHz", "anchor_7_kHz"]
        # webMUSHRA puts them into addresses and attributes as they are.
        assert all(re.fullmatch(r"[\w./-]+", word) for word in (*files, *page["stimuli"], page["id"]))
        audio = [soundfile.read(str(tmp_path / "test" / Path(*Path(file).parts[2:]))) for file in files]
        loudness = [integrated_loudness(torch.from_numpy(samples.T).float(), rate) for samples, rate in audio]
        assert max(loudness) - min(loudness) < 0.1
        assert {len(samples) for samples, _ in audio} == {round(1.5 * 48000)}

    assert {"popupContent", "showResults", "writeResults"} < set(configuration["pages"][2])

    with pytest.raises(FileExistsError, match="exists and is kept"):
        main([*words, *shared])
    with pytest.raises(ValueError, match="a graph of the tracks of duo is needed"):
        main([f"{duo_song}={results / 'tiny'}", *shared, "--overwrite"])
    with pytest.raises(FileNotFoundError, match="has none of the folders"):
        main([*words, *shared, "--overwrite", "--answers", f"none={tmp_path}"])


@pytest.mark.long
def test_the_network_is_judged_on_songs_that_it_was_not_trained_on(
    tiny_song: Path, duo_song: Path, results: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    task, size = EstimatorTask(RATE, 1.0, "esgc", "cgr"), NetworkSettings(width=16, num_layers=1, questions=True)
    save_weights(EstimatorModule(task, size), tmp_path / "network.safetensors", {"songs": ["duo"]})
    words = [f"{song}={results / song.name}" for song in (tiny_song, duo_song)]
    words += ["--checkpoint", str(tmp_path / "network.safetensors"), "--cache", str(tmp_path / "cache")]
    words += ["--closely", "2", "--refine-steps", "1", "--out", str(tmp_path / "out")]
    assert judge_network(words) == 0
    judged, moved, told = (
        json.loads((tmp_path / "out" / f"automix_{name}.json").read_text())["rows"]
        for name in ("judged", "transfers", "proposals")
    )
    assert {row[2] for row in judged} == {"1"}
    assert [row[1] for row in judged][-2:] == ["the network", "the engineer's graph"]
    assert judged[-1][3] == "0"
    assert [row[0] for row in moved] == ["`tiny` like `duo`"]
    assert [row[0] for row in told] == ["`tiny`"] * 4
    assert [row[2] == "0.00" for row in told] == [True, False, False, False]


def test_a_proposed_mix_does_not_stand_for_the_engineer(tiny_song: Path, results: Path, tmp_path: Path) -> None:
    proposed = Path(shutil.copytree(results / tiny_song.name, tmp_path / "proposed"))
    (proposed / "automix.json").write_text("{}")
    with pytest.raises(ValueError, match="the result of a search for the engineer's mix is needed, got a proposed mix"):
        main([f"{tiny_song}={proposed}", "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")])


def test_what_cannot_be_judged_is_named_before_anything_is(tiny_song: Path, results: Path, tmp_path: Path) -> None:
    song = load_song(tiny_song, sample_rate=RATE, cache_dir=None)
    engineer = mixed_by_result(song, results / song.name)
    songs = [JudgedSong(song, "real songs", engineer)]
    answers = {"mute": {"tiny": replace(engineer, gain=0.0)}}
    with pytest.raises(ValueError, match="mute: tiny: a mix that sounds is needed, got a silent one"):
        next(evaluate(songs, answers))
    assert mixes_by_song(songs, answers) == {"tiny": 4}
    songs += [replace(songs[0], song=replace(song, name=name)) for name in "bc"]
    assert mixes_by_song(songs[:2], {}) == {"tiny": 5, "b": 5}  # a random one of the others would be the nearest
    assert mixes_by_song(songs, {}) == {"tiny": 6, "b": 6, "c": 6}
    # The reference, two anchors and nine mixes are twelve conditions.
    check_listening_test(tmp_path / "test", {"tiny": 9}, 10.0)
    with pytest.raises(ValueError, match="tiny: at most 9 mixes beside the reference and the anchors, got 10"):
        check_listening_test(tmp_path / "test", {"tiny": 10}, 10.0)
    page = ListeningPage("tiny", RATE, song.mix, {"sum": song.mix, "mute": 0 * song.mix})
    with pytest.raises(ValueError, match="tiny: an excerpt that sounds is needed, got a silent one of mute"):
        write_listening_test(tmp_path / "test", [page], 1.0)
    assert list(tmp_path.iterdir()) == []  # not half of it
    (tmp_path / "test").mkdir()
    assert write_listening_test(tmp_path / "test", [replace(page, mixes={"sum": song.mix})], 1.0) == 4
    with pytest.raises(FileExistsError, match="holds files that are kept"):
        write_listening_test(tmp_path / "test", [page], 1.0)


def test_the_anchor_has_nothing_above_and_everything_below() -> None:
    time = torch.arange(48000) / 48000
    low, high = (0.3 * torch.sin(2 * math.pi * hertz * time).expand(2, -1) for hertz in (1000, 5000))
    inside = slice(2000, -2000)
    passed = low_passed(low + high, 48000, 3500)[:, inside]
    assert float((passed - low[:, inside]).abs().max()) < 1e-3
    with pytest.raises(ValueError, match="got a silent one"):
        at_one_loudness([low, 0 * low], 48000)
