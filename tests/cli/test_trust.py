"""A configuration, and a folder that someone else made, run no code of their own and see no environment."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixgraph.cli import arguments, commands
from mixgraph.cli.arguments import prepare
from mixgraph.cli.training import run
from mixgraph.cli.trust import check_loggers, restrict_configurations

MARKS = """
import os
open(os.environ["MARKER"], "a").write(__name__ + "\\n")
"""
CLASSES = """
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.loggers import CSVLogger


class Model(LightningModule): ...


class Data(LightningDataModule): ...


class Logger(CSVLogger): ...


class Call(Callback): ...


def function(*arguments): ...
"""
LAMBDA = "lightning.pytorch.callbacks.LambdaCallback"
DDP = "lightning.pytorch.strategies.DDPStrategy"
SETTINGS = {
    "model": {"model": {"class_path": "evil.Model"}},
    "model of a network": {"model": {"class_path": "mixgraph.ConsoleModule", "init_args": {"loss": "evil.Model"}}},
    "data": {"data": {"class_path": "evil.Data"}},
    "logger": {"trainer": {"logger": {"class_path": "evil.Logger"}}},
    "name of a logger": {"trainer": {"logger": "evil.Logger"}},
    "loggers": {"trainer": {"logger": [{"class_path": "evil.Logger"}]}},
    "callbacks": {"trainer": {"callbacks": [{"class_path": "evil.Call"}]}},
    "function of a callback": {
        "trainer": {"callbacks": [{"class_path": LAMBDA, "init_args": {"on_fit_start": "evil.function"}}]}
    },
    "module within a module": {"trainer": {"logger": "lightning.pytorch.trainer.trainer.os.system"}},
    "profiler": {"trainer": {"profiler": {"class_path": "evil.Logger"}}},
    "strategy": {"trainer": {"strategy": {"class_path": "evil.Logger"}}},
    "class in a strategy": {
        "trainer": {"strategy": {"class_path": DDP, "init_args": {"cluster_environment": {"class_path": "evil.Call"}}}}
    },
    "plugins": {"trainer": {"plugins": [{"class_path": "evil.Call"}]}},
    "accelerator": {"trainer": {"accelerator": {"class_path": "evil.Call"}}},
    "loss": {"model": {"loss": {"class_path": "evil.Call"}}},
}


@pytest.fixture
def marker(tmp_path, monkeypatch) -> Path:
    """The file that code from the hostile folder would write; the folder is the working folder."""
    monkeypatch.setenv("MARKER", str(tmp_path / "code_ran"))
    folder = tmp_path / "downloaded"
    folder.mkdir()
    (folder / "evil.py").write_text(MARKS + CLASSES)
    monkeypatch.chdir(folder)
    return tmp_path / "code_ran"


@pytest.mark.parametrize(
    "settings",
    [
        {"config": "FILE"},
        {"model": "FILE"},
        {"model": {"loss": "FILE"}},
        {"model": {"optimizer": "FILE"}},
        {"data": "FILE"},
        {"trainer": {"callbacks": "FILE"}},
        {"trainer": {"logger": ["FILE"]}},
        {"data": {"class_path": "mixgraph.SongData", "init_args": "FILE"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("secret", ["hunter2", "hunter2: {a: 1}"], ids=["text", "settings"])
def test_no_configuration_names_a_file_that_holds_its_settings(settings, secret, tmp_path, monkeypatch, capsys) -> None:
    """It could be any file of the machine, which no check of configurations sees, and a message would quote it."""
    monkeypatch.setattr(sys, "argv", ["mixgraph"])
    (tmp_path / "file").write_text(f"{secret}\n")
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings).replace("FILE", str(tmp_path / "file")))
    with pytest.raises((SystemExit, ValueError)) as raised:
        run(["fit", "--config", str(config), f"--data.path={tmp_path}", "--print_config"])
    assert raised.value.args != (0,)
    printed = capsys.readouterr()
    assert "hunter2" not in f"{raised.value} {printed.out} {printed.err}"


@pytest.mark.parametrize("name", SETTINGS)
def test_no_configuration_names_a_class_of_its_own(name, marker, monkeypatch, capsys) -> None:
    """Not even where its module would be found."""
    monkeypatch.setattr(sys, "path", [*sys.path, os.getcwd()])
    monkeypatch.setattr(sys, "argv", ["mixgraph"])
    Path("config.yaml").write_text(yaml.safe_dump(SETTINGS[name]))
    with pytest.raises((SystemExit, ValueError)) as end:
        run(prepare(["fit", "song", "--config", "config.yaml"]))
    told = f"{end.value}{capsys.readouterr().err}"
    assert "is of neither mixgraph nor Lightning" in told
    assert "HINT: --import " in told
    assert not marker.exists()


def test_aliases_of_aliases_do_not_fill_the_memory(marker, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mixgraph"])
    levels = "abcdefghij"
    lines = [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in pairwise(levels)]
    Path("config.yaml").write_text("\n".join(["a: &a [x]", *lines, "relative_to: this_file"]))
    with pytest.raises((SystemExit, ValueError), match="more than 10000 values, with every alias written out"):
        run(prepare(["fit", "song", "--config", "config.yaml"]))


def command(*words: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    line = [sys.executable, *python, "-m", "mixgraph", *words]
    return subprocess.run(line, capture_output=True, text=True, check=False)


@pytest.mark.long
@pytest.mark.parametrize("name", ["model", "callbacks"])
def test_no_code_of_a_downloaded_folder_runs(name, marker, tiny_song) -> None:
    """As processes; all other settings are tried in this process."""
    Path("config.yaml").write_text(yaml.safe_dump(SETTINGS[name]))
    done = command("fit", str(tiny_song), "--config", "config.yaml")
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert "--import evil, if you trust that module" in done.stderr
    assert "Traceback" not in done.stderr
    assert not marker.exists()


@pytest.mark.long
def test_no_module_of_the_working_folder_takes_the_place_of_an_installed_one(marker, tiny_song) -> None:
    """Neither of Python's, nor of packages that are used or may be, nor by an entry point of a plugin."""
    installed = ["lightning", "torch", "numpy", "yaml", "callbacks", "datamodules", "tools", "tensorboard", "deepspeed"]
    for module in {*sys.stdlib_module_names, *installed} - {"sys", "builtins"}:
        Path(f"{module}.py").write_text(MARKS)
    metadata = Path("evil-1.0.dist-info")
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    groups = ("mixgraph.plugins", "torch.backends", "lightning.pytorch.callbacks_factory", "networkx.backends")
    (metadata / "entry_points.txt").write_text("".join(f"[{group}]\nevil = evil\n" for group in groups))
    words = [f"--{name}" for name in ("data.steps_per_stage=1", "pruning.console_stages=1", "pruning.rounds=1")]
    words += ["--model.track_chain=g", "--model.subgroup_chain=g", "--result.path=result", "--data.sample_rate=8000"]
    assert command("--version").returncode == 0
    done = command("fit", str(tiny_song), *words)
    assert done.returncode == 0, done.stderr
    done = command("render", "result", "--tracks", str(tiny_song), "--out", "again.wav")
    assert done.returncode == 0, done.stderr
    assert not marker.exists(), marker.read_text()


@pytest.mark.parametrize(
    "name", [".numba_config.yaml", "matplotlibrc", "wandb/settings", ".wandb/settings", ".comet.config"]
)
def test_no_library_takes_settings_from_the_working_folder(name, marker) -> None:
    """numba's name a folder of pickles, which the first filter would load; those of wandb the server that gets keys."""
    Path("wandb").mkdir()
    Path(".wandb").mkdir()
    harmless = "[default]\nmode = offline\nproject = mine\nbase_url = https://api.wandb.ai\n"  # as `wandb init` writes
    Path("wandb/settings").write_text(harmless)
    Path(name).write_text("[default]\nbase_url = http://127.0.0.1:1\n")
    with pytest.raises(ValueError, match=rf"^{re.escape(name)}: .*HINT: "):
        commands.run(["render", "nowhere"])
    Path(name).unlink()
    Path("matplotlibrc").mkdir(exist_ok=True)  # matplotlib reads no folder
    with pytest.raises(FileNotFoundError, match="nowhere"):
        commands.run(["render", "nowhere", "--tracks", "nowhere", "--out", "a.wav"])


SERVERS = [
    ("WandbLogger", "init_args", {"settings": {"base_url": "http://here:1"}}),
    ("WandbLogger", "dict_kwargs", {"settings": {"base_url": "http://here:1"}}),
    ("MLFlowLogger", "init_args", {"tracking_uri": "http://here:1"}),
    ("MLFlowLogger", "init_args", {"artifact_location": "http://here:1"}),
]


@pytest.mark.parametrize(("logger", "part", "value"), SERVERS)
def test_no_configuration_names_the_server_that_gets_a_key(logger, part, value, marker, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mixgraph"])
    monkeypatch.setattr(arguments, "_env_allowed", False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mine:1")
    stated = {"class_path": f"lightning.pytorch.loggers.{logger}", part: value}
    Path("config.yaml").write_text(yaml.safe_dump({"trainer": {"logger": [stated]}}))
    with pytest.raises(ValueError, match=rf"trainer.logger: {next(iter(value))} may send the key .* HINT: --allow-env"):
        run(prepare(["fit", "song", "--config", "config.yaml"]))
    check_loggers({"init_args": {"tracking_uri": "http://mine:1", "save_dir": "."}, "dict_kwargs": None})
    arguments.take_imports(["--allow-env"])
    check_loggers([stated])


@pytest.mark.long
@pytest.mark.parametrize("allowed", [False, True])
def test_no_logger_has_git_run_programs_of_the_working_folder(allowed, marker, monkeypatch) -> None:
    """Weights & Biases asks git for what has changed; with `--allow-env` it does, which shows that it would."""
    monkeypatch.setattr(arguments, "_env_allowed", False)
    user = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for words in (["init", "--quiet"], ["add", "evil.py"], [*user, "commit", "--quiet", "--message=a"]):
        subprocess.run(["git", *words], check=True, capture_output=True)
    Path("evil.py").write_text("changed = 1\n")
    Path("program").write_text('#!/bin/sh\ntouch "$MARKER"\n')
    Path("program").chmod(0o755)
    for name in ("core.fsmonitor", "diff.external"):
        subprocess.run(["git", "config", name, str(Path("program").resolve())], check=True)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        commands.run(["render", "nowhere", "--tracks", "nowhere", "--out", "a.wav", *["--allow-env"][:allowed]])
    logged = "import wandb; wandb.init(mode='offline', project='a', save_code=True).finish()"
    subprocess.run([sys.executable, "-c", logged], check=True, capture_output=True)
    assert marker.exists() == allowed
    marker.unlink(missing_ok=True)
    subprocess.run(["git", "status"], check=False, capture_output=True)  # as other loggers may call it
    assert marker.exists() == allowed


@pytest.mark.long
@pytest.mark.parametrize("python", [(), ("-P",)])
def test_an_empty_entry_of_the_python_path_is_no_way_in(python, marker, monkeypatch) -> None:
    """It is the working folder. What Python itself loads at its start, such as `site`, cannot be kept out."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    for module in ("csv", "argparse", "lightning", "torch", "numpy", "yaml"):
        Path(f"{module}.py").write_text(MARKS)
    done = command("fit", "nowhere", python=python)
    assert "nowhere: folder expected" in done.stderr, done.stderr
    assert not marker.exists(), marker.read_text()
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}.")  # the user's own word
    command("--version", python=python)
    assert marker.exists()


@pytest.mark.long
@pytest.mark.parametrize("python", [(), ("-P",)])
def test_a_module_that_the_user_names_is_used(python, marker, tiny_song) -> None:
    Path("config.yaml").write_text(yaml.safe_dump(SETTINGS["callbacks"]))
    done = command("fit", "nowhere", "--import=evil", "--config", "config.yaml", python=python)
    assert done.returncode == 1
    assert "nowhere: folder expected" in done.stderr
    assert marker.read_text() == "evil\n"


def test_the_name_of_a_run_is_no_secret(monkeypatch) -> None:
    """Sweep files put the results of runs in folders of their own by it."""
    restrict_configurations()
    folders = []
    for name in (None, "r7"):
        if name is not None:
            monkeypatch.setenv("WANDB_RUN_ID", name)
        else:
            monkeypatch.delenv("WANDB_RUN_ID", raising=False)
        folders.append(OmegaConf.create({"folder": "results/${oc.env:WANDB_RUN_ID,run}"}).folder)
    assert folders == ["results/run", "results/r7"]
    with pytest.raises(OmegaConfBaseException, match=r"\$\{oc.env:WANDB_API_KEY\} asks for the environment"):
        OmegaConf.create({"key": "${oc.env:WANDB_API_KEY}"}).key  # noqa: B018


@pytest.mark.long
def test_the_environment_is_seen_only_where_it_is_allowed(marker, warm_python) -> None:
    Path("config.yaml").write_text("data: {path: 'songs/${oc.env:MARKER}'}\n")
    here = Path.cwd()
    done = warm_python.run("mixgraph", "fit", "--config", "config.yaml", cwd=here)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "mixgraph: config: ${oc.env:MARKER} asks for the environment. HINT: --allow-env, if you trust the configuration"
    )
    done = warm_python.run("mixgraph", "fit", "--config", "config.yaml", "--allow-env", cwd=here)
    assert f"songs{marker}: folder expected" in done.stderr
