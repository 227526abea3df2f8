"""`fit`, `validate`, `test` and `predict`, for a search of songs or for a network that is named by its class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf.errors import OmegaConfBaseException

from datamodules import SongData
from mixgraph.cli.arguments import is_inline, prepare
from mixgraph.cli.commands import PROGRAM
from mixgraph.cli.network import KeepNetworkConfig, NetworkCLI
from mixgraph.cli.options import OptionParser
from mixgraph.cli.search import SEED, KeepConfig, SearchCLI
from mixgraph.cli.trust import check_class, restrict_configurations
from mixgraph.names import did_you_mean, uninterpolated
from mixgraph.registry import load_plugins
from mixgraph.search.module import ConsoleModule
from mixgraph.search.run import TRAINER_DEFAULTS, quiet_lightning
from mixgraph.songs.text_files import check_extent
from mixgraph.system.files import parse_yaml, read_text
from mixgraph.system.memory import keep_freed_memory
from mixgraph.system.threads import use_free_cores

_DESCRIPTION = (
    "Works on a search of songs (--data.path), or, where a configuration names a network by its class "
    "(model.class_path, as estimator.yaml does), on that network and its data."
)
_CLASS_PROBLEM = "Problem with given class_path"


def main(arguments: Sequence[str]) -> None:
    """Runs a subcommand with its options.

    Args:
        arguments: `fit`, `validate`, `test` or `predict`, and the words that follow it.
    """
    keep_freed_memory()
    quiet_lightning()
    use_free_cores()
    run(prepare(arguments))


def run(arguments: Sequence[str], callbacks: Sequence[Callback] = ()) -> LightningCLI:
    """Parses and runs a Lightning subcommand, for a search or for the network that the configuration names.

    Args:
        arguments: the words that `prepare` returned.
        callbacks: further callbacks of the Trainer, which are no settings.

    Raises:
        ValueError: Lightning refuses the settings; the message is one line.
    """
    load_plugins()
    restrict_configurations()
    words = [_with_literal_path(argument) for argument in arguments]
    model, data = named_class("model", words), named_class("data", words)
    if data is not None:
        _find_class("data", data, LightningDataModule)
    further: dict[str, Any] = {"callbacks": list(callbacks)} if callbacks else {}
    common: dict[str, Any] = {
        "args": words,
        "parser_class": OptionParser,
        "seed_everything_default": SEED,
        "parser_kwargs": {"parser_mode": "omegaconf+", "description": _DESCRIPTION, "prog": PROGRAM},
        "auto_configure_optimizers": False,
    }
    try:
        if model is not None and not is_console(model):
            return NetworkCLI(
                subclass_mode_model=True,
                subclass_mode_data=True,
                save_config_callback=KeepNetworkConfig,
                trainer_defaults=further,
                **common,
            )
        return SearchCLI(
            ConsoleModule,
            SongData if data is None else LightningDataModule,
            subclass_mode_model=model is not None,
            subclass_mode_data=data is not None,
            save_config_callback=KeepConfig,
            trainer_defaults=TRAINER_DEFAULTS | {"devices": 1} | further,
            **common,
        )
    except MisconfigurationException as error:
        raise ValueError(trainer_problem(str(error))) from error
    except ModuleNotFoundError as error:
        if error.name is not None:
            raise  # a module of the user's does not find another: the traceback says where
        raise ValueError(trainer_problem(str(error))) from error  # how Lightning says that a package is not installed
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0].removeprefix("ValueError raised while resolving interpolation: ")
        raise ValueError(f"config: {reason}") from error
    except ValueError as error:
        if _CLASS_PROBLEM not in str(error):
            raise
        raise ValueError(class_problem(str(error))) from error


def trainer_problem(message: str) -> str:
    """Shortens Lightning's message on wrong settings to one line, and names the option if the message does not.

    >>> trainer_problem("No supported gpu backend found!")
    'trainer.accelerator: no GPU that PyTorch can use was found. HINT: auto or cpu; or a build of PyTorch for your GPU'
    """
    if "No supported gpu backend" in message:
        return (
            "trainer.accelerator: no GPU that PyTorch can use was found. HINT: auto or cpu; or a build of PyTorch for "
            "your GPU"
        )
    return f"trainer: {' '.join(message.split())}"


def class_problem(message: str) -> str:
    """Says what is wrong with a class, from the parser's list of everything that would be allowed.

    >>> class_problem("Problem with given class_path 'a.B':\\n  not installed\\n  - Expected a <class 'bool'>")
    "Problem with given class_path 'a.B': not installed"
    """
    lines = message.partition(_CLASS_PROBLEM)[2].splitlines()
    reasons = list(takewhile(lambda line: not line.lstrip().startswith("- "), lines))
    return " ".join(f"{_CLASS_PROBLEM}{' '.join(reasons)}".split())


def named_class(part: str, arguments: Sequence[str]) -> str | None:
    """The class that a command line or one of its configurations names for the model or the data; the last one wins.

    Args:
        part: `"model"` or `"data"`.
        arguments: the words of the command line.

    Returns:
        The class path as users wrote it, or None if the settings are those of the default class.
    """
    class_path = None
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        value = value if equals else following
        if option == f"--{part}.class_path":
            class_path = value
        elif option == f"--{part}":
            class_path = (_class_in(value, None) or class_path) if _holds_settings(value) else value
        elif option in ("--config", "-c"):
            class_path = _class_in(value, part) or class_path
    return class_path


def _class_in(settings: str, part: str | None) -> str | None:
    """Returns the `class_path` in a YAML file or text, or in a part of it; None if there is none."""
    if not _holds_settings(settings):
        return None
    if not is_inline(settings):
        check_extent(Path(settings))
    try:
        loaded = parse_yaml(settings if is_inline(settings) else read_text(Path(settings)))
    except ValueError as error:
        raise ValueError(f"{settings}: YAML is needed ({error})") from error
    if part is not None:
        loaded = loaded.get(part) if isinstance(loaded, dict) else None
    class_path = loaded.get("class_path") if isinstance(loaded, dict) else None
    return class_path if isinstance(class_path, str) else None


def _holds_settings(value: str) -> bool:
    """Whether the value of an option is a YAML file or YAML text, and not the name of a class."""
    return is_inline(value) or Path(value).is_file()


def is_console(class_path: str) -> bool:
    """Whether a class path names a ConsoleModule or a subclass of it, by which songs are searched.

    A name without a module is that of a subclass which was imported before (`--import`).

    Raises:
        ValueError: it does not name a model.
    """
    kind = _find_class("model", class_path, LightningModule)
    return isinstance(kind, type) and issubclass(kind, ConsoleModule)


def _find_class(part: str, class_path: str, base: type) -> object:
    """Finds the subclass of a base that a class path names, or a function that makes one, which the parser checks.

    Raises:
        ValueError: the path's module is missing or lacks that name, or the class is not a subclass of the base.
    """
    if "." not in class_path:
        known = {kind.__name__: kind for kind in _with_subclasses(base)}
        if class_path not in known:
            raise ValueError(
                f"{part}: no class is named {class_path!r}.{did_you_mean(class_path, known) or ' HINT:'} One of yours "
                f"is named after --import MODULE: --{part}=MODULE.CLASS"
            )
        return known[class_path]
    kind = _imported(part, class_path)
    if isinstance(kind, type) and not issubclass(kind, base):
        needed = "mixgraph.ConsoleModule" if base is LightningModule else "mixgraph.SongData"
        raise ValueError(
            f"{part}.class_path: a subclass of {base.__name__} is needed, got {class_path}. HINT: {needed} is one to "
            "derive yours from"
        )
    return kind


def _imported(part: str, class_path: str) -> object:
    """Imports the object that a class path names.

    Raises:
        ValueError: the path's module is not trusted, is missing, or lacks that name.
    """
    module, _, name = class_path.rpartition(".")
    check_class(f"{part}.class_path", class_path)
    try:
        imported = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and not module.startswith(error.name):
            raise  # an import inside the module fails: the traceback says where
        raise ValueError(
            f"{part}.class_path: {class_path!r} cannot be imported ({error}). HINT: the module is looked for among "
            "what is installed, and after --import MODULE in the working folder"
        ) from error
    if not hasattr(imported, name):
        raise ValueError(f"{part}.class_path: {module!r} has nothing that is named {name!r}")
    return getattr(imported, name)


def _with_subclasses(kind: type) -> list[type]:
    children: list[type] = kind.__subclasses__()
    return [kind, *(sub for child in children for sub in _with_subclasses(child))]


def _with_literal_path(argument: str) -> str:
    """Escapes an argument that is an existing path such as `songs/${x}`, so that it is not interpolated."""
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return f"{option}{equals}{uninterpolated(value) if os.path.exists(value) else value}"
