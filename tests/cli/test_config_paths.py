"""Saved settings: whole, and run again from any folder."""

import json
import shlex
import shutil
import sys
from dataclasses import asdict

import pytest
import yaml

from callbacks import ResultFolder
from mixgraph import __main__ as entry
from mixgraph.cli.config_paths import read_saved_config, saved_config
from mixgraph.losses import LossSettings
from mixgraph.search.settings import OptimizerSettings, RegularizerSettings, RenderSettings, with_defaults
from tools.dataset.build import resolve_settings

pytestmark = pytest.mark.usefixtures("blank_pictures")

SMALL = [
    "--data.sample_rate=8000", "--data.steps_per_stage=2", "--data.scored_seconds=1.0", "--model.track_chain=eg",
    "--model.subgroup_chain=g", "--pruning.console_stages=2", "--pruning.rounds=1", "--trainer.accelerator=cpu",
]  # fmt: skip
FULL = {
    "loss": LossSettings(),
    "regularizers": RegularizerSettings(),
    "optimizer": OptimizerSettings(),
    "rendering": RenderSettings(),
}
FULL = json.loads(json.dumps({name: asdict(value) for name, value in FULL.items()}))


@pytest.fixture
def run(monkeypatch):
    def run(*arguments) -> None:
        monkeypatch.setattr(sys, "argv", ["mixgraph", *map(str, arguments)])
        entry.main()

    return run


@pytest.mark.long
def test_a_result_and_the_printed_command_run_from_any_folder(tiny_song, tmp_path, monkeypatch, run, caplog) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    shutil.copytree(tiny_song, tmp_path / "a" / "songs" / "tiny")
    monkeypatch.chdir(tmp_path / "a")
    with caplog.at_level("INFO"):
        run("fit", "--data.path=songs/tiny", "--seed_everything=true", *SMALL)
    assert "Seed set to 42" in caplog.text
    config = yaml.safe_load((tmp_path / "a" / "results" / "tiny" / "config.yaml").read_text())
    assert (config["data"]["path"], config["result"]["path"]) == ("../../songs/tiny", "../tiny")
    assert (config["relative_to"], config["seed_everything"], config["ckpt_path"]) == ("this_file", 42, None)
    assert {name: config["model"][name] for name in FULL} == FULL

    # Song and result are moved together; a search from their settings, of another folder, is cut while it ends.
    (tmp_path / "a").rename(tmp_path / "moved")
    first = tmp_path / "moved" / "results" / "tiny"
    monkeypatch.chdir(tmp_path / "b")
    caplog.clear()
    options = "--config=../moved/results/tiny/config.yaml", "--result.path=again", "--seed_everything=false"
    with monkeypatch.context() as patch, caplog.at_level("INFO"):
        patch.setattr(ResultFolder, "on_train_end", lambda *_: (_ for _ in ()).throw(RuntimeError("cut")))
        with pytest.raises(RuntimeError, match="cut"):
            run("fit", *options)
    command = caplog.text.split("To go on:\n")[1].splitlines()[0]
    monkeypatch.chdir("/")
    run(*shlex.split(command)[3:])
    again = tmp_path / "b" / "again"
    for name in ("graph.json", "parameters.safetensors", "metrics.json", "trace.jsonl", "log.csv"):
        assert (again / name).read_bytes() == (first / name).read_bytes(), name
    config = yaml.safe_load((again / "config.yaml").read_text())
    assert (config["data"]["path"], config["seed_everything"]) == ("../../moved/songs/tiny", 42)


def test_paths_are_told_from_other_settings(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = {"default_root_dir": None, "callbacks": [{"init_args": {"dirpath": "kept", "monitor": "loss"}}]}
    config = {"start": ["a", "b/"], "data": {"path": str(tmp_path / "s"), "layout": "auto"}, "trainer": trainer}
    text = saved_config(config | {"other": str(tmp_path / "x")}, tmp_path / "results" / "r")
    assert str(tmp_path) not in text
    (tmp_path / "results" / "r").mkdir(parents=True)
    file = tmp_path / "results" / "r" / "config.yaml"
    file.write_text(text)
    class_config = {"data": {"class_path": "own.Data", "init_args": {"path": "s"}}}
    assert yaml.safe_load(saved_config(class_config, tmp_path / "r"))["data"]["init_args"] == {"path": "../s"}
    expected = config | {"start": ["a", "b"], "data": config["data"] | {"path": "s"}, "other": "../../x"}
    assert read_saved_config(file) == expected
    file.write_text("data: {path: s}")
    assert read_saved_config(file) is None
    file.write_text("relative_to: home")
    with pytest.raises(ValueError, match=r"config\.yaml: relative_to is this_file or left out, got 'home'"):
        read_saved_config(file)


def test_a_configuration_names_no_other_file_and_none_is_quoted(tmp_path) -> None:
    """The parser would read the file of `config`, unlike the checks of configurations, and print one that is text."""
    secrets, file = tmp_path / "secrets", tmp_path / "config.yaml"
    secrets.write_text("root:x:0:0\nsecond:x:1:1\n")
    for text, said in ((f"config: {secrets}", "names no other one"), ("[model]", "by their names"), ("a", "by their")):
        file.write_text(text)
        with pytest.raises(ValueError, match=rf"config\.yaml: .*{said}") as raised:
            read_saved_config(file)
        assert "x:0:0" not in str(raised.value)
    file.write_text("")
    assert read_saved_config(file) is None


def test_settings_that_are_null_or_left_out_are_those_of_the_defaults(tmp_path) -> None:
    """As an earlier version wrote them; and as the builder compares them, so that it sees a default that changed."""
    old = tmp_path / "old.yaml"
    old.write_text("model: {loss: null, rendering: null, optimizer: {rate_factors: {reverb: 2.0}}}")
    resolved = resolve_settings([str(old)], [])
    rates = {"rate_factors": {"dry_wet": 6.0, "reverb": 2.0}}
    assert {name: resolved["model"][name] for name in FULL} == FULL | {"optimizer": FULL["optimizer"] | rates}
    assert resolved["data"]["path"] == "song"
    model = with_defaults({"model": {"class_path": "own.Console", "init_args": {"loss": None}}})["model"]
    assert model == {"class_path": "own.Console", "init_args": FULL}
