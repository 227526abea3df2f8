"""Checks and times mixgraph on a GPU in one call of a few minutes; writes a table and a JSON file.

    python -m tools.gpu_check --out gpu_results
    python tools/gpu_check.py --out gpu_results --minutes 4 --sections equality steps
    python -m tools.gpu_check --out quick_results --quick            small, on the CPU: tests that it runs

Each section runs in a separate process with a limit; its measurements are kept when it fails or is killed. It
needs no network and no file outside the repository. Results are in OUT/results.json and OUT/results.md, written
whenever there is a new one; OUT/log.txt holds the output of the sections. CUDA_VISIBLE_DEVICES chooses among several
GPUs. See docs/gpu.md.

Exit status: 0 if all succeeded, 1 if a row failed or nothing was measured, 2 if packages are missing, an argument is
wrong or OUT cannot be written.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # run as a file: the repository is not installed
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from mixgraph.cli.command_parser import CommandParser
from tools.gpu.parent import Check, Options
from tools.gpu.plan import MINUTES, NAMES, missing_packages
from tools.gpu.report import LOG


def parse(arguments: Sequence[str] | None = None) -> Options:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"of all sections (default {MINUTES:g})")
    parser.add_argument("--sections", nargs="+", choices=NAMES, default=list(NAMES), help="(all)")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="(cuda; with --quick cpu)")
    parser.add_argument("--quick", action="store_true", help="everything small: does it run?")
    options = parser.parse_args(arguments)
    device = options.device or ("cpu" if options.quick else "cuda")
    if not 0 < options.minutes <= 24 * 60:
        parser.error(f"--minutes: above 0 and at most a day, got {options.minutes:g}")
    return Options(options.out.resolve(), device, options.quick, options.minutes, options.sections)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    missing = missing_packages()
    if missing:
        sys.stderr.write("".join(f"{line}\n" for line in missing))
        return 2
    started = time.monotonic()

    def log(line: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - started:6.1f} s] {line}\n")
        sys.stderr.flush()

    try:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / LOG).touch()
    except OSError as error:
        sys.stderr.write(f"--out: nothing can be written there: {error}\n")
        return 2
    check = Check(options, log)
    try:
        sys.stdout.write(check.run())
    except KeyboardInterrupt:
        log(f"interrupted; what was measured until then is in {options.out}")
        return 130
    return 0 if check.well else 1


if __name__ == "__main__":
    sys.exit(main())
