"""What all Lightning subcommands share: a parser with errors of a line or two, and checkpoints that are checked."""

from __future__ import annotations

import difflib
import os
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

import yaml
from lightning.pytorch import callbacks, loggers, profilers
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from mixgraph.checkpoints import check_checkpoint
from mixgraph.cli.config_paths import read_saved_config


def unknown_class(message: str) -> tuple[str, str] | None:
    """What is said, and hinted at, of the name of a logger, callback or the like that there is no class for.

    Args:
        message: of the parser, with all that would have been allowed.

    Returns:
        Both texts, or None where the message is about something else.
    """
    key, name = re.search(r'key "([^"]+)"', message), re.search(r"Expected a dot import path string: (\S+)", message)
    if key is None or name is None:
        return None
    known = [name for package in (callbacks, loggers, profilers) for name in package.__all__]
    close = difflib.get_close_matches(name[1], known, n=2)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{key[1]}: no class is named {name[1]!r}", f"HINT: {meant}One of yours is named with its module. "


class OptionParser(LightningArgumentParser):
    """Says what is wrong with options in a line or two: an option that is close, and how to list all of them."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        known = [option for action in self._actions for option in action.option_strings]
        unknown = [word.partition("=")[0] for word in message.split() if word.startswith("--")]
        close = [hint for word in unknown if word not in known for hint in difflib.get_close_matches(word, known, n=2)]
        hint = f"HINT: did you mean {' or '.join(dict.fromkeys(close))}? " if close else ""
        if "trainer.max_epochs" in message:
            hint = "HINT: pruning.console_stages and pruning.rounds together are the epochs. "
        message, hint = unknown_class(message) or (message, hint)
        program, told = self.prog.replace(" [options]", ""), message.replace("a typing.Literal", "one of ")
        sys.stderr.write(f"{program}: {told}\n{hint}All options: {program} --help-all\n")
        sys.exit(2)

    def parse_path(self, path: str | os.PathLike, *args: Any, **kwargs: Any) -> Any:
        config = read_saved_config(Path(path))
        if config is None:
            return super().parse_path(path, *args, **kwargs)
        return self.parse_string(yaml.safe_dump(config, sort_keys=False), os.path.basename(path), *args, **kwargs)


class CheckedCLI(LightningCLI):
    """Checks a checkpoint that is to be loaded before anything is read from it."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        super().parse_arguments(parser, args)
        subcommand = self.config.get("subcommand")  # none where only the parts of a search are made (`run=False`)
        if subcommand is not None:
            check_checkpoint(self.config[subcommand].get("ckpt_path"))
