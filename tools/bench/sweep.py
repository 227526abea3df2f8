"""Puts the table and the picture of a sweep without a server on the pages.

    python -m tools.bench.sweep results/sweep --name sweep_samplers --command "python -m mixgraph sweep ..."

writes docs/results/NAME.json and docs/images/NAME.png from the trials.json and the trials.png of the sweep.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixgraph.cli.command_parser import CommandParser
from mixgraph.dataset.files import write_json
from mixgraph.sweeps.folder import LOG
from tools.bench.machine import ROOT, measured


def result_table(folder: Path, title: str, command: str, threads: int) -> dict[str, Any]:
    """Returns the content of a file of docs/results, see `tools.result_tables`.

    Args:
        folder: the folder of the sweep.
        title: the title of the table.
        command: the command of the sweep.
        threads: the number of threads of each trial.
    """
    lines = (folder / "trials.md").read_text(encoding="utf-8").splitlines()
    table = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    titles, rows = table[0], table[2:]
    note = next((line for line in lines if line.startswith("Trial ")), "")
    resumed = (folder / LOG).read_text(encoding="utf-8").count(" goes on: ")
    if resumed:
        trials = "one trial was running then, and" if resumed == 1 else f"{resumed} trials were running then, and"
        note = f"{note} The sweep was killed and run again: {trials} went on from its checkpoint.".strip()
    front = json.loads((folder / "trials.json").read_text(encoding="utf-8"))["pareto_front"]
    numbers = ", ".join(str(int(name.split("_")[1])) for name in front)
    about = measured(command, threads)
    return {
        "title": title,
        "measured": [about],
        "columns": titles,
        "note": f"{note} Pareto front: {numbers}.".strip(),
        "rows": rows,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = CommandParser(prog="python -m tools.bench.sweep", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder of the sweep")
    parser.add_argument("--name", required=True, help="of the table and the picture")
    parser.add_argument("--title", default="A sweep without a server")
    parser.add_argument("--command", required=True, help="of the sweep, for the table")
    parser.add_argument("--threads", type=int, default=1, help="of each trial")
    options = parser.parse_args(arguments)
    content = result_table(options.folder, options.title, options.command, options.threads)
    write_json(ROOT / "docs" / "results" / f"{options.name}.json", content)
    shutil.copyfile(options.folder / "trials.png", ROOT / "docs" / "images" / f"{options.name}.png")
    sys.stdout.write(f"{len(content['rows'])} rows\n")


if __name__ == "__main__":
    main()
