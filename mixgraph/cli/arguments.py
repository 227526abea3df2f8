"""What is done to the words of `fit`, `validate`, `test` and `predict` before Lightning's parser reads them."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path

from mixgraph.shipped import configuration

_OURS = {"--mix": "--data.mix", "--tracks": "--data.path"}


def prepare(arguments: Sequence[str]) -> list[str]:
    """The words as Lightning's parser takes them.

    `fit SONG` becomes `fit --data.path=SONG`; `--mix` and `--tracks` become settings of the data; the name of a
    configuration that comes with mixgraph becomes its file; `--help-all` becomes `--help`. A module that `--import`
    names is imported, and the option goes.

    Args:
        arguments: a subcommand and what follows it.

    Raises:
        ValueError: an option lacks its value, or a module of `--import` cannot be imported.
        FileNotFoundError: there is no such configuration.
    """
    if not arguments:
        return []
    subcommand, *rest = arguments
    songs: list[str] = []
    while rest and not rest[0].startswith("-"):
        songs.append(rest.pop(0))
    prepared = [subcommand]
    # What names the song comes last: it wins over a configuration's, and is known to a class that `--data` names.
    last = [f"--data.path={songs[0] if len(songs) == 1 else json.dumps(songs)}"] if songs else []
    position = 0
    while position < len(rest):
        word, equals, value = rest[position].partition("=")
        position += 1
        if word in ("--config", "-c", "--import", *_OURS) and not equals:
            if position == len(rest):
                raise ValueError(f"{word}: a value is needed after it")
            value = rest[position]
            position += 1
        if word in ("--config", "-c"):
            prepared.append(f"--config={value if _is_inline(value) else configuration(value)}")
        elif word == "--import":
            _import(value)
        elif word in _OURS:
            last.append(f"{_OURS[word]}={value}")
        elif word == "--help-all":
            prepared.append("--help")
        else:
            prepared.append(rest[position - 1])
    return prepared + last


def _is_inline(value: str) -> bool:
    """Whether a configuration is YAML itself, as a flow mapping on the command line."""
    return value.lstrip().startswith("{")


def _import(name: str) -> None:
    """Imports a module of the user's, by its dotted name; one in the working folder is found, too."""
    try:
        importlib.import_module(name)
    except ImportError as error:
        if error.name is not None and not name.startswith(error.name):
            raise  # an import inside the module fails: the traceback says where
        raise ValueError(
            f"import: no module is named {name!r} ({error}). HINT: a dotted name such as my_processors, "
            f"whose file is in {Path.cwd()} or installed"
        ) from error
