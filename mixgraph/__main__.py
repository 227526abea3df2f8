"""`python -m mixgraph`."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; what is wrong with the input is said in a line, without a traceback."""
    arguments = sys.argv[1:]
    from mixgraph import cli

    try:
        if arguments[:1] == ["render"]:
            cli.render(arguments[1:])
        else:
            cli.run(arguments)
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        sys.exit(f"mixgraph: {error}")


if __name__ == "__main__":
    main()
