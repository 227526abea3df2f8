"""The option parser of every command: options have their whole names, and negative numbers are values.

argparse alone takes the beginning of an option for the option, so that `--songs 3` would be `--songs-per-engineer 3`,
and something else once there is an option `--songs`. It also takes `-inf` and `-1e-3` for options.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any

from mixgraph.names import did_you_mean

NEGATIVE_NUMBER = re.compile(r"-\.?(?:\d|(?:inf|infinity|nan)$)", re.IGNORECASE)
"""The beginning of a word that is a value, no option; `-.inf` is that of YAML."""


class CommandParser(argparse.ArgumentParser):
    """Refuses abbreviations, with the option that was probably meant. Parsers of subcommands are of this class, too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **(kwargs | {"allow_abbrev": False}))
        self._negative_number_matcher = NEGATIVE_NUMBER

    def parse_known_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:
        """Reports an unknown option that is close to a known one before argparse tells what else is missing."""
        words = sys.argv[1:] if args is None else list(args)
        known = [option for action in self._actions for option in action.option_strings]
        commands = [name for action in self._actions if isinstance(action.choices, dict) for name in action.choices]
        for option in _options(takewhile(lambda word: word not in ("--", *commands), words)):
            is_known = option in known or option[:2] in known  # as in `-hx`
            if not is_known and (hint := did_you_mean(option, known)):
                self.error(f"unrecognized arguments: {option}.{hint}")
        return super().parse_known_args(words, namespace)


def _options(words: Iterable[str]) -> Iterator[str]:
    """Yields the words that argparse takes for options, without their values."""
    for word in words:
        if word.startswith("-") and word != "-" and " " not in word and not NEGATIVE_NUMBER.match(word):
            yield word.partition("=")[0]
