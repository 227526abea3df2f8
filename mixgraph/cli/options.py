"""The common parts of all Lightning subcommands: a parser with short error messages, and checks of checkpoints."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentError
from pathlib import Path
from typing import Any, NoReturn

import yaml
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from mixgraph.checkpoints import check_checkpoint
from mixgraph.cli.arguments import REWRITTEN
from mixgraph.cli.command_parser import NEGATIVE_NUMBER
from mixgraph.cli.commands import PROGRAM
from mixgraph.cli.config_paths import read_saved_config
from mixgraph.cli.parser_messages import briefly
from mixgraph.cli.trust import check_loggers, restrict_configurations
from mixgraph.songs.text_files import check_extent


class OptionParser(LightningArgumentParser):
    """Reports wrong options in a line or two, with a similar option, and how to list all of them.

    As in `CommandParser`, options have their whole names, and negative numbers are values.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, allow_abbrev=False)
        self._negative_number_matcher = NEGATIVE_NUMBER

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # a class's parser: the command's parser reports the error, with the option
            raise ArgumentError(None, message) from ex
        choices = [action.choices for action in self._actions if isinstance(action.choices, dict)]
        parsers = [self, *(parser for by_name in choices for parser in by_name.values())]  # its subcommands'
        known_options = [option for parser in parsers for action in parser._actions for option in action.option_strings]
        problem, hint = briefly(message, [*known_options, *REWRITTEN])
        program = sys.argv[0] if sys.argv[0].startswith(PROGRAM) else self.prog.replace(" [options]", "")
        sys.stderr.write(f"{program}: {problem}\n{hint and f'{hint} '}All options: {program} --help-all\n")
        sys.exit(2)

    def parse_path(self, path: str | os.PathLike, *args: Any, **kwargs: Any) -> Any:
        if Path(path).is_file():
            check_extent(Path(path))
        names = [name for action in self._actions if (name := action.dest.split("."))[-1] != "help"]
        groups = {".".join(name[:depth]) for name in names for depth in range(1, len(name))}
        config = read_saved_config(Path(path), sorted(groups))
        if config is None:
            return super().parse_path(path, *args, **kwargs)
        return self.parse_string(yaml.safe_dump(config, sort_keys=False), os.path.basename(path), *args, **kwargs)

    def _add_signature_parameter(self, *args: Any, **kwargs: Any) -> None:
        """Adds an option, as all ways to add some do; none of a class takes the name of a file that holds its settings.

        Otherwise a configuration could name files that no check has seen, and messages would quote them.
        """
        super()._add_signature_parameter(*args, **{**kwargs, "sub_configs": False})


class CheckedCLI(LightningCLI):
    """Restricts what a configuration may name, and checks a checkpoint before anything is loaded from it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        restrict_configurations()
        words = kwargs.get("args") or [""]
        self._named = words[0]
        super().__init__(*args, **kwargs)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # that of Lightning is static
        """Returns the subcommand that is given: the parsers of the others would take a tenth of a second each."""
        every = LightningCLI.subcommands()
        return {self._named: every[self._named]} if self._named in every else every

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        super().parse_arguments(parser, args)
        subcommand = self.config.get("subcommand")  # none where only the parts of a search are made (`run=False`)
        if subcommand is not None:
            check_checkpoint(self.config[subcommand].get("ckpt_path"))
            check_loggers(self.config[subcommand].get("trainer.logger"))
