"""Shortens the option parser's error messages to a line or two: option, needed value, given value, hint."""

from __future__ import annotations

import inspect
import re
from importlib import import_module

from lightning.pytorch import callbacks, loggers, profilers

from mixgraph.cli.trust import denied_class, untrusted_class
from mixgraph.names import did_you_mean

_CLASS_PROBLEM = re.compile(r"Problem with given class_path '([^']+)':\n((?:(?!\s*- ).*\n?)+)")
_KEY = re.compile(r'Parser key "([^"]+)":')
_REQUIRED = re.compile(r"the following arguments are required: (.+)")
_NOT_ACCEPTED = re.compile(r"(?:Option|option) '([^']+)'(?: is not accepted)?")
_UNION = "Does not validate against any of the Union subtypes"


def briefly(message: str, options: list[str]) -> tuple[str, str]:
    """Splits a message into the error and a hint; the hint may be empty.

    Args:
        message: the parser's message, which may list everything that is allowed.
        options: all options of the command.
    """
    message = message.replace("a typing.Literal", "one of ")
    if "trainer.max_epochs" in message:
        return message, "HINT: pruning.console_stages and pruning.rounds together are the epochs."
    return (
        _untrusted_class(message)
        or _unknown_class(message)
        or _class_problem(message)
        or (message, _close_option(message, options))
    )


def _untrusted_class(message: str) -> tuple[str, str] | None:
    """Shortens the message on a class that a configuration may not name, see `mixgraph.cli.trust`."""
    denied, key = denied_class(message), _KEY.search(message)
    if denied is None:
        return None
    problem, _, hint = untrusted_class(denied).partition(" HINT: ")
    option = key[1] if key is not None else message.partition(":")[0].strip()
    return f"{option}: {problem}", f"HINT: {hint}."


def _unknown_class(message: str) -> tuple[str, str] | None:
    """Shortens the message on a logger, callback or the like whose class does not exist."""
    key, name = _KEY.search(message), re.search(r"Expected a dot import path string: (\S+)", message)
    if key is None or name is None:
        return None
    known = [name for package in (callbacks, loggers, profilers) for name in package.__all__]
    hint = did_you_mean(name[1], known) or " HINT:"
    return (
        f"{key[1]}: no class is named {name[1]!r}",
        f"{hint[1:]} One of yours is named with its module, after --import.",
    )


def _class_problem(message: str) -> tuple[str, str] | None:
    """Shortens the message on the settings of a class, or of a group of settings."""
    problem, outer = _CLASS_PROBLEM.search(message), _KEY.search(message)
    if problem is None or outer is None or _UNION not in message:
        return None
    option, kind, reason = outer[1], problem[1].rpartition(".")[2], problem[2].strip()
    while (key := _KEY.match(reason)) is not None:  # settings within settings
        option, reason = f"{option}.{key[1]}", reason[key.end() :].strip()
    required, refused = _REQUIRED.search(reason), _NOT_ACCEPTED.search(reason)
    if required is not None:
        first = required[1].split(",")[0]
        return f"{option}: {kind} needs a value of {required[1]}", f"HINT: --{option}.{first}=VALUE sets it."
    if refused is not None and kind in ("LightningDataModule", "LightningModule"):
        return (
            f"{option}.{refused[1]}: no class is named that it is a setting of",
            f"HINT: --import MODULE --{option}=MODULE.CLASS.",
        )
    if refused is not None:
        close = did_you_mean(refused[1], _options_of(problem[1])).strip()
        return f"{option}.{refused[1]}: {kind} has no option of this name", close
    return f"{option}: {reason}", _close_value(reason)


def _options_of(class_path: str) -> list[str]:
    """The names of the arguments of a class, which the parser has imported before."""
    module, _, name = class_path.rpartition(".")
    return list(inspect.signature(getattr(import_module(module), name)).parameters)


def _close_option(message: str, options: list[str]) -> str:
    if re.match(r"unrecognized arguments: (?!-)", message):
        return "HINT: songs stand before the options: fit SONG --config FILE."
    unknown = [word.partition("=")[0] for word in message.split() if word.startswith("--")]
    unknown += [f"--{name}" for name in _NOT_ACCEPTED.findall(message)]
    hints = [did_you_mean(word, options) for word in unknown if word not in options]
    return next((hint.strip() for hint in hints if hint), "") or _close_value(message)


def _close_value(message: str) -> str:
    allowed, value = re.search(r"Expected one of \[([^]]*)\]", message), re.search(r"Got value: (\S+)", message)
    if allowed is None or value is None:
        return ""
    return did_you_mean(value[1], re.findall(r"'([^']*)'", allowed[1])).strip()
