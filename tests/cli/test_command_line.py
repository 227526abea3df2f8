"""The table of commands, help without torch, names of configurations, modules of the user's, and what is shipped."""

import inspect
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import soundfile
import yaml
from lightning.pytorch import LightningDataModule

import mixgraph
from callbacks import IterativePruning, ResultFolder
from datamodules import SongData
from mixgraph import shipped
from mixgraph.cli import commands, short_help
from mixgraph.cli.arguments import prepare
from mixgraph.cli.parser_messages import briefly
from mixgraph.cli.training import class_problem, is_console, named_class, run, trainer_problem
from mixgraph.search.checks import check_data
from mixgraph.search.module import ConsoleModule
from mixgraph.synthetic import SPLITS, GenerationSettings
from tools.bench.fidelity.songs import SyntheticOptions
from tools.generate_synthetic import plan_of
from tools.options import fidelity_parser, generate_synthetic_parser

ROOT = Path(__file__).parents[2]
HIDING = 'raise RuntimeError("a package of the user is imported")\n'
SMALL = [
    "--data.sample_rate=8000", "--data.steps_per_stage=2", "--data.scored_seconds=1.0", "--pruning.console_stages=1",
    "--pruning.rounds=1", "--model.track_chain=g", "--model.subgroup_chain=g", "--trainer.accelerator=cpu",
]  # fmt: skip


def python(code: str, cwd: Path, **environment: str) -> str:
    """What Python prints in a folder, with mixgraph as it is installed here."""
    done = subprocess.run(
        [sys.executable, *(["-c", code] if code else [])],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], *([c.name, "--help"] for c in commands.COMMANDS)], ids=" ".join
)
def test_help_loads_neither_torch_nor_lightning(words, tmp_path) -> None:
    code = f"""
import sys
sys.argv = ["mixgraph", *{words}]
from mixgraph.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print({{"torch", "lightning", "numba", "matplotlib"}} & set(sys.modules))
"""
    assert python(code, tmp_path).endswith("set()\n")


def test_every_command_is_listed_and_can_be_imported(capsys) -> None:
    assert commands.run(["--help"]) == 0
    printed = capsys.readouterr().out
    for command in commands.COMMANDS:
        assert f"  {command.name}" in printed
        path = Path(*command.module.split("."))
        assert (ROOT / path.with_suffix(".py")).is_file()
    assert commands.run(["rendr"]) == 2
    assert "HINT: did you mean render?" in capsys.readouterr().err
    assert commands.run([]) == 2


@pytest.mark.parametrize("command", short_help.SHORT_HELPS)
def test_a_short_help_states_the_real_defaults(command) -> None:
    groups = {"data": SongData, "model": ConsoleModule, "pruning": IterativePruning, "result": ResultFolder}
    options = [
        option for heading_options in short_help.SHORT_HELPS[command].options.values() for option in heading_options
    ]
    stated = {option.setting: option.default for option in options if option.setting}
    assert stated.pop("trainer.accelerator") == "auto"
    assert stated.pop("seed_everything", 42) == 42
    for setting, default in stated.items():
        group, name = setting.split(".")
        assert inspect.signature(groups[group]).parameters[name].default == default, setting
    lines = short_help.short_help("python -m mixgraph", command).splitlines()
    assert max(map(len, lines)) <= 120
    assert len(lines) < 60
    assert f"mixgraph {command} --help-all" in lines[-1]


def test_the_defaults_of_the_tools_are_those_of_the_library() -> None:
    fidelity, synthetic = fidelity_parser().parse_args(["song"]), SyntheticOptions()
    assert fidelity.synthetic_seconds == synthetic.seconds
    assert fidelity.synthetic_density == synthetic.density
    assert fidelity.synthetic_tolerance == synthetic.tolerance
    options = generate_synthetic_parser().parse_args(["song", "--out", "x"])
    assert plan_of(options).settings == GenerationSettings()
    assert all(getattr(options, split) > 0 for split in SPLITS)


def test_words_before_lightning_reads_them(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert prepare(["fit", "song"]) == ["fit", "--data.path=song"]
    assert prepare(["fit", "a", "b", "--budget", "1m"]) == ["fit", "--budget", "1m", '--data.path=["a", "b"]']
    assert prepare(["fit", "--mix", "m.wav", "--tracks=t"]) == ["fit", "--data.mix=m.wav", "--data.path=t"]
    assert prepare(["fit", "--help-all"]) == ["fit", "--help"]
    assert prepare(["fit", "--config={data: {path: x}}"]) == ["fit", "--config={data: {path: x}}"]
    ours = f"--config={ROOT / 'configs' / 'demo.yaml'}"
    assert prepare(["fit", "--config", "demo.yaml"]) == prepare(["fit", "-c=configs/demo.yaml"]) == ["fit", ours]
    # The song that is named wins over that of a configuration, and follows the class that takes it.
    # A class is known before a configuration whose settings it takes, and wins over one that the configuration names.
    assert prepare(["fit", "song", "--config=demo.yaml", "--data", "a.B", "--model.class_path=a.C"]) == [
        "fit",
        "--data=a.B",
        "--model.class_path=a.C",
        ours,
        "--data=a.B",
        "--model.class_path=a.C",
        "--data.path=song",
    ]
    assert prepare(["fit", "--tracks", "t", "--config=demo.yaml"]) == ["fit", ours, "--data.path=t"]
    (tmp_path / "demo.yaml").write_text("data: {path: mine}\n")
    assert prepare(["fit", "--config", "demo.yaml"]) == ["fit", "--config=demo.yaml"]
    message = r"config: demmo.yaml is no file, nor one of .*base.yaml, .*demo.yaml.*\. HINT: did you mean demo.yaml"
    with pytest.raises(FileNotFoundError, match=message):
        prepare(["fit", "--config", "demmo.yaml"])
    with pytest.raises(FileNotFoundError, match=r"sampling is no file.* HINT: did you mean sweeps/sampling.yaml\?"):
        prepare(["fit", "--config", "sampling"])
    with pytest.raises(FileNotFoundError, match=r"esg.yaml is no file.* HINT: did you mean consoles/esg.yaml\?"):
        prepare(["fit", "--config", "esg.yaml"])
    with pytest.raises(ValueError, match=r"--config: a value is needed after it"):
        prepare(["fit", "--config"])
    with pytest.raises(ValueError, match=r"import: no module is named 'nowhere_at_all'.*HINT: a dotted name"):
        prepare(["fit", "--import", "nowhere_at_all"])


def test_a_class_that_cannot_be_made_is_told_by_its_reason() -> None:
    message = "Errors:\n  - Problem with given class_path 'a.B':\n      not installed\n      install it\n  - Expected x"
    assert class_problem(message) == "Problem with given class_path 'a.B': not installed install it"


def test_what_the_trainer_cannot_have_is_told_by_its_option() -> None:
    assert trainer_problem("No supported gpu backend found!").startswith("trainer.accelerator: no GPU ")
    assert trainer_problem("Requirement\n  'x' not met.") == "trainer: Requirement 'x' not met."
    message = (
        'Parser key "trainer.logger":\n  Errors:\n    - Expected a dot import path string: CSVLoger\n    - Expected x'
    )
    told_message = "trainer.logger: no class is named 'CSVLoger'"
    assert briefly(message, []) == (
        told_message,
        "HINT: did you mean CSVLogger or Logger? One of yours is named with its module, after --import.",
    )
    assert "songs stand before the options: fit SONG" in briefly("unrecognized arguments: my_song", [])[1]
    assert briefly('Parser key "trainer.devices": invalid', []) == ('Parser key "trainer.devices": invalid', "")


def test_a_class_that_is_not_there_is_told() -> None:
    with pytest.raises(ValueError, match=r"model.class_path: 'mixgraph' has nothing that is named 'Nothing'"):
        is_console("mixgraph.Nothing")
    with pytest.raises(ValueError, match=r"model.class_path: 'mixgraph.nowhere.A' cannot be imported"):
        is_console("mixgraph.nowhere.A")


def test_what_names_no_model_or_data_is_told(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["mixgraph"])
    with pytest.raises(ValueError, match=r"no class is named 'ConsolModule'\. HINT: did you mean ConsoleModule\?"):
        is_console("ConsolModule")
    with pytest.raises(ValueError, match=r"model\.class_path: a subclass of LightningModule is needed, got data"):
        is_console("datamodules.SongData")
    for words in (["--data=torch.optim.Adam"], ["--config={data: {class_path: torch.optim.Adam}}"]):
        with pytest.raises(ValueError, match=r"data\.class_path: a subclass of LightningDataModule is needed"):
            run(["fit", *words])
    with pytest.raises(SystemExit):  # a network without its data
        run(["fit", "--model=lightning.pytorch.demos.boring_classes.BoringModel", "--data.path=x"])
    printed = capsys.readouterr().err
    assert (
        "data.path: no class is named that it is a setting of\nHINT: --import MODULE --data=MODULE.CLASS. " in printed
    )


def test_where_a_class_is_named(tmp_path) -> None:
    (tmp_path / "plain.yaml").write_text("path: x\n")
    (tmp_path / "classed.yaml").write_text("class_path: a.B\n")
    plain, classed = f"--data={tmp_path / 'plain.yaml'}", f"--data={tmp_path / 'classed.yaml'}"
    assert named_class("data", ["fit", plain]) is None
    assert named_class("data", ["fit", classed]) == "a.B"
    assert named_class("data", ["fit", classed, plain]) == "a.B"
    assert named_class("data", ["fit", "--data={path: x}"]) is None
    assert named_class("data", ["fit", "--config={data: {class_path: a.B}, model: {}}"]) == "a.B"
    assert named_class("model", ["fit", "--config={data: {class_path: a.B}, model: {}}"]) is None
    assert named_class("data", ["fit", classed, "--data", "c.D"]) == "c.D"


def test_data_that_a_search_cannot_take_is_told() -> None:
    class Plain(LightningDataModule):
        songs = ()

    check_data(Plain(), trains=False)
    check_data(SongData("nowhere"), trains=True)  # whose songs are not read for that
    with pytest.raises(ValueError, match=r"data: Plain lacks clips, steps_per_stage, which a search needs\. HINT: "):
        check_data(Plain(), trains=True)


@pytest.mark.long
def test_modules_of_the_users_are_found_by_the_installed_script_too(tmp_path) -> None:
    """Python puts the folder of a script, not the working folder, where it looks for modules first."""
    script = tmp_path / "bin" / "mixgraph"
    script.parent.mkdir()
    script.write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom mixgraph.__main__ import main\nmain()\n")
    (tmp_path / "my_module.py").write_text("print('imported', flush=True)\n")
    words = [sys.executable, str(script), "fit", "--import", "my_module", "--config=missing.yaml"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == "imported\n", done.stderr
    assert done.stderr.startswith("mixgraph: config: missing.yaml is no file")


def test_demo_song_is_found_from_anywhere(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    tracks = shipped.song_path("mixgraph/songs/demo_potassium/tracks")
    assert len(list(tracks.glob("*.flac"))) == 6
    assert shipped.song_path("mixgraph/songs/other") == Path("mixgraph/songs/other")
    (tmp_path / "mixgraph/songs/demo_potassium").mkdir(parents=True)
    assert shipped.song_path("mixgraph/songs/demo_potassium") == Path("mixgraph/songs/demo_potassium")


def test_every_package_is_in_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    outside = {f"mixgraph._shipped.{name}": name for name in ("configs", "tools")}
    assert settings["package-dir"] == outside
    folders = {
        p.parent for root in ("mixgraph", "callbacks", "datamodules", "tools") for p in ROOT.glob(f"{root}/**/*.py")
    }
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    expected = {f"mixgraph._shipped.{name}" if name.split(".")[0] == "tools" else name for name in names}
    assert set(settings["packages"]) == expected | {"mixgraph._shipped.configs"}
    assert all((ROOT / name / "py.typed").is_file() for name in ("mixgraph", "callbacks", "datamodules"))


def test_names_of_the_package(tmp_path) -> None:
    assert mixgraph.IterativePruning is IterativePruning
    assert mixgraph.SongData is SongData
    assert dir(mixgraph) == sorted([*mixgraph.__all__, "__version__"])
    assert all(hasattr(mixgraph, name) for name in dir(mixgraph))
    with pytest.raises(AttributeError, match=r"has no attribute 'Nothing'; it has .*ConsoleModule"):
        _ = mixgraph.Nothing


@pytest.mark.long
def test_packages_of_the_same_name_do_no_harm(tmp_path) -> None:
    """In a script whose folder has `callbacks` and `datamodules` of its own, both are had."""
    for name in ("callbacks", "datamodules"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = 1\n")
    code = """
from mixgraph import IterativePruning, SongData, SyntheticSongData
import callbacks, datamodules
assert callbacks.MINE == datamodules.MINE == 1
assert issubclass(SyntheticSongData, SongData)
print(IterativePruning.__module__, SongData.__module__)
"""
    printed = python(code, tmp_path)
    assert printed == "mixgraph.callbacks.iterative_pruning mixgraph.datamodules.song\n"


MY_PARTS = """
import torch
from mixgraph import ConsoleModule, SongData
from mixgraph.processors import Processor, register
from mixgraph.processors.parameter import decibels

@register
class MyGain(Processor):
    name, letter, linear, channels, keeps_mono, identity = "my_gain", "M", True, "mid_side", True, {"log_gain": 0.0}

    @property
    def specification(self):
        return {"log_gain": decibels((1,), -60, 24, "gain of the mid channel")}

    def impulse_response(self, parameters):
        mid = torch.exp(parameters["log_gain"])
        return torch.stack((mid, torch.ones_like(mid)), dim=1)

class MyConsole(ConsoleModule):
    def __init__(self, *, colour: str = "red", **kwargs):
        super().__init__(**kwargs)
        self.colour = colour

class MyData(SongData):
    pass
"""


def command(*words: str, folder: Path) -> subprocess.CompletedProcess:
    """Runs `python -m mixgraph` in a folder."""
    line = [sys.executable, "-m", "mixgraph", *words]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def own_classes(tiny_song, tmp_path_factory) -> Path:
    """A folder with a processor, a console and data of the user's, and with packages that have the names of ours.

    A search with all of them was killed in its second stage there, and went on to its result, `mine`.
    """
    folder = tmp_path_factory.mktemp("own")
    for name in ("callbacks", "datamodules", "tools", "configs"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(HIDING)
    (folder / "my_parts.py").write_text(MY_PARTS)
    # The classes are named after the configuration whose settings they take.
    words = ["fit", str(tiny_song), "--import", "my_parts", "--config", "demo.yaml", "--model=MyConsole"]
    words += ["--data", "my_parts.MyData", *SMALL, "--model.track_chain=gM", "--model.colour=blue"]
    line = [sys.executable, "-m", "mixgraph", *words, "--result.path=mine"]
    search = subprocess.Popen(line, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    checkpoint, end = folder / "mine.partial" / "stage.ckpt", time.monotonic() + 120
    while not checkpoint.exists():
        assert search.poll() is None, search.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.002)
    search.kill()
    search.communicate()
    words = ["--import", "my_parts", "--config", "mine.partial/config.yaml", "--ckpt_path", str(checkpoint)]
    done = command("fit", *words, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.long
def test_classes_of_the_users_keep_the_searchs_command_line(own_classes) -> None:
    saved = yaml.safe_load((own_classes / "mine" / "config.yaml").read_text())
    assert saved["model"]["class_path"] == "my_parts.MyConsole"
    assert saved["model"]["init_args"]["colour"] == "blue"
    assert saved["model"]["init_args"]["loss"]["denominator"] == "target"
    assert saved["model"]["init_args"]["regularizers"]["sparsity_ramp_steps"] == 100  # of demo.yaml
    assert saved["data"]["class_path"] == "my_parts.MyData"
    assert saved["pruning"]["rounds"] == 1
    log = (own_classes / "mine" / "search.log").read_text()
    assert "The search goes on after stage 1: 2 stages" in log


@pytest.mark.long
def test_a_processor_of_the_users_is_searched_rendered_and_shown(own_classes, tiny_song) -> None:
    graph = json.loads((own_classes / "mine" / "graph.json").read_text())
    assert {"gain_panning", "my_gain"} == {node["type"] for node in graph["nodes"]} - {"input", "mix", "output"}
    assert re.search(r"\n  my gain +\d+%.* mid [+-]\d", (own_classes / "mine" / "settings.txt").read_text())
    words = ("render", "mine", "--tracks", str(tiny_song), "--out", "again.flac")
    done = command(*words, folder=own_classes)
    assert done.returncode == 1
    assert "unknown processor type 'my_gain'" in done.stderr
    assert done.stderr.endswith("One of yours needs --import MODULE\n")
    done = command(*words, "--import", "my_parts", folder=own_classes)
    assert done.returncode == 0, done.stderr
    again, first = (soundfile.read(own_classes / name)[0] for name in ("again.flac", "mine/mix_found.flac"))
    assert abs(again - first).max() < 2e-6
