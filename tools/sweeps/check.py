"""Checks, before the first trial of a sweep, that `fit` takes its command and every value of its parameters."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from callbacks import IterativePruning
from mixgraph.cli.arguments import env_is_allowed
from mixgraph.cli.commands import PROGRAM
from mixgraph.names import uninterpolated
from mixgraph.search.settings import with_defaults
from mixgraph.shipped import song_path
from mixgraph.sweeps.figures import SEARCH_METRICS
from mixgraph.sweeps.space import Choice, Parameter, Values
from mixgraph.sweeps.sweep_file import SweepFile
from mixgraph.sweeps.yaml_lines import Problems
from mixgraph.system.files import json_text
from tools.dataset.build import printed_settings

PATH = "data.path"
_END = "All options: "
_PROGRAM_NAME = re.compile(rf"^{re.escape(PROGRAM)} [a-z]+: ")
_ENVIRONMENT = re.compile(r"\$\{oc\.env:(\w+)\}")


def option_words(values: Values) -> list[str]:
    """Returns the options of `fit` that set the parameters of a trial; paths of songs become absolute."""
    return [f"--{name}={_text(name, value)}" for name, value in values.items()]


def resolve_sweep(sweep: SweepFile) -> dict[str, Any]:
    """Returns all settings of the trials; those that the parameters set have their first values.

    Raises:
        ValueError: `fit` does not take the command or a value; the message has a line for each, with the file's line.
            What is not of the file is told as standing after `--`.
    """
    problems = Problems(sweep.path)
    probes = {parameter.name: parameter.probes() for parameter in sweep.parameters}
    first = {name: values[0][0] for name, values in probes.items()}
    settings, reason = _resolve(sweep.words, first)
    if settings is None:
        _name_culprits(sweep, first, reason, problems)
        problems.raise_if_any()
    assert settings is not None
    _check_metric(sweep, settings, problems)
    # The k-th values of all parameters at once; one by one only where that is refused.
    for k in range(1, max(map(len, probes.values()))):
        chosen = {name: values[min(k, len(values) - 1)][0] for name, values in probes.items()}
        if _resolve(sweep.words, chosen)[0] is not None:
            continue
        for name, values in probes.items():
            value, line = values[min(k, len(values) - 1)]
            if (wrong := _resolve(sweep.words, first | {name: value})[1]) is not None:
                problems.add(line, wrong)
    problems.raise_if_any()
    return settings


def is_search(settings: Mapping[str, Any]) -> bool:
    """Whether settings are those of a search, and not of a network."""
    return "pruning" in settings


def _resolve(words: Sequence[str], values: Values) -> tuple[dict[str, Any] | None, str | None]:
    """Returns all settings of a trial and no reason, or none and the reason why they are refused."""
    refused = io.StringIO()
    try:
        with contextlib.redirect_stderr(refused):
            settings = printed_settings([*words, *option_words(values)])
        if is_search(settings):
            IterativePruning(**settings["pruning"])  # raises for unregistered names and values out of range
            settings = with_defaults(settings)
    except SystemExit:
        return None, _short(refused.getvalue())
    except (ValueError, TypeError, OSError) as error:
        return None, _short(str(error))
    return settings, None


def _name_culprits(sweep: SweepFile, first: Values, reason: str | None, problems: Problems) -> None:
    """Finds the parameters that are refused on their own; else what was added to the command, or the command is."""
    others = {name: value for name, value in first.items() if name == PATH}
    for parameter in sweep.parameters:
        value, line = parameter.probes()[0]
        _, wrong = _resolve(sweep.words, others | {parameter.name: value})
        _, without = _resolve(sweep.words, {n: v for n, v in others.items() if n != parameter.name})
        if wrong is not None and without != wrong:
            problems.add(line if isinstance(parameter, Choice) and "=" not in wrong else parameter.line, wrong)
    if not problems:
        of_file = sweep.words[: len(sweep.words) - sweep.added]
        if sweep.added and _resolve(of_file, first)[1] != reason:
            raise ValueError(f"after --: {reason}")
        problems.add(sweep.words_line, f"command: {reason}")


def _check_metric(sweep: SweepFile, settings: Mapping[str, Any], problems: Problems) -> None:
    name = sweep.metric.name
    if is_search(settings) and name not in SEARCH_METRICS:
        line = _line_of_metric(sweep.path)
        problems.add(line, f"metric: a search has {' and '.join(SEARCH_METRICS)}, got {name}")


def _line_of_metric(path: Path) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((number for number, text in enumerate(lines, 1) if text.startswith("metric")), 1)


def _short(message: str) -> str:
    """Shortens the parser's message: without the program's name and the advice to list all options."""
    lines = [_PROGRAM_NAME.sub("", line) for line in message.strip().splitlines() if line.strip()]
    text = " ".join(line for line in lines if not line.startswith(_END))
    return text.partition(_END)[0].strip() or "is refused"


def _text(name: str, value: Any) -> str:
    if name == PATH and isinstance(value, str):
        return str(uninterpolated(absolute_song(value)))
    return _with_environment(value) if isinstance(value, str) else json_text(value)


def _with_environment(text: str) -> str:
    """Puts in the variables of this machine's environment, where the user allows it: workers elsewhere have others."""
    if not env_is_allowed():
        return text
    known = os.environ
    return _ENVIRONMENT.sub(lambda asked: str(uninterpolated(known[asked[1]])) if asked[1] in known else asked[0], text)


def absolute_song(path: str) -> str:
    """Returns the path of a song that workers in any folder find."""
    return os.path.abspath(song_path(path))


def with_song(parameters: Sequence[Parameter], song: str | None) -> tuple[Parameter, ...]:
    """Returns the parameters with another song in place of the file's, if one is given."""
    if song is None:
        return tuple(parameters)
    lines = [parameter.line for parameter in parameters if parameter.name == PATH] or [1]
    others = (parameter for parameter in parameters if parameter.name != PATH)
    return (Choice(PATH, lines[0], (song,), (lines[0],)), *others)
