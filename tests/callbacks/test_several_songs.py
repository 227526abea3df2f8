"""Several songs in one search: each of them ends as it does alone."""

import csv
import json

import lightning as L
import pytest
import torch

from callbacks import IterativePruning, ResultFolder
from callbacks.result_folder import final_figures
from callbacks.time_budget import TimeBudget
from datamodules import SongData
from mixgraph.results import HeldPlace
from mixgraph.results.found_graph import load_result
from mixgraph.results.metrics import read_metrics
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule

pytestmark = [
    pytest.mark.usefixtures("blank_pictures"),
    pytest.mark.long,
]

RATE = 8000
STAGES = {"console_stages": 2, "rounds": 3, "period": 2}  # the second round is brute force
# Of ten searches (five seeds, two ranges of clips) the one in which rounding is scaled up least, see below.
CLIPS = {"steps_per_stage": 3, "scored_seconds": 1.0, "starts": "whole_song", "seed": 42}
# Without the delay: its taps are on whole samples, so that a search that is disturbed by 1e-7 goes another way.
CHAIN = "ecnsgr"


def find(paths, folder, callbacks=(), checkpoint=None):
    """Searches; returns the module, its songs and what the pruning kept of each of them."""
    data = SongData(paths, sample_rate=RATE, cache_dir=None, **CLIPS)
    module, pruning = ConsoleModule(CHAIN, CHAIN, sample_rate=RATE), IterativePruning(**STAGES)
    results = ResultFolder(str(folder), log_every=2)
    quiet = {"enable_progress_bar": False}
    search(module, data, [pruning, results, *callbacks], pruning.num_stages, "cpu", checkpoint, **quiet)
    return module, data.songs, pruning.songs


@pytest.fixture(scope="module")
def paths(tiny_song, duo_song):
    return [str(tiny_song), str(duo_song)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def together(paths, folder):
    return find(paths, folder / "together")


@pytest.fixture(scope="module", params=[0, 1], ids=["tiny", "duo"])
def both(request, paths, folder, together):
    """The number of a song, its own search, and the search of both."""
    return request.param, find(paths[request.param], folder / "alone" / str(request.param)), together


def test_the_same_processors_survive_by_the_same_verdicts(both) -> None:
    number, (alone, _, (record,)), (module, songs, records) = both
    assert module.part(songs[number]).graph == alone.graph
    assert 0 < len(alone.graph.processors) < alone.initial_counts[0]["gain_panning"] * len(CHAIN)
    assert module.initial_counts[number] == alone.initial_counts[0]
    assert torch.equal(module.loudest[number], alone.loudest[0])
    assert not torch.equal(module.loudest[0], module.loudest[1])
    assert len(record.trace) == len(records[number].trace)
    verdicts = {row["accepted"] for row in record.trace if row["kind"] == "trial"}
    assert verdicts == {True, False}
    for first, second in zip(record.trace, records[number].trace, strict=True):
        assert first.keys() == second.keys()
        for name, value in first.items():
            # The loss sums thousands of float32 magnitudes; an order of summation is worth some 1e-7 of it. A weight
            # has the errors of all steps before it, which divide gradients by their size.
            tolerance = 2e-4 if name == "weight" else 2e-5
            same = pytest.approx(value, rel=tolerance, abs=tolerance) if isinstance(value, float) else value
            assert second[name] == same, name


def test_parameters_and_weights_are_equal(both) -> None:
    """But for rounding, which Adam scales up: it divides each gradient by its own size.

    An element with next to no gradient (a reverb's bin above the song's highest frequency) so takes full steps in the
    direction of rounding errors. Elements are compared whose gradients are at least 1e-2 of the type's largest: within
    a hundredth of one step of 0.03, of 15 steps. Another clip, loss or order would be whole steps away.
    """
    number, (alone, (song,), _), (module, songs, _) = both
    part = module.part(songs[number])
    assert (part.weights - alone.weights).abs().max() < 5e-5
    state = alone.trainer.optimizers[0].state
    for node_type, parameters in alone.parameters_by_type().items():
        sizes = {name: state[value]["exp_avg_sq"].sqrt() for name, value in parameters.items()}
        largest = max(float(size.max()) for size in sizes.values())
        for name, value in parameters.items():
            audible = sizes[name] > 1e-2 * largest
            if not audible.any():
                continue
            error = (part.parameters[node_type][name] - value)[audible].abs().max()
            assert error < 3e-4, (node_type, name)
    first, second = alone.render(song), module.render(songs[number])
    assert first.abs().max() > 0.1
    assert (second - first).abs().max() < 1e-3 * first.abs().max()


def test_each_song_has_a_result_of_its_own(both, folder) -> None:
    number, (_, (song,), _), _ = both
    alone, joined = folder / "alone" / str(number), folder / "together" / song.name
    assert {p.name for p in joined.iterdir()} == {p.name for p in alone.iterdir()}
    assert sorted(p.name for p in (folder / "together").iterdir()) == ["duo", "tiny"]
    assert load_result(joined).graph == load_result(alone).graph
    first, second = (json.loads((p / "metrics.json").read_text()) for p in (alone, joined))
    for when in ("dry_sum", "console", "found"):
        for denominator in ("loss", "loss_prediction"):
            assert second["losses"][when][denominator] == pytest.approx(first["losses"][when][denominator], rel=2e-5)
    # The NSGT hears bands far below the rest, in which rounding is a larger part.
    opinions = [metrics.pop("second_opinion") for metrics in (first, second)]
    assert [opinion.pop("front_end") for opinion in opinions] == ["nsgt", "nsgt"]
    assert opinions[1] == pytest.approx(opinions[0], rel=2e-4)
    assert {k: v for k, v in first.items() if k != "losses"} == {k: v for k, v in second.items() if k != "losses"}
    logs = [list(csv.DictReader((p / "log.csv").read_text().splitlines())) for p in (alone, joined)]
    # Sums over the songs.
    shared = {
        "gain_staging",
        "parameter_penalty",
        "sparsity",
        "match/lr",
        "match/mid",
        "match/side",
    }
    assert set(logs[1][0]) == set(logs[0][0]) - shared
    for first_row, row in zip(*logs, strict=True):
        assert row.pop("stage") == first_row.pop("stage")
        expected = {n: float(first_row[n]) for n in row}
        # A weight moves by up to .18 of a logit in a step, whatever the size of its gradient: rounding is scaled up.
        assert {n: float(v) for n, v in row.items()} == pytest.approx(expected, rel=1e-4)
    seconds = [json.loads((p / "timings.json").read_text()) for p in (alone, joined)]
    assert [s["num_songs"] for s in seconds] == [1, 2]
    assert seconds[0]["num_trials"] == seconds[1]["num_trials"]


class PowerCut(L.Callback):
    """Ends a search without a word, when the second round is done and nothing of its stage is saved."""

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == 3:
            raise RuntimeError("power cut")


def test_a_stopped_search_of_two_songs_goes_on(paths, folder, together, tmp_path) -> None:
    with pytest.raises(RuntimeError, match="power cut"):
        find(paths, tmp_path / "cut", [PowerCut()])
    assert sorted(p.name for p in (tmp_path / "cut").iterdir()) == ["duo.partial", "tiny.partial"]
    checkpoint = tmp_path / "cut" / "tiny.partial" / "stage.ckpt"
    with pytest.raises(FileExistsError, match=rf"did not end; go on with\n.*{checkpoint}'\)\nor set"):
        find(paths, tmp_path / "cut")
    with pytest.raises(ValueError, match=r"the graph is of tiny, duo \(in this order\), got duo, tiny"):
        find(paths[::-1], tmp_path / "other", checkpoint=str(checkpoint))
    with pytest.raises(ValueError, match=r"the graph is of tiny, duo \(in this order\), got tiny"):
        find(paths[0], tmp_path / "other", checkpoint=str(checkpoint))
    assert not (tmp_path / "other").exists()
    module, _, records = find(paths, tmp_path / "cut", checkpoint=str(checkpoint))
    assert module.initial_counts == together[0].initial_counts
    assert [record.trace for record in records] == [record.trace for record in together[2]]
    for name in ("tiny", "duo"):
        for file in ("graph.json", "parameters.safetensors", "metrics.json", "trace.jsonl", "log.csv"):
            first, second = (f / name / file for f in (folder / "together", tmp_path / "cut"))
            assert second.read_bytes() == first.read_bytes(), (name, file)


def test_a_search_that_dies_between_two_results_goes_on(paths, folder, together, tmp_path, monkeypatch) -> None:
    publish = HeldPlace.publish

    def full_disk(place, work, overwrite):
        if place.target.name == "tiny":
            raise OSError("no space left")
        publish(place, work, overwrite)

    with monkeypatch.context() as patch:
        patch.setattr(HeldPlace, "publish", full_disk)
        with pytest.raises(OSError, match="no space left"):
            find(paths, tmp_path / "cut")
    assert sorted(p.name for p in (tmp_path / "cut").iterdir()) == ["duo", "tiny.partial"]
    find(paths, tmp_path / "cut", checkpoint=str(tmp_path / "cut" / "tiny.partial" / "stage.ckpt"))
    assert sorted(p.name for p in (tmp_path / "cut").iterdir()) == ["duo", "tiny"]
    for name in ("tiny", "duo"):
        first, second = (f / name / "parameters.safetensors" for f in (folder / "together", tmp_path / "cut"))
        assert second.read_bytes() == first.read_bytes()


def test_an_existing_result_of_any_song_is_kept(paths, folder, together) -> None:
    with pytest.raises(
        FileExistsError, match=r"together/tiny exists and is kept; .*\n.*together/duo exists and is kept"
    ):
        find(paths, folder / "together")


def test_one_songs_record_is_not_that_of_several(together) -> None:
    pruning = IterativePruning()
    pruning.songs = together[2]
    for name in ("trace", "console_score"):
        with pytest.raises(ValueError, match="a search of one song is needed, got 2 songs; see `songs`"):
            getattr(pruning, name)


def test_the_logger_gets_the_mean_and_each_song(folder, together) -> None:
    metrics = [read_metrics(folder / "together" / name) for name in ("tiny", "duo")]
    losses = [song.losses.found.loss["full"] for song in metrics]
    figures = final_figures(metrics, together[0].metric_suffixes())
    assert [figures["search/found_loss/tiny"], figures["search/found_loss/duo"]] == losses
    assert figures["search/found_loss"] == pytest.approx(sum(losses) / 2)
    assert final_figures(metrics[:1], [""]) == {
        "search/found_loss": losses[0],
        "search/pruning_ratio": metrics[0].pruning_ratio,
    }


def test_the_estimate_sums_the_trials_of_the_songs(together, paths, monkeypatch, caplog) -> None:
    """At two minutes a trial: what is expected of each song, of all together."""
    module, _, _ = together
    monkeypatch.setattr("callbacks.search_costs.time_trials", lambda evaluator: (0.0, 120.0))
    monkeypatch.setattr("callbacks.search_costs.time_steps", lambda module, data: 0.0)
    monkeypatch.setattr("callbacks.search_costs._WRITING", (0.0, 0.0))
    monkeypatch.setattr("callbacks.search_costs._FITTING", 0.0)
    monkeypatch.setattr(
        module,
        "trainer",
        L.Trainer(
            logger=False,
            accelerator="cpu",
            max_epochs=3,
            enable_checkpointing=False,
            callbacks=[IterativePruning(1, 2, "brute_force")],
        ),
    )
    module.trainer.datamodule = SongData(paths, sample_rate=RATE)
    TimeBudget().on_fit_start(module.trainer, module)
    counts = [len(module.part(song).graph.processors) for song in module.trainer.datamodule.songs]
    # Measured once for both, half tried; half of them again in the second round; at the end .425 are expected.
    assert f"about {2 * sum(counts) * (1.5 + 0.75 + 0.425):.1f} minutes" in caplog.text
