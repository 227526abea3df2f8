"""How tools end whose work goes on when the same command is given again."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from mixgraph.cli.arguments import take_imports, trusted_words
from mixgraph.cli.commands import PROGRAM
from mixgraph.names import visible_lines
from mixgraph.system.files import error_line
from mixgraph.system.memory import too_little_memory
from mixgraph.system.termination import INTERRUPTED, TERMINATED, ending_when_terminated, was_terminated


def run_resumable(command: str, words: Sequence[str], work: Callable[[], int]) -> NoReturn:
    """Works, and ends the process: with 0, with 1 where something failed, or as a signal says (docs/promises.md).

    Errors in what the user gave are told in one line. After a signal the command that goes on is printed.

    Args:
        command: the command of mixgraph, such as `build-dataset`.
        words: the words after it.
        work: does the work, and returns the number of failures.
    """
    tool = command.replace("-", "_")
    again = f"this goes on from here:\n  {PROGRAM} {command} {shlex.join([*trusted_words(), *take_imports(words)])}\n"
    try:
        with ending_when_terminated():
            failed = work()
    except (ValueError, OSError) as error:
        message = error_line(error) if isinstance(error, OSError) else str(error)
        sys.exit(f"{tool}: {visible_lines(message)}")
    except (MemoryError, RuntimeError) as error:
        if (line := too_little_memory(error)) is None:
            raise
        sys.exit(f"{tool}: {visible_lines(line)}")
    except KeyboardInterrupt:
        sys.stderr.write(f"{tool}: stopped; {again}")
        sys.exit(INTERRUPTED)
    except SystemExit as end:
        if was_terminated(end):
            sys.stderr.write(f"{tool}: terminated; {again}")
            sys.exit(TERMINATED)
        raise
    sys.exit(1 if failed else 0)


def let_interrupts_end() -> None:
    """Lets Ctrl-C and `kill -INT` end the process also where a script started it in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
