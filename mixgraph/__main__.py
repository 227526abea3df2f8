"""`python -m mixgraph`.

Exit codes:

| code | meaning |
| --- | --- |
| 0 | done; also a search that one Ctrl-C or its time budget ended, with the graph as it was then as its result |
| 1 | an error, printed in one line |
| 2 | options that are not understood |
| 130 | interrupted by a second Ctrl-C: no result; the command that goes on from the last stage is printed |
| 143 | terminated by SIGTERM: no result; the command that goes on from the last stage is printed |
"""

import os
import sys

# `python -m` looks for modules in the working folder first: a `csv.py` there would run in place of Python's.
if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]
# An empty entry of PYTHONPATH, which `PYTHONPATH=$PYTHONPATH:FOLDER` leaves where it was not set, is that folder, too.
if os.environ.get("PYTHONPATH") and "" in os.environ["PYTHONPATH"].split(os.pathsep):
    _others = [folder for folder in os.environ["PYTHONPATH"].split(os.pathsep) if folder]
    os.environ["PYTHONPATH"] = os.pathsep.join(_others)  # for processes that are started
    for _folder in {"", os.path.abspath(os.curdir)}.difference(map(os.path.abspath, _others)).intersection(sys.path):
        sys.path.remove(_folder)

from pathlib import Path

from mixgraph.cli.commands import run
from mixgraph.names import visible_lines
from mixgraph.shipped import BESIDE, search_our_folders
from mixgraph.system.files import error_line
from mixgraph.system.memory import too_little_memory
from mixgraph.system.termination import INTERRUPTED, TERMINATED, ending_when_terminated, was_terminated


def main() -> None:
    """Runs the command line; errors in the input are printed in one line, without a traceback."""
    try:
        with ending_when_terminated():
            code = _run(sys.argv[1:])
        if code is not None:
            sys.exit(code)
    except (ValueError, OSError, FloatingPointError) as error:
        message = error_line(error) if isinstance(error, OSError) else str(error)
        sys.exit(f"mixgraph: {visible_lines(message)}")
    except (MemoryError, RuntimeError) as error:
        if (line := too_little_memory(error)) is None:
            raise
        sys.exit(f"mixgraph: {visible_lines(line)}")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except SystemExit as end:
        if was_terminated(end):
            sys.exit(TERMINATED)
        if isinstance(end.__context__, KeyboardInterrupt):  # Lightning makes 1 of it
            sys.exit(INTERRUPTED)
        raise


def _run(arguments: list[str]) -> int | str | None:
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # they are about Lightning's own calls
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded; see mixgraph.system.threads
    if Path.cwd() != BESIDE:  # workers do not look for modules in the working folder first, either
        os.environ["PYTHONSAFEPATH"] = "1"
    search_our_folders()
    return run(arguments)


if __name__ == "__main__":
    main()
