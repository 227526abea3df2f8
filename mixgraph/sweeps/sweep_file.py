"""A sweep file, as Weights & Biases reads it, checked before its first trial; messages name the lines."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mixgraph.names import did_you_mean, shown_value
from mixgraph.sweeps.space import Choice, Parameter, Range
from mixgraph.sweeps.yaml_lines import Located, Problems, read_located

METHODS = ("grid", "random", "bayes")
_KEYS = (
    "name", "description", "project", "entity", "program", "method", "metric", "parameters", "early_terminate",
    "command", "run_cap",
)  # fmt: skip
_UNIFORM, _WHOLE, _STEPS = "uniform", "int_uniform", "q_uniform"
_LOG, _LOG_STEPS = "log_uniform_values", "q_log_uniform_values"
_DISTRIBUTIONS = (_UNIFORM, _WHOLE, _STEPS, _LOG, _LOG_STEPS)
_LISTS = ("constant", "categorical")
_ENVIRONMENT = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")
_PROGRAM = "${program}"
_TRIALS_OWN = ("result.path", "result.overwrite", "ckpt_path", "trainer.logger", "trainer.default_root_dir")
_USERS_OWN = ("--import", "--allow-env")
"""The words by which a user trusts code and files of others, so that no file has them."""


@dataclass(frozen=True)
class Metric:
    """The figure that trials are compared by.

    Attributes:
        name: its name, as it is logged.
        goal: whether small or large values are good.
    """

    name: str
    goal: Literal["minimize", "maximize"]

    def best(self, values: Sequence[float]) -> float:
        """Returns the best of several values."""
        return min(values) if self.goal == "minimize" else max(values)

    def key(self, value: float) -> float:
        """Returns a number that is smallest for the best value."""
        return value if self.goal == "minimize" else -value


@dataclass(frozen=True)
class Bands:
    """When bad trials are stopped: at numbers of stages (or epochs) where those that are not among the best 1/eta end.

    Attributes:
        first: the stage after which trials are compared for the first time.
        eta: each later comparison is after this many times as many stages.
    """

    first: int
    eta: int


@dataclass(frozen=True)
class SweepFile:
    """A sweep.

    Attributes:
        path: the path of the file.
        method: `grid`, `random` or `bayes`.
        metric: the figure that trials are compared by.
        parameters: what is varied, in the order of the file.
        words: the words of the command after the program, such as `fit --config configs/demo.yaml`.
        words_line: the line on which the command stands.
        run_cap: the largest number of trials; None where it is not stated.
        bands: when bad trials are stopped; None where they are not.
        content: the whole file, as plain YAML gives it.
        added: how many of the last words are not of the file, but of the command line of `sweep`.
    """

    path: Path
    method: Literal["grid", "random", "bayes"]
    metric: Metric
    parameters: tuple[Parameter, ...]
    words: tuple[str, ...]
    words_line: int
    run_cap: int | None
    bands: Bands | None
    content: dict[str, Any]
    added: int = 0


def read_sweep(path: Path, allow_env: bool = False) -> SweepFile:
    """Reads and checks a sweep file; whether `fit` takes its parameters is checked by `tools.sweeps.check`.

    Args:
        path: the path of the file.
        allow_env: whether its command may ask for variables of the environment.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be used; the message has a line for each problem, with the number of its line.
    """
    problems = Problems(path)
    root = read_located(path, problems)
    if not root.is_mapping:
        raise ValueError(f"{path}:{root.line}: a sweep is needed, with method, metric, parameters and command")
    reader = _Reader(problems, allow_env)
    for name, entry in (root.entries or {}).items():
        if name not in _KEYS:
            problems.add(entry.line, f"{name}: no part of a sweep has this name.{did_you_mean(name, _KEYS)}")
    method = reader.choice(root, "method", METHODS)
    metric = reader.metric(root)
    parameters = reader.parameters(root, method)
    words, line = reader.command(root)
    run_cap = reader.count(root, "run_cap", None)
    bands = reader.bands(root)
    problems.raise_if_any()
    return SweepFile(path, method, metric, parameters, words, line, run_cap, bands, dict(root.value))  # type: ignore[arg-type]


class _Reader:
    """Takes the parts of a sweep file; what is wrong is added to the problems."""

    def __init__(self, problems: Problems, allow_env: bool) -> None:
        self.problems, self.allow_env = problems, allow_env

    def choice(self, parent: Located, name: str, allowed: Sequence[str], default: str = "") -> str:
        entry = parent.get(name)
        if entry is None:
            if not default:
                self.problems.add(parent.line, f"{name}: one of {', '.join(allowed)} is needed, got none")
            return default
        if entry.value is not None and entry.value not in allowed:
            hint = did_you_mean(str(entry.value), allowed)
            self.problems.add(
                entry.line, f"{name}: one of {', '.join(allowed)} is needed, got {shown_value(entry.value)}.{hint}"
            )
        return str(entry.value)

    def count(self, parent: Located, name: str, default: int | None, least: int = 1) -> int | None:
        entry = parent.get(name)
        if entry is None or entry.value is None:
            return default
        if isinstance(entry.value, bool) or not isinstance(entry.value, int) or entry.value < least:
            needed = f"a whole number from {least} is needed"
            self.problems.add(entry.line, f"{name}: {needed}, got {shown_value(entry.value)}")
            return default
        return int(entry.value)

    def metric(self, root: Located) -> Metric:
        entry = root.get("metric")
        name = entry.get("name") if entry is not None else None
        if entry is None or not entry.is_mapping or name is None:
            line = root.line if entry is None else entry.line
            self.problems.add(line, "metric: {name: NAME, goal: minimize or maximize} is needed")
            return Metric("", "minimize")
        self.known(entry, "metric", ("name", "goal"))
        goal = self.choice(entry, "goal", ("minimize", "maximize"), "minimize")
        return Metric(str(name.value), goal)  # type: ignore[arg-type]

    def known(self, parent: Located, label: str, names: Sequence[str]) -> None:
        for name, entry in (parent.entries or {}).items():
            if name not in names:
                there_are = f"there {'is' if len(names) == 1 else 'are'} {', '.join(names)}"
                self.problems.add(entry.line, f"{label}.{name}: {there_are}.{did_you_mean(name, names)}")

    def bands(self, root: Located) -> Bands | None:
        entry = root.get("early_terminate")
        if entry is None:
            return None
        if not entry.is_mapping:
            self.problems.add(entry.line, "early_terminate: {type: hyperband, min_iter: STAGES} is needed")
            return None
        self.known(entry, "early_terminate", ("type", "min_iter", "max_iter", "s", "eta", "strict"))
        self.choice(entry, "type", ("hyperband",))
        eta = self.count(entry, "eta", 3, least=2) or 3
        first, last = self.count(entry, "min_iter", None), self.count(entry, "max_iter", None)
        if (first is None) == (last is None):
            self.problems.add(entry.line, "early_terminate: either min_iter or max_iter (with s) is needed")
            return None
        if first is None and last is not None:
            first = max(1, last // eta ** (self.count(entry, "s", 1) or 1))
        return Bands(first or 1, eta)

    def parameters(self, root: Located, method: str) -> tuple[Parameter, ...]:
        entry = root.get("parameters")
        if entry is None or not entry.entries:
            line = root.line if entry is None else entry.line
            self.problems.add(line, "parameters: at least one is needed, got none")
            return ()
        made = (self.parameter(name, inner, method) for name, inner in entry.entries.items())
        return tuple(parameter for parameter in made if parameter is not None)

    def parameter(self, name: str, entry: Located, method: str) -> Parameter | None:
        label = f"parameters.{name}"
        if name in _TRIALS_OWN:
            self.problems.add(entry.line, f"{label}: each trial has its own. HINT: leave it out")
            return None
        if f"--{name}" in _USERS_OWN:
            self.problems.add(entry.line, f"{label}: {_not_of_a_file([name])}")
            return None
        if entry.get("parameters") is not None:
            self.problems.add(entry.line, f"{label}: parameters in parameters are not read. HINT: {name}.NAME: ...")
            return None
        if not entry.is_mapping:
            if entry.value is not None:
                self.problems.add(entry.line, f"{label}: values: [...], value: ..., or min and max are needed")
            return None
        self.known(entry, label, ("value", "values", "probabilities", "min", "max", "q", "distribution"))
        if entry.get("value") is not None or entry.get("values") is not None:
            return self.choice_of_values(name, label, entry, method)
        return self.range(name, label, entry, method)

    def choice_of_values(self, name: str, label: str, entry: Located, method: str) -> Choice | None:
        value, values = entry.get("value"), entry.get("values")
        self.choice(entry, "distribution", _LISTS, "categorical")
        if value is not None:
            return Choice(name, entry.line, (value.value,), (value.line,))
        assert values is not None
        if values.items is None or not values.items:
            self.problems.add(values.line, f"{label}: at least one value is needed, got none")
            return None
        plain = tuple(item.value for item in values.items)
        for number, item in enumerate(values.items):
            if any(item.value == other and type(item.value) is type(other) for other in plain[:number]):
                self.problems.add(item.line, f"{label}: values that differ are needed, got {item.value!r} twice")
        odds = self.probabilities(label, entry, len(plain), method)
        return Choice(name, entry.line, plain, tuple(item.line for item in values.items), odds)

    def probabilities(self, label: str, entry: Located, count: int, method: str) -> tuple[float, ...] | None:
        odds = entry.get("probabilities")
        if odds is None:
            return None
        numbers = [v for v in odds.value if _is_number(v)] if isinstance(odds.value, list) else []
        if len(numbers) != count or min(numbers) < 0 or not math.isclose(sum(numbers), 1, abs_tol=1e-6):
            self.problems.add(odds.line, f"{label}.probabilities: {count} numbers whose sum is 1 are needed")
        elif method != "random":
            self.problems.add(odds.line, f"{label}.probabilities: are for method: random, got {method}")
        return tuple(numbers)

    def range(self, name: str, label: str, entry: Located, method: str) -> Range | None:
        low, high = self.number(label, entry, "min"), self.number(label, entry, "max")
        if low is None or high is None:
            return None
        whole = isinstance(low, int) and isinstance(high, int)
        kind = self.choice(entry, "distribution", _DISTRIBUTIONS, _WHOLE if whole else _UNIFORM)
        if low >= high:
            self.problems.add(entry.line, f"{label}: min below max is needed, got {low} and {high}")
        log = kind in (_LOG, _LOG_STEPS)
        if log and low <= 0:
            self.problems.add(entry.line, f"{label}: {kind} needs bounds above 0, got {low}")
        if kind == _WHOLE and not whole:
            self.problems.add(entry.line, f"{label}: {kind} needs whole bounds, got {low} and {high}")
        q = self.number(label, entry, "q") if kind in (_STEPS, _LOG_STEPS) else None
        step = 1 if q is None and kind in (_STEPS, _LOG_STEPS) else q
        if step is not None and step <= 0:
            self.problems.add(entry.line, f"{label}.q: a number above 0 is needed, got {step}")
            return None
        made = Range(name, entry.line, low, high, kind == _WHOLE, log, step)
        if step is not None and low < high and not made.listed():
            self.problems.add(entry.line, f"{label}: no multiple of {step:g} is from {low} to {high}")
        if method == "grid" and made.step is None and not made.whole:
            hint = "HINT: values: [...], or distribution: q_uniform with q"
            self.problems.add(entry.line, f"{label}: a grid has an end, and this range has none. {hint}")
        if method == "bayes" and log and step is not None:
            self.problems.add(entry.line, f"{label}: bayes knows no {kind}. HINT: {_LOG}, or values: [...]")
        return made

    def number(self, label: str, entry: Located, name: str) -> float | None:
        inner = entry.get(name)
        if inner is None:
            if name != "q":
                self.problems.add(entry.line, f"{label}: values: [...], value: ..., or min and max are needed")
            return None
        if not _is_number(inner.value):
            text = inner.value
            hint = f" HINT: YAML takes {text} for a text; 1.0e-3 is a number" if isinstance(text, str) else ""
            if text is not None:
                self.problems.add(inner.line, f"{label}.{name}: a number is needed, got {shown_value(text)}.{hint}")
            return None
        return inner.value

    def command(self, root: Located) -> tuple[tuple[str, ...], int]:
        entry, program = root.get("command"), root.get("program")
        if program is not None and program.value != "mixgraph":
            self.problems.add(program.line, f"program: mixgraph is needed, got {shown_value(program.value)}")
        if entry is None or entry.items is None or any(isinstance(item.value, list | dict) for item in entry.items):
            line = root.line if entry is None else entry.line
            self.problems.add(line, "command: a list of words is needed, with ${program}, fit and ${args}")
            return (), line
        words = [str(item.value) for item in entry.items]
        after = words[words.index(_PROGRAM) + 1 :] if _PROGRAM in words else []
        if not after or after[0] != "fit" or "${args}" not in after:
            self.problems.add(entry.line, "command: ${program}, then fit, then options and ${args}, are needed")
            return (), entry.line
        if refused := [word for word in after if word.partition("=")[0] in _USERS_OWN]:
            self.problems.add(entry.line, f"command: {_not_of_a_file(refused)}")
            return (), entry.line
        return tuple(self.plain(word, entry.line) for word in after if word != "${args}"), entry.line

    def plain(self, word: str, line: int) -> str:
        """Puts in the variables of the environment, as an agent of Weights & Biases does."""
        for name in _ENVIRONMENT.findall(word):
            if not self.allow_env:
                hint = "HINT: --allow-env, if you trust the file"
                self.problems.add(line, f"command: ${{envvar:{name}}} asks for the environment. {hint}")
            elif name not in os.environ:
                self.problems.add(line, f"command: the variable {name} of the environment is not set")
        return _ENVIRONMENT.sub(lambda match: os.environ.get(match[1], match[1]), word)


def _not_of_a_file(words: Sequence[str]) -> str:
    return f"{', '.join(words)}: a file does not say whom you trust. HINT: give it on the command line of sweep"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
