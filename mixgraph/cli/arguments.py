"""Rewrites the words of `fit`, `validate`, `test` and `predict` before Lightning's parser reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from mixgraph.registry import import_extension, imported_extensions
from mixgraph.shipped import configuration

_OURS = {"--mix": "--data.mix", "--tracks": "--data.path"}
REWRITTEN = (*_OURS, "--import", "--allow-env", "--help-all")
"""The options that Lightning's parser never sees."""
_CLASSES = ("--model", "--data", "--model.class_path", "--data.class_path")


def prepare(arguments: Sequence[str]) -> list[str]:
    """Rewrites the words so that Lightning's parser understands them.

    `fit SONG` becomes `fit --data.path=SONG`; `--mix` and `--tracks` become settings of the data; the name of a
    configuration that comes with mixgraph becomes its file; `--help-all` becomes `--help`. A module that `--import`
    names is imported, and the option is removed. The option that names a user's class of model or data comes first,
    so that all configurations are read as that class's settings.

    Args:
        arguments: a subcommand and the words that follow it.

    Raises:
        ValueError: an option lacks its value, or a module of `--import` cannot be imported.
        FileNotFoundError: there is no such configuration.
    """
    if not arguments:
        return []
    subcommand, *rest = take_imports(arguments)
    songs: list[str] = []
    while rest and not rest[0].startswith("-"):
        songs.append(rest.pop(0))
    prepared: list[str] = []
    classes: list[str] = []
    # The song comes last: it wins over a configuration's, and a class that `--data` names gets it too.
    last = [f"--data.path={songs[0] if len(songs) == 1 else json.dumps(songs)}"] if songs else []
    position = 0
    while position < len(rest):
        word, equals, value = rest[position].partition("=")
        position += 1
        if word in ("--config", "-c", *_CLASSES, *_OURS) and not equals:
            if position == len(rest):
                raise ValueError(f"{word}: a value is needed after it")
            value = rest[position]
            position += 1
        if word in ("--config", "-c"):
            prepared.append(f"--config={value if is_inline(value) else configuration(value)}")
        elif word in _CLASSES:
            classes += [f"{word}={value}"] if any(other.startswith("--config=") for other in prepared) else []
            prepared.append(f"{word}={value}")
        elif word in _OURS:
            last.append(f"{_OURS[word]}={value}")
        elif word == "--help-all":
            prepared.append("--help")
        else:
            prepared.append(rest[position - 1])
    return [subcommand, *classes, *prepared, *last]


def is_inline(value: str) -> bool:
    """Whether a configuration is YAML text, a flow mapping on the command line, and not a file."""
    return value.lstrip().startswith("{")


_env_allowed = False


def env_is_allowed() -> bool:
    """Whether `--allow-env` was among the words of this command."""
    return _env_allowed


def trusted_words() -> tuple[str, ...]:
    """The options of this command by which the user trusts files of others: a process that goes on needs them, too."""
    imports = (f"--import={module}" for module in imported_extensions())
    return (*imports, *(["--allow-env"] if _env_allowed else []))


def take_imports(arguments: Sequence[str]) -> list[str]:
    """Imports the modules that `--import` names and returns the other words; those after `--` stay as they are.

    `--allow-env` is taken out as well, see `env_is_allowed`.

    Raises:
        ValueError: the option lacks its value, or a module cannot be imported.
    """
    global _env_allowed
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    others: list[str] = []
    position = 0
    while position < end:
        word, equals, value = words[position].partition("=")
        position += 1
        if (word, equals) == ("--allow-env", ""):
            _env_allowed = True
            continue
        if word != "--import":
            others.append(words[position - 1])
            continue
        if not equals:
            if position == end:
                raise ValueError("--import: a value is needed after it")
            value = words[position]
            position += 1
        import_extension(value)
    return others + words[end:]
