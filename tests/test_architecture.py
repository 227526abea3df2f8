"""The folder list is the architecture: imports point inward."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OUTER = {"callbacks", "datamodules", "tools", "tests", "configs"}
LIGHTNING = {"mixgraph/module.py", "mixgraph/finite_training.py", "mixgraph/search.py"}
CLI = "mixgraph/cli/"
# Inside mixgraph: what each package may import of the others.
ALLOWED = {
    "dsp": set(),
    "processors": {"dsp"},
    "graph": {"processors", "files", "names"},
    "render": {"dsp", "processors", "graph"},
    "losses": {"dsp", "render"},
    "pruning": {"processors", "graph", "render", "losses"},
    "results": {"files", "locks"},
    "songs": {"dsp", "processors", "graph", "render", "losses", "pruning", "files", "locks", "names", "shipped"},
    "recovery": {"dsp", "processors", "graph"},
    "report": {"graph", "dsp", "files", "processors", "songs"},
    "dataset": {"graph", "recovery", "results", "songs", "files"},
    "generation": {"processors", "graph", "render", "losses", "pruning", "songs", "threads"},
    "estimators": {
        "processors",
        "graph",
        "render",
        "losses",
        "recovery",
        "songs",
        "shards",
        "threads",
        "checkpoints",
        "files",
    },
    "shards": {"processors", "graph", "render", "songs", "report", "results", "found", "files", "names"},
}


SIBLINGS = {name: {p.stem for p in (ROOT / name).glob("*.py")} for name in ("callbacks", "datamodules")}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # `callbacks` and `datamodules` are also loaded under other names, see `mixgraph.shipped.neighbour`.
            assert node.level == (node.module in SIBLINGS.get(path.parent.name, ())), f"{path}: {node.module}"
            found.add(node.module or "")
    return found


MODULES = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "mixgraph").rglob("*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_inward(name: str) -> None:
    found = imports(ROOT / name)
    roots = {module.split(".")[0] for module in found}
    if name != "mixgraph/__init__.py" and not name.startswith(CLI):  # the first names them for type checkers alone
        assert not roots & OUTER, f"{name} imports {roots & OUTER}"
    if name not in LIGHTNING and not name.startswith(("mixgraph/estimators/", CLI)):
        assert "lightning" not in roots, f"{name} imports lightning"
    package = name.split("/")[1]
    if package in ALLOWED:
        inner = {m.split(".")[1] for m in found if m.startswith("mixgraph.")} - {package}
        assert inner <= ALLOWED[package], f"{name} imports {inner - ALLOWED[package]}"


@pytest.mark.parametrize("name", ["callbacks", "datamodules"])
def test_outer_packages_do_not_import_tools_or_tests(name: str) -> None:
    for path in sorted((ROOT / name).rglob("*.py")):
        roots = {module.split(".")[0] for module in imports(path)}
        assert not roots & {"tools", "tests"}, path
