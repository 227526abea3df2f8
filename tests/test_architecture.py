"""The folder list is the architecture: every file of mixgraph has its place, and imports point inward."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OUTER = {"callbacks", "datamodules", "tools", "tests", "configs"}
ALLOWED = {
    # From the ground up: a package, or a file beside the packages, and what it may import of the others.
    "names": set(),
    "registry": {"names"},
    "shipped": {"names"},
    "system": set(),
    "checkpoints": {"system"},
    "onnx_file": {"system"},
    "dsp": set(),
    "effects": set(),
    "processors": {"dsp", "registry", "names"},
    "graph": {"processors", "system", "names"},
    "render": {"dsp", "processors", "graph"},
    "losses": {"dsp", "render", "registry"},
    "pruning": {"processors", "graph", "render", "losses", "registry"},
    "songs": {"dsp", "system", "names", "shipped"},
    "recovery": {"dsp", "processors", "graph"},
    "report": {"dsp", "processors", "graph", "songs", "system", "names"},
    "results": {"processors", "graph", "render", "losses", "pruning", "songs", "report", "system", "names"},
    "shards": {"processors", "graph", "render", "songs", "report", "results", "system", "names"},
    "estimators": {
        "processors",
        "graph",
        "render",
        "losses",
        "recovery",
        "songs",
        "shards",
        "checkpoints",
        "onnx_file",
        "system",
    },
    "search": {
        "dsp",
        "processors",
        "graph",
        "render",
        "losses",
        "pruning",
        "songs",
        "recovery",
        "estimators",
        "checkpoints",
        "names",
    },
    "sweeps": {"songs", "report", "results", "system", "names"},
    "page": {
        "dsp",
        "processors",
        "graph",
        "render",
        "songs",
        "recovery",
        "report",
        "search",
        "results",
        "system",
        "names",
    },
    "exports": {
        "dsp",
        "processors",
        "graph",
        "render",
        "songs",
        "report",
        "results",
        "system",
        "names",
        "registry",
        "shipped",
    },
    "demixing": {"dsp", "songs", "results", "checkpoints", "onnx_file", "registry", "system", "names"},
    "style": {
        "shipped",
        "dsp",
        "processors",
        "graph",
        "render",
        "losses",
        "pruning",
        "songs",
        "recovery",
        "report",
        "search",
        "results",
        "system",
        "names",
    },
    "blind": {"dsp", "losses", "songs", "results", "demixing", "system", "names"},
    "synthetic": {"dsp", "effects", "processors", "graph", "render", "losses", "pruning", "songs", "system"},
    "automix": {
        "dsp",
        "processors",
        "graph",
        "render",
        "songs",
        "report",
        "results",
        "estimators",
        "page",
        "style",
        "synthetic",
        "system",
    },
    "dataset": {"graph", "recovery", "search", "results", "songs", "system"},
    "paper": {"dataset", "results", "report", "losses", "render", "graph", "processors", "songs", "system", "names"},
}
"""Above all of these stand the three doors: the command line, `python -m mixgraph`, and the names of the package."""

DOORS = ("mixgraph/cli/", "mixgraph/__main__.py", "mixgraph/__init__.py")
MAY_IMPORT_LIGHTNING = (
    "mixgraph/search/module.py",
    "mixgraph/search/checks.py",
    "mixgraph/search/whole_songs.py",
    "mixgraph/search/finite_training.py",
    "mixgraph/search/run.py",
    "mixgraph/estimators/",
    "mixgraph/demixing/module.py",
    "mixgraph/style/module.py",
    "mixgraph/cli/",
)
SIBLINGS = {name: {p.stem for p in (ROOT / name).glob("*.py")} for name in ("callbacks", "datamodules")}


def imported_modules(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # `callbacks` and `datamodules` are also loaded under other names, see `mixgraph.shipped.neighbour`.
            assert node.level == (node.module in SIBLINGS.get(path.parent.name, ())), f"{path}: {node.module}"
            modules |= {f"mixgraph.{alias.name}" for alias in node.names} if node.module == "mixgraph" else set()
            modules.add(node.module or "")
    return modules


OF_OUR_OWN = {"mixgraph/page/web_audio.py", "mixgraph/page/document.py", "mixgraph/report/confidence.py"}
"""They read files that come with the package."""


def test_texts_of_others_are_read_in_bounded_memory() -> None:
    files = [path for name in ("mixgraph", "callbacks", "datamodules") for path in (ROOT / name).rglob("*.py")]
    unbounded = {path.relative_to(ROOT).as_posix() for path in files if ".read_text(" in path.read_text()}
    assert unbounded == OF_OUR_OWN, "mixgraph.system.files.read_text reads a text"


def test_every_command_refuses_abbreviations_of_options() -> None:
    for folder in ("mixgraph", "callbacks", "datamodules", "tools"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
            lenient = [call.lineno for call in calls if ast.unparse(call.func).endswith("ArgumentParser")]
            assert not lenient, f"{path}: {lenient}: mixgraph.cli.command_parser.CommandParser is needed"


MODULES = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "mixgraph").rglob("*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_inward(name: str) -> None:
    modules = imported_modules(ROOT / name)
    roots = {module.split(".")[0] for module in modules}
    if not name.startswith(MAY_IMPORT_LIGHTNING):
        assert "lightning" not in roots, f"{name} imports lightning"
    if name.startswith(DOORS):
        return
    assert not roots & OUTER, f"{name} imports {roots & OUTER}"
    package = name.split("/")[1].removesuffix(".py")
    assert package in ALLOWED, f"{name}: {package} has no place yet; say in ALLOWED what it may import"
    inner = {m.split(".")[1] for m in modules if m.startswith("mixgraph.")} - {package}
    assert inner <= ALLOWED[package], f"{name} imports {inner - ALLOWED[package]}"


def test_the_table_lists_what_there_is_from_the_ground_up() -> None:
    there = {path.stem for path in (ROOT / "mixgraph").iterdir() if path.name[0] not in "_." and path.stem != "py"}
    assert set(ALLOWED) == there - {"cli"}
    standing: set[str] = set()
    for package, allowed in ALLOWED.items():
        assert allowed <= standing, f"{package} may import {allowed - standing}, which stand above it"
        standing.add(package)


@pytest.mark.parametrize("name", ["callbacks", "datamodules"])
def test_outer_packages_do_not_import_tools_or_tests(name: str) -> None:
    for path in sorted((ROOT / name).rglob("*.py")):
        roots = {module.split(".")[0] for module in imported_modules(path)}
        assert not roots & {"tools", "tests"}, path
