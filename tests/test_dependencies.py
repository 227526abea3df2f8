"""What mixgraph depends on: bounded, pinned with hashes, used, and loaded only where it is used."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODULES = {"pyyaml": "yaml"}
BY_OTHERS = {"wandb"}  # imported by Lightning's logger
OPTIONAL = {"ray", "optuna", "museval", "onnx", "onnxscript", "onnxruntime"}
"""Modules of extras; each import of them stands in a function."""
NOT_BY_ITSELF = {*OPTIONAL, *("lightning", "wandb", "webdataset", "matplotlib", "tensorboard", "rich", "omegaconf")}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: str) -> dict[str, str]:
    return {normal(n): v for n, v in re.findall(r"^([\w.-]+)==([\w.+]+)", (ROOT / file).read_text(), re.MULTILINE)}


def requirements(lines: list[str]) -> dict[str, str]:
    parts = [re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?(.*)", line) for line in lines]
    return {normal(part[1]): part[2] for part in parts if part is not None}


def test_every_dependency_has_a_lowest_and_a_highest_version_that_the_tested_one_is_between() -> None:
    lines = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    others = [line for line in lines if not line.startswith("mixgraph[")]
    assert len(others) > 40
    assert not [line for line in others if "==" not in line and not (">=" in line and "<" in line)]
    tested = pins("constraints.txt")
    wrong = [
        f"{name}{bounds}"
        for name, bounds in requirements(others).items()
        if name in tested and not SpecifierSet(bounds).contains(tested[name], prereleases=True)
    ]
    assert not wrong


def test_the_lock_has_all_dependencies_with_hashes_in_the_tested_versions() -> None:
    text, locked, tested = (ROOT / "requirements.lock").read_text(), pins("requirements.lock"), pins("constraints.txt")
    assert requirements(PROJECT["dependencies"]).keys() <= locked.keys()
    entries = re.split(r"\n(?=[\w])", text.partition("requirements.lock\n")[2])
    assert len(entries) == len(locked)
    assert all("--hash=sha256:" in entry for entry in entries)
    assert {name: tested[name] for name in locked if name in tested} == {n: v for n, v in locked.items() if n in tested}
    assert locked.keys() - tested.keys() <= {"colorama", "setuptools"}  # of another system; a part of every Python
    assert "://" not in text


@pytest.fixture(scope="module")
def imported() -> dict[str, set[bool]]:
    """The modules that our packages import, and whether they do so as soon as they are loaded."""
    modules: dict[str, set[bool]] = {}
    for path in (file for name in ("mixgraph", "callbacks", "datamodules") for file in (ROOT / name).rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in names:
                modules.setdefault(name.partition(".")[0], set()).add(node in tree.body)
    return modules


def test_what_is_imported_is_declared_and_what_is_declared_is_imported(imported) -> None:
    ours = {"mixgraph", "callbacks", "datamodules", "tools"}
    others = imported.keys() - sys.stdlib_module_names - ours
    declared = {MODULES.get(name, name.replace("-", "_")) for name in requirements(PROJECT["dependencies"])}
    assert declared - others == BY_OTHERS
    assert others - declared <= OPTIONAL | {"PIL"}  # Pillow, which matplotlib needs
    assert not [name for name in OPTIONAL & others if True in imported[name]]


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import mixgraph, mixgraph.__main__", {*NOT_BY_ITSELF, "torch", "numpy", "numba", "scipy"}),
        pytest.param(
            "from mixgraph import build_console, load_result, load_song, read_shards, render_song",
            NOT_BY_ITSELF,
            marks=pytest.mark.long,
        ),
    ],
)
def test_an_import_loads_nothing_that_it_does_not_use(code, unwanted) -> None:
    line = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert not unwanted & {name.partition(".")[0] for name in done.stdout.split()}
