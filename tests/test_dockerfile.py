"""The Dockerfile, read as text: no engine builds it here. What it copies is there, and its steps are the right ones."""

import json
import re
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parent.parent


def instructions() -> list[tuple[str, str]]:
    """The instructions and their words, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]  # type: ignore[misc]


def first(name: str, words: str = "") -> int:
    return next(i for i, (kind, rest) in enumerate(instructions()) if kind == name and words in rest)


def test_dependencies_come_before_the_code_and_in_tested_versions() -> None:
    steps = instructions()
    assert steps[:2] == [("ARG", "BASE=python:3.11-slim"), ("FROM", "${BASE}")]
    assert {kind for kind, _ in steps} <= {"ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT", "CMD"}
    copied, installed, code = first("COPY", "requirements"), first("RUN", "--requirement"), first("COPY", ". .")
    assert copied < installed < code < first("RUN", "--no-deps --no-build-isolation .")
    assert "--require-hashes --requirement requirements.lock" in steps[installed][1]
    for name in steps[copied][1].split()[:-1]:
        assert (ROOT / name).is_file()


def test_it_is_not_root_and_starts_the_program() -> None:
    steps = instructions()
    user = first("USER")
    assert steps[user][1] not in ("root", "0")
    assert f"useradd --create-home --uid 1000 {steps[user][1]}" in steps[first("RUN", "useradd")][1]
    assert all(kind != "RUN" for kind, _ in steps[user:])
    assert json.loads(steps[first("ENTRYPOINT")][1]) == ["python", "-m", "mixgraph"]


def test_nothing_that_the_installation_needs_is_left_out() -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line]
    for name in (
        "pyproject.toml",
        "requirements.lock",
        "README.md",
        "LICENSE",
        "mixgraph",
        "configs",
        "tools",
        "callbacks",
    ):
        assert (ROOT / name).exists()
        assert not any(fnmatch(name, pattern) for pattern in ignored), name
    assert {".git", ".venv", "results"} <= set(ignored)
