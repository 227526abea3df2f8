"""The process of one section; `tools.gpu_check` starts it.

python -m tools.gpu.section steps --out FILE.jsonl --device cuda --seconds 70
"""

from __future__ import annotations

import argparse
import importlib
import warnings
from pathlib import Path

from tools.gpu.plan import NAMES, SECTIONS
from tools.gpu.rows import RowFile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--out", type=Path, required=True, help="file that rows are appended to")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=600.0, help="after which the process is killed from outside")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    from tools.benchmarks.worker import end_with_parent

    end_with_parent()
    warnings.filterwarnings("ignore")  # of other versions of torch; the log shall show what matters
    from tools.gpu.context import Context

    context = Context(options.name, options.device, options.quick, RowFile(options.out), options.seconds)
    with context.part("all of the section"):
        section = next(own for own in SECTIONS if own.name == options.name)
        importlib.import_module(f"tools.gpu.{section.module}").run(context)


if __name__ == "__main__":
    main()
