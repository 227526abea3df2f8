"""`python -m mixgraph`."""

from __future__ import annotations

import logging
import os
import sys
import warnings


def main() -> None:
    """Runs the command line; what is wrong with the input is said in a line, without a traceback."""
    arguments = sys.argv[1:]
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(lambda r: "litlogger" not in r.getMessage())
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning on torch 2.11
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # clips are cut from memory
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # they are about Lightning's own calls
    from mixgraph import cli
    from mixgraph.memory import keep_freed_memory

    keep_freed_memory()
    try:
        if arguments[:1] == ["render"]:
            cli.render(arguments[1:])
        else:
            cli.run()
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        sys.exit(f"mixgraph: {error}")


if __name__ == "__main__":
    main()
