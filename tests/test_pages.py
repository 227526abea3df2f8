"""What the pages name exists: modules and their members, files, options, commands and links."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import shlex
from pathlib import Path

import pytest

import mixgraph
from callbacks import IterativePruning, ResultFolder, TimeBudget
from datamodules import BlindData, SongData, StemData
from mixgraph.cli.commands import COMMANDS
from mixgraph.demixing import Demixer, DemixerLosses, Performance
from mixgraph.losses import LossSettings
from mixgraph.processors import registered
from mixgraph.search.module import ConsoleModule
from mixgraph.search.settings import OptimizerSettings, RegularizerSettings, RenderSettings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
GROUPS = {
    "model": ConsoleModule,
    "model.loss": LossSettings,
    "model.regularizers": RegularizerSettings,
    "model.optimizer": OptimizerSettings,
    "model.rendering": RenderSettings,
    "data": SongData,
    "pruning": IterativePruning,
    "result": ResultFolder,
    "time": TimeBudget,
}
OPTIONS = {f"{group}.{name}" for group, kind in GROUPS.items() for name in inspect.signature(kind).parameters}
NETWORKS = {"model": Demixer, "model.losses": DemixerLosses, "model.performance": Performance, "data": StemData}
OPTIONS |= {f"{group}.{name}" for group, kind in NETWORKS.items() for name in inspect.signature(kind).parameters}
OPTIONS |= {f"data.{name}" for name in inspect.signature(BlindData).parameters}
OPTION = re.compile(r"(?<![\w./])(?:--)?((?:model|data|pruning|result|time)\.[a-z_]+(?:\.[a-z_]+)*)\b(?![/.(]|\.\w)")
FOLDERS = ("mixgraph", "callbacks", "datamodules", "configs", "tools", "tests", "docs", ".ci")
DOTTED = re.compile(r"`((?:mixgraph|callbacks|datamodules|tools)(?:\.\w+)+)(?:\(\))?`")
COMMAND = re.compile(r"python -m (mixgraph(?: [a-z][a-z-]*)?|tools(?:\.\w+)+)")


def text_of(page: Path) -> str:
    """A page without the commands that measured its tables, which are those of their own commit."""
    return "\n".join(line for line in page.read_text().split("\n") if not line.startswith("*Measured by"))


def exists(path: str) -> bool:
    """Whether a dotted path is a module, or leads from one to a member."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            fields = {field.name for field in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else set()
            if not hasattr(thing, name):
                return name in fields
            thing = getattr(thing, name)
        return True
    return False


@pytest.fixture(params=PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def page(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_modules_and_members_exist(page: Path) -> None:
    assert [path for path in DOTTED.findall(text_of(page)) if not exists(path)] == []


def test_files_exist(page: Path) -> None:
    quoted = re.findall(r"`([\w.-]+/[\w./*-]*)`", text_of(page))
    mentioned = [path for path in quoted if path.split("/")[0] in FOLDERS and "NAME" not in path]
    assert [path for path in mentioned if not list(ROOT.glob(path.rstrip("/")))] == []


def test_links_lead_somewhere(page: Path) -> None:
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text())]
    local = [link for link in links if link and "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_options_exist(page: Path) -> None:
    words = re.findall(r"`[^`\n]+`|^    .*", text_of(page), re.MULTILINE)
    stated_options = {option for word in words for option in OPTION.findall(word)}
    stated_options = {option.removesuffix(".help") for option in stated_options}
    assert stated_options - OPTIONS - set(GROUPS) - {"model.optimizer.rate_factors.dry_wet"} == set()


def test_commands_exist(page: Path) -> None:
    commands = {command.name for command in COMMANDS}
    for name in COMMAND.findall(text_of(page)):
        program, _, command = name.partition(" ")
        assert exists(program), name
        assert not command or command in commands, name


def test_commands_of_the_tools_are_understood(page: Path) -> None:
    text = page.read_text().replace("\\\n", " ")  # commands of several lines
    for tool, arguments in re.findall(r"^    python -m (tools\.\w+) (.+)$", text, re.MULTILINE):
        module = importlib.import_module(tool)
        if hasattr(module, "parse"):
            module.parse(shlex.split(arguments))


def test_the_python_interface_has_every_public_name() -> None:
    words = set(re.findall(r"\w+", (ROOT / "docs" / "api.md").read_text()))
    assert set(mixgraph.__all__) <= words


def test_the_configuration_has_every_group_of_options() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    for group, kind in GROUPS.items():
        assert re.search(rf"^```{{option-table}} [\w.]+\.{kind.__name__} {group}$", text, re.MULTILINE), group


def test_the_guide_to_consoles_has_every_letter() -> None:
    text = (ROOT / "docs" / "guide" / "consoles.md").read_text()
    letters = set(re.findall(r"`(\w)`", text[text.index("## All processors") : text.index("```")]))
    # A processor of this package has a type id; tests elsewhere may have registered others.
    assert letters == {kind.letter for kind in registered().values() if kind.type_id is not None}


def test_the_front_page_has_every_package() -> None:
    listed_packages = set(re.findall(r"`mixgraph/(\w+)`", (ROOT / "README.md").read_text()))
    packages = {path.parent.name for path in (ROOT / "mixgraph").glob("*/__init__.py")}
    assert listed_packages == packages


@pytest.mark.long
def test_the_examples_of_the_guide_to_extensions_run(tiny_song: Path, tmp_path: Path, warm_python) -> None:
    guide = (ROOT / "docs" / "guide" / "extending.md").read_text()
    (tmp_path / "my_parts.py").write_text("\n\n".join(re.findall(r"```python\n(.*?)```", guide, re.DOTALL)))
    commands = re.findall(r"^    (python -m mixgraph fit my_song .*)$", guide, re.MULTILINE)
    settings = [word for command in commands for word in shlex.split(command)[5:] if word.startswith("--")]
    short = ["--data.steps_per_stage=1", "--pruning.console_stages=1", "--pruning.rounds=1", "--data.sample_rate=8000"]
    chain, sampler, order, front_end = (word for word in settings if word != "--import")
    for extension in ([chain, sampler], [order, front_end]):  # the sampler asks for no order
        words = ["mixgraph", "fit", str(tiny_song), "--import", "my_parts", *extension, *short]
        words += ["--model.subgroup_chain=g", "--result.path=result", "--result.overwrite=true"]
        done = warm_python.run(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    (command,) = re.findall(r"^    (python -m mixgraph export .*)$", guide, re.MULTILINE)
    words = [*shlex.split(command)[2:], "--tracks", str(tiny_song)]
    words[words.index("results/my_song")] = "result"
    done = warm_python.run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kick 0." in (tmp_path / "my_peaks" / "peaks.txt").read_text()
    (network,) = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    (tmp_path / "my_network.yaml").write_text(network.replace("my_song", str(tiny_song)))
    words = ["mixgraph", "fit", "--import", "my_parts", "--config", "my_network.yaml"]
    words += ["--data.init_args.steps_per_stage=2"]
    done = warm_python.run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "results" / "track_gains").rglob("*.ckpt"))
