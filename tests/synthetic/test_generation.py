"""Synthetic samples: reproducible, honest about their splits, audible, canonical."""

import json
from dataclasses import replace

import pytest
import torch

from mixgraph.estimators.examples import console_of
from mixgraph.graph.io import save_graph, save_parameters
from mixgraph.graph.types import MIX
from mixgraph.losses import SongTarget, make_match_loss
from mixgraph.processors import make_processors
from mixgraph.pruning import SongEvaluator, leave_one_out
from mixgraph.render import render_song
from mixgraph.shards import read_shards, validate_shards
from mixgraph.synthetic import SPLITS, GenerationSettings, MixingSettings, generate, learn_prior, load_corpus
from mixgraph.synthetic.engineer import LIKENESS, Engineer, HabitualSettings
from tools.generate_synthetic import main, pack


@pytest.mark.long
def test_samples_do_not_depend_on_the_number_of_processes(plan, generated) -> None:
    again = list(generate(plan, {"train": 2, "test": 1}, num_workers=2))
    expected = [*generated[:2], generated[-2]]
    assert [s.key for s in again] == [s.key for s in expected]
    for ours, theirs in zip(again, expected, strict=True):
        assert pack(ours, plan.settings) == pack(theirs, plan.settings)


def test_another_seed_gives_other_samples(plan, generated) -> None:
    other = next(generate(replace(plan, settings=replace(plan.settings, seed=1)), {"train": 1}))
    assert other.key == generated[0].key
    assert other.mix.shape == generated[0].mix.shape
    assert not torch.equal(other.mix, generated[0].mix)


def test_engineers_choices_are_spread_as_all_choices_are_and_alike_from_song_to_song() -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = torch.tensor(
        [
            [HabitualSettings(generator, Engineer(str(number)), "reverb").uniform(-1, 3) for _ in range(2)]
            for number in range(4000)
        ]
    )
    assert float(pairs.mean()) == pytest.approx(1.0, abs=0.06)  # 4 standard errors
    assert float(pairs.std()) == pytest.approx(4 / 12**0.5, abs=0.04)
    normal = torch.special.ndtri(((pairs + 1) / 4).double())
    assert float(torch.corrcoef(normal.T)[0, 1]) == pytest.approx(LIKENESS, abs=0.03)
    draw = HabitualSettings(generator, Engineer("0"), "reverb")
    apart = torch.tensor([draw.uniform(0, 1) for _ in range(2000)])  # each number of a type has a habit of its own
    assert abs(float(torch.corrcoef(torch.stack((apart[1:], apart[:-1])))[0, 1])) < 0.1


def test_songs_of_one_engineer_name_him_and_others_do_not_share_him(plan) -> None:
    settings = replace(plan.settings, least_increase=None, mixing=MixingSettings(songs_per_engineer=2))
    samples = list(generate(replace(plan, settings=settings), {"train": 4}))
    assert [sample.meta["engineer"] for sample in samples] == ["0_train_0", "0_train_0", "0_train_1", "0_train_1"]


def test_no_track_is_in_two_splits_and_each_sample_uses_its_own(plan, generated) -> None:
    used = {split: set() for split in SPLITS}
    for sample in generated:
        used[sample.split] |= {(s["song"], s["track"]) for s in sample.meta["sources"]}
    assert all(used.values())
    assert not used["train"] & used["test"]
    assert not used["train"] & used["validation"]
    assert not used["validation"] & used["test"]


def test_held_out_songs_are_in_the_test_split_whole(plan) -> None:
    corpus = load_corpus(plan.songs, plan.settings.sample_rate, plan.cache_dir, ["song2"])
    assert {t.split for t in corpus.tracks if t.song == "song2"} == {"test"}
    assert {t.split for t in corpus.tracks if t.song != "song2"} == set(SPLITS)
    with pytest.raises(ValueError, match=r"test_songs: some of song0, song1, song2, song3 expected, got other"):
        load_corpus(plan.songs, plan.settings.sample_rate, plan.cache_dir, ["other"])


def test_the_graph_makes_the_mix_and_every_removal_is_audible(plan, generated) -> None:
    processors, match = make_processors(plan.settings.sample_rate), make_match_loss(plan.settings.sample_rate)
    for sample in generated[:3]:
        values = sample.values
        mix = render_song(values.graph, processors, sample.sources, values.parameters, values.weights)[0]
        assert torch.equal(mix, sample.mix)
        target = SongTarget(match, sample.mix)
        evaluator = SongEvaluator(values.graph, processors, values.parameters, values.weights, sample.sources, target)
        # The second measurement is the last; removals after it move the others' increases, which halves none of them.
        least = min(leave_one_out(evaluator, len(values.graph.processors)))
        assert least > plan.settings.least_increase / 2
        assert (sample.loss_increases >= plan.settings.least_increase).all()


def test_graphs_are_the_smallest_of_those_that_sound_the_same(generated) -> None:
    for sample in generated:
        graph = sample.values.graph
        members = {g: [graph.names[i] for i, group in zip(graph.inputs, graph.subgroups, strict=True) if group == g]
                   for g in graph.subgroups}  # fmt: skip
        on_tracks = {(graph.names[n], graph.types[n]) for n in graph.processors if graph.level(n) == "track"}
        for node in graph.processors:
            if graph.level(node) == "subgroup":
                tracks = members[graph.names[node]]
                lacking = [t for t in tracks if (t, graph.types[node]) not in on_tracks]
                memoryless = graph.types[node] in ("equalizer", "gain_panning", "stereo_imager")
                assert len(lacking) >= (2 if memoryless and len(tracks) > 1 else 1)


def test_the_command_writes_shards_that_read_back(plan, tmp_path, capsys) -> None:
    paths = [str(p) for p in plan.songs]
    counts = ["--train=1", "--validation=1", "--test=1", "--seconds=1", "--max-tracks=2", "--least-increase=-1"]
    common = [*paths, *counts, "--sample-rate=8000", f"--cache-dir={plan.cache_dir}"]
    for name in ("a", "b"):
        main([*common, f"--out={tmp_path / name}"])
    capsys.readouterr()
    assert (tmp_path / "a" / "SHA256SUMS").read_bytes() == (tmp_path / "b" / "SHA256SUMS").read_bytes()
    assert validate_shards(tmp_path / "a").problems == []
    records = [json.loads((tmp_path / name / "croissant.json").read_text()) for name in ("a", "b")]
    assert records[0] == records[1] | {"name": "a"}
    assert "the graphs are the truth" in (tmp_path / "a" / "README.md").read_text()
    samples = list(read_shards(tmp_path / "a"))
    assert sorted(s.key for s in samples) == ["test_000000", "train_000000", "validation_000000"]
    for sample in samples:
        mix = sample.render(sample.audio.tracks(0, sample.num_samples))
        # 24 bits for each track and the mix; gains of a graph are below 20.
        assert (mix - sample.audio.mix(0, sample.num_samples)).abs().max() < 20 * len(sample.graph.inputs) * 2.0**-23


def test_rates_and_settings_are_learnt_from_found_graphs(generated, plan, tmp_path) -> None:
    folders = []
    for i, sample in enumerate(generated[:3]):
        folder = tmp_path / str(i)
        folder.mkdir()
        save_graph(folder / "graph.json", sample.values.graph, sample.values.weights, sample_rate=8000)
        save_parameters(folder / "parameters.safetensors", sample.values.parameters, sample.values.weights)
        folders.append(folder)
    prior = learn_prior(folders, 8000, "esgd", "cgr", rule_share=0.0, jitter=0.0)
    consoles = [console_of(s.values.graph, "esgd", "cgr").graph for s in generated[:3]]
    slots = sum(len([n for n in c.nodes_of("gain_panning") if c.level(n) == "track"]) for c in consoles)
    graphs = [s.values.graph for s in generated[:3]]
    kept = sum(len([n for n in g.nodes_of("gain_panning") if g.level(n) == "track"]) for g in graphs)
    assert prior.rates["track"]["gain_panning"] == pytest.approx((kept + 1) / (slots + 2))
    assert sum(len(nodes) for nodes in prior.nodes.values()) == sum(len(g.processors) for g in graphs)
    # Without jitter and rules, a drawn setting is one of those found, but for left and right.
    processor = make_processors(8000)["gain_panning"]
    signal = torch.randn(2, 8000)
    values, weight = prior.draw(processor, signal, torch.Generator().manual_seed(3))
    learnt = [(n.parameters["log_gain"].sort().values.tolist(), n.weight) for n in prior.nodes["gain_panning"]]
    assert (values["log_gain"].sort().values.tolist(), pytest.approx(weight)) in learnt
    with pytest.raises(ValueError, match="was found at 8000 Hz"):
        learn_prior(folders, 16000)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match=r"tracks: 1 <= least <= most expected, got 3 and 2; seconds: at least 1"):
        GenerationSettings(min_tracks=3, max_tracks=2, seconds=0.5)


def test_mixes_have_subgroups_of_the_songs(generated) -> None:
    for sample in generated:
        graph = sample.values.graph
        assert {graph.names[i] for i in graph.nodes_of(MIX)} <= {"drums", "lead"}
