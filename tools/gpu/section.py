"""The process of one section; `tools.gpu_check` starts it.

python -m tools.gpu.section steps --out FILE.jsonl --device cuda
"""

from __future__ import annotations

import argparse
import importlib
import time
import warnings
from pathlib import Path

from mixgraph.cli.command_parser import CommandParser
from tools.gpu.plan import NAMES, SECTIONS
from tools.gpu.rows import RowFile


def main() -> None:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--out", type=Path, required=True, help="file that rows are appended to")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--until", type=float, help="of time.monotonic(), when it is killed (in 10 minutes)")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    from tools.bench.speed.worker import end_with_parent

    end_with_parent()
    warnings.filterwarnings("ignore")  # other versions of torch warn about more; the log should show errors only
    import torch

    from tools.gpu.context import Context

    if options.quick:
        torch.set_num_threads(1)  # the work is too small for threads to help
    # The time limit includes the imports.
    seconds = 600.0 if options.until is None else options.until - time.monotonic()
    context = Context(options.name, options.device, options.quick, RowFile(options.out), seconds)
    with context.part("all of the section"):
        section = next(listed for listed in SECTIONS if listed.name == options.name)
        importlib.import_module(f"tools.gpu.{section.module}").run(context)


if __name__ == "__main__":
    main()
