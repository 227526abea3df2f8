"""From shards to a trained estimator, a prediction, a result folder, and a table."""

import json
import sys
from pathlib import Path

import lightning as L
import pytest
import torch
import yaml

from mixgraph import __main__ as entry
from mixgraph.cli.training import is_console, named_class
from mixgraph.estimators import EstimatorData, EstimatorModule, estimate_song, load_estimator
from mixgraph.estimators.cache import ExampleFiles
from mixgraph.estimators.settings import EstimatorLosses, EstimatorTask, NetworkSettings
from mixgraph.estimators.statistics import training_statistics
from mixgraph.results.found_graph import load_result
from mixgraph.songs import load_song
from tools.evaluate_estimator import main as evaluate

pytestmark = pytest.mark.usefixtures("blank_pictures")

ROOT = Path(__file__).parent.parent.parent
STEPS = 150


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["mixgraph", *map(str, arguments)])
    entry.main()


@pytest.fixture(scope="module")
def trained(shards, tmp_path_factory) -> Path:
    """Fitted, by the command line, until it knows its six samples by heart: those validate it, too."""
    folder = tmp_path_factory.mktemp("trained")
    known = folder / "set"
    known.mkdir()
    for split in ("train", "validation"):
        (known / split).symlink_to(shards / "train")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        fit(patch, folder, folder / "run")
    return folder / "run" / "best.ckpt"


def fit(monkeypatch: pytest.MonkeyPatch, folder: Path, checkpoints: Path) -> None:
    """The training of `trained`."""
    changes = {
        "data.path": folder / "set", "data.cache_dir": folder / "cache", "data.cache_workers": 1, "data.batch_size": 6,
        "model.task": "{sample_rate: 8000, segment_seconds: 2.0, track_chain: esgd, subgroup_chain: cgr}",
        "model.network": "{width: 48, num_layers: 2, dropout: 0.0}", "model.optimizer.learning_rate": 0.003,
        "trainer.max_epochs": STEPS, "trainer.logger": "false", "trainer.accelerator": "cpu",
        "trainer.callbacks.dirpath": checkpoints, "trainer.enable_progress_bar": "false",
        "trainer.check_val_every_n_epoch": STEPS, "trainer.log_every_n_steps": 1,
    }  # fmt: skip
    run(monkeypatch, "fit", "--config=configs/estimator.yaml", *(f"--{k}={v}" for k, v in changes.items()))


def test_a_handful_of_samples_is_learnt_by_heart(trained, examples) -> None:
    module = load_estimator(trained)
    expected, predicted = [], []
    for data in examples:
        expected.append(data.keep > 0)
        predicted.append(module(data).keep > module.threshold)
    expected, predicted = torch.cat(expected), torch.cat(predicted)
    matched = int((expected & predicted).sum())
    assert 2 * matched / int(expected.sum() + predicted.sum()) == 1.0  # F1
    assert 0 < int(expected.sum()) < len(expected)
    fresh = EstimatorModule(module.task, module.network_settings).eval()
    fresh.standardise(training_statistics(examples, fresh.task.types))
    with torch.no_grad():
        known, unknown = (
            sum(float(m.losses_of(data, m.network(data))["parameters"]) for data in examples) for m in (module, fresh)
        )
    assert known < 0.2 * unknown


def test_a_checkpoint_is_data_and_knows_its_task_and_rates(trained, shards, examples) -> None:
    module = load_estimator(trained)
    assert module.task == EstimatorTask(8000, 2.0, "esgd", "cgr")
    assert sum(kept for kept, _ in module.slots.values()) == sum(int(data.keep.sum()) for data in examples)
    assert sum(of for _, of in module.slots.values()) == sum(len(data.keep) for data in examples)
    with pytest.raises(FileNotFoundError, match="a checkpoint is needed, got none"):
        load_estimator(shards / "none.ckpt")
    other = trained.with_name("other.ckpt")
    torch.save({"state_dict": {}}, other)
    with pytest.raises(ValueError, match="an estimator is needed, got the checkpoint of another program"):
        load_estimator(other)


def test_settings_are_kept_where_the_checkpoints_are_and_never_over_others(trained, tmp_path, monkeypatch) -> None:
    """Without a logger, Lightning would put them into the folder that the command runs in, over what is there."""
    settings = yaml.safe_load((trained.parent / "config.yaml").read_text())
    assert settings["model"]["init_args"]["network"]["width"] == 48
    (tmp_path / "config.yaml").write_text("mine: 1")
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit, match=r"config\.yaml: exists and is kept, since no training wrote it"):
        fit(monkeypatch, trained.parent.parent, tmp_path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("config.yaml", "mine: 1")]


def test_examples_are_made_once(shards, tmp_path) -> None:
    data = EstimatorData(str(shards), cache_dir=str(tmp_path), cache_workers=1)
    task = EstimatorTask(8000, 2.0, "esgd", "cgr")
    data.prepare(task)
    (files,) = data.splits["train"]
    assert isinstance(files, ExampleFiles)
    before = {p: p.stat().st_mtime_ns for p in files.folder.iterdir()}
    again = EstimatorData(str(shards), cache_dir=str(tmp_path), cache_workers=1)
    again.prepare(task)
    assert {p: p.stat().st_mtime_ns for p in files.folder.iterdir()} == before
    assert len(next(iter(again.train_dataloader())).keep) > 0
    held_out_data = EstimatorData(str(shards), cache_dir=str(tmp_path), cache_workers=1, hold_out=["train_000001"])
    held_out_data.prepare(task)
    assert {i.song for i in held_out_data.splits["train"][0].items} == {i.song for i in files.items} - {"train_000001"}


def test_a_song_that_is_held_out_must_be_there(shards, tmp_path) -> None:
    data = EstimatorData(str(shards), cache_dir=str(tmp_path), cache_workers=1, hold_out=["Train_000001"])
    with pytest.raises(ValueError, match=r"hold_out: some of the songs .*train_000001.*, got Train_000001"):
        data.prepare(EstimatorTask(8000, 2.0, "esgd", "cgr"))


def test_a_training_that_goes_on_is_the_one_that_was_not_stopped(shards, tmp_path) -> None:
    """The order of its examples and its dropout, too."""

    half = tmp_path / "half.ckpt"

    class Save(L.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(half)

    def fit(checkpoint=None):
        L.seed_everything(7, verbose=False)
        data = EstimatorData(str(shards), batch_size=2, cache_dir=str(tmp_path / "cache"), cache_workers=1)
        module = EstimatorModule(EstimatorTask(8000, 2.0, "esgd", "cgr"), NetworkSettings(16, 1, 0.5))
        options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
        options |= {"limit_val_batches": 0, "enable_model_summary": False, "callbacks": [Save()]}
        L.Trainer(max_epochs=4, **options).fit(module, data, ckpt_path=checkpoint, weights_only=bool(checkpoint))
        return module

    whole, resumed = fit(), fit(half)
    for (name, value), other in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(value, other), name


def test_clips_for_the_match_loss_come_with_their_graphs(shards, tmp_path) -> None:
    task = EstimatorTask(8000, 2.0, "esgd", "cgr")
    data = EstimatorData(str(shards), 3, cache_dir=str(tmp_path), cache_workers=1, clip_seconds=1.5, target="rendered")
    data.prepare(task)
    module = EstimatorModule(task, losses=EstimatorLosses(match=1.0))
    module.standardise(data.statistics())
    batch = next(iter(data.train_dataloader()))
    assert batch.clip_tracks.shape[1:] == (2, 12000)
    losses = module.losses_of(batch, module.network(batch))
    assert losses["match"].isfinite()
    assert losses["match"] > 0


@pytest.mark.long
def test_an_estimate_is_a_result_that_a_search_starts_from(
    trained, corpus_songs, tmp_path, monkeypatch, capsys
) -> None:
    out = tmp_path / "estimate"
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "estimate", corpus_songs[0], "--checkpoint", trained, "--out", out)
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "Processors:" in printed
    assert printed.rstrip().endswith(f"python -m mixgraph fit --config {out / 'config.yaml'}")
    estimate = load_result(out)
    prediction = estimate_song(load_estimator(trained), load_song(corpus_songs[0], 8000))
    assert estimate.graph == prediction.graph.graph
    assert torch.allclose(estimate.weights, prediction.graph.weights, atol=1e-6)  # they are kept as logits
    metrics = json.loads((out / "metrics.json").read_text())
    console = len(prediction.console.graph.processors)
    assert metrics["num_processors"] == {"console": console, "found": len(estimate.graph.processors)}
    assert {"mix_found.flac", "graph.svg", "spectrograms.png"} <= {p.name for p in out.iterdir()}
    with pytest.raises(SystemExit, match="exists and is kept"):
        run(monkeypatch, "estimate", corpus_songs[0], "--checkpoint", trained, "--out", out)
    searched = tmp_path / "searched"
    run(
        monkeypatch, "fit", "--config", out / "config.yaml",
        "--data.steps_per_stage=2", "--data.scored_seconds=1", "--pruning.console_stages=1", "--pruning.rounds=1",
        f"--result.path={searched}", "--trainer.accelerator=cpu",
    )  # fmt: skip
    assert set(load_result(searched).graph.names) <= set(estimate.graph.names)
    settings = yaml.safe_load((searched / "config.yaml").read_text())
    assert settings["model"]["initial_values"] == "drawn"  # predicted delays must move


def test_the_table_has_every_baseline(trained, shards, tmp_path, capsys) -> None:
    words = [
        str(trained), str(shards / "train"), "--out", str(tmp_path), "--limit", "3", "--search-songs", "1",
        "--search-steps", "1", "--search-stages", "1", "--search-rounds", "1",
    ]  # fmt: skip
    evaluate(words)
    with pytest.raises(FileExistsError, match=r"evaluation\.json exists and is kept"):
        evaluate(words)
    printed = capsys.readouterr().out
    assert (tmp_path / "evaluation.md").read_text() in printed
    report = json.loads((tmp_path / "evaluation.json").read_text())
    scores = {m["name"]: m for m in report["methods"]}
    assert scores["estimator"]["all"]["f1"] == 1.0  # it knows them by heart
    assert scores["true processors, mean parameters"]["all"]["f1"] == 1.0
    assert scores["keep nothing (dry sum)"]["all"]["found"] == 0
    assert scores["keep everything (mean parameters)"]["all"]["recall"] == 1.0
    known = scores["estimator"]["match_loss"]["mean"]
    assert known < 0.8 * scores["keep nothing (dry sum)"]["match_loss"]["mean"]
    assert known < scores["true processors, mean parameters"]["match_loss"]["mean"]
    assert [s["start"] for s in report["searches"]] == ["default console", "estimator"]
    assert "| gain_panning: left | dB |" in printed


def test_the_configuration_parses_and_is_told_from_a_search(monkeypatch, capsys) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "fit", "--config=configs/estimator.yaml", "--print_config")
    assert stop.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["class_path"] == "mixgraph.estimators.EstimatorModule"
    assert printed["model"]["init_args"]["optimizer"] is None
    estimator = "mixgraph.estimators.EstimatorModule"
    assert named_class("model", ["fit", "--config", "configs/estimator.yaml"]) == estimator
    assert named_class("model", ["fit", "--model", estimator]) == estimator
    assert named_class("data", ["fit", "--model", estimator]) is None
    assert named_class("model", ["fit", "--config", "configs/demo.yaml", "--model.seed=1"]) is None
    assert named_class("model", ["fit", "--config=missing.yaml"]) is None
    assert not is_console(estimator)
    assert is_console("mixgraph.ConsoleModule")
