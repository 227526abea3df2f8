"""`python -m mixgraph`."""

from __future__ import annotations

import os
import sys

import mixgraph
from mixgraph.files import error_line
from mixgraph.names import visible


def main() -> None:
    """Runs the command line; what is wrong with the input is said in a line, without a traceback."""
    try:
        _run(sys.argv[1:])
    except (ValueError, OSError) as error:
        lines = (error_line(error) if isinstance(error, OSError) else str(error)).split("\n")
        sys.exit("mixgraph: " + "\n".join(map(visible, lines)))
    except KeyboardInterrupt:
        sys.exit(130)


def _run(arguments: list[str]) -> None:
    if arguments == ["--version"]:
        sys.stdout.write(f"mixgraph {mixgraph.__version__}\n")
        return
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # they are about Lightning's own calls
    if arguments[:1] in (["validate-shards"], ["rehydrate"]):  # these need no Trainer, and take no time to load one
        from mixgraph.shards import commands

        sys.exit(commands.main(arguments))
    from mixgraph import cli
    from mixgraph.memory import keep_freed_memory
    from mixgraph.search import quiet_lightning

    keep_freed_memory()
    quiet_lightning()
    if arguments[:1] == ["render"]:
        cli.render(arguments[1:])
    elif arguments[:1] == ["estimate"]:
        cli.estimate(arguments[1:])
    else:
        cli.run()


if __name__ == "__main__":
    main()
