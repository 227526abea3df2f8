"""Makes the tables of the paper, and runs the searches that they need and that are missing.

Its options, and what it writes: `tools/options.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from mixgraph.cli.arguments import take_imports
from mixgraph.names import visible, visible_lines
from mixgraph.paper.dataset_table import dataset_table, read_built_set
from mixgraph.paper.losses_table import losses_table
from mixgraph.paper.pruning_table import pruning_table
from mixgraph.paper.published import CHAINS
from mixgraph.paper.table import Table
from tools.bench.recipe import Recipe
from tools.options import paper_tables_parser
from tools.paper.searches import Results, search
from tools.paper.variants import (
    CONSOLE_TABLES,
    METHODS,
    PRUNING_TABLES,
    SEARCHED,
    console_variant,
    pruning_variant,
    variants,
)
from tools.resumable import let_interrupts_end, run_resumable

DATA_SET_TABLE = "3"


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Parses the options; returns them and the arguments after `--`."""
    arguments = take_imports(arguments)
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = paper_tables_parser()
    options = parser.parse_args(arguments[:split])
    searched = [name for name in options.tables if name in SEARCHED]
    if searched and not options.songs:
        parser.error(f"--songs: the songs of {', '.join(searched)} are needed")
    if DATA_SET_TABLE in options.tables and not options.dataset:
        parser.error("--dataset: table 3 is made of a data set that build-dataset wrote")
    options.config = options.config or ["reference.yaml"]
    return options, arguments[split + 1 :]


def make(options: argparse.Namespace, overrides: Sequence[str], console: Console) -> int:
    """Runs what is missing, writes the tables, and returns the number of songs and tables that lack results."""
    tables: list[Table] = []
    failed: dict[str, str] = {}
    unmade: dict[str, str] = {}
    if DATA_SET_TABLE in options.tables:
        tables.append(dataset_table([read_built_set(*named_folder(text)) for text in options.dataset]))
    searched = [name for name in options.tables if name in SEARCHED]
    if searched:
        recipe = Recipe.checked(options.schedule, "--schedule")
        results = search(options, overrides, variants(searched, recipe, options.runs), console)
        failed = results.reasons
        made, unmade = tables_of(searched, results, recipe)
        tables += made
    for table in tables:
        written = table.write(options.out)
        console.print(visible_lines(table.markdown()), markup=False, highlight=False, soft_wrap=True)
        console.print(f"Written: {', '.join(path.name for path in written)}", markup=False, highlight=False)
    for song, why in failed.items():
        console.print(visible(f"failed: {song}: {why}"), markup=False, highlight=False, soft_wrap=True)
    for name, why in unmade.items():
        console.print(visible_lines(f"not made: table {name}: {why}"), markup=False, highlight=False, soft_wrap=True)
    return len(failed) + len(unmade)


def tables_of(names: Sequence[str], results: Results, recipe: Recipe) -> tuple[list[Table], dict[str, str]]:
    """Makes tables of the results of searches; one that cannot be made does not stop the others.

    Returns:
        The tables; and the name of each table that cannot be made -> why.
    """
    tables, unmade = [], {}
    for name in dict.fromkeys(names):
        if name not in (*CONSOLE_TABLES, *PRUNING_TABLES):
            continue
        try:
            tables.append(_table(name, results, recipe))
        except ValueError as error:
            unmade[name] = str(error)
    return tables, unmade


def named_folder(text: str) -> tuple[str, Path]:
    """Splits `[NAME=]FOLDER`; the folder's name is the default."""
    name, equals, path = text.partition("=")
    if not equals or Path(text).exists():
        name, path = Path(text).resolve().name, text
    return name, Path(path)


def _table(name: str, results: Results, recipe: Recipe) -> Table:
    consoles = [
        variant for variant in (console_variant(chain, recipe) for chain in CHAINS) if variant.name in results.readings
    ]
    by_data_set = name in ("5", "6")
    if name in CONSOLE_TABLES:
        table = losses_table(results.of(consoles), results.data_sets, by_data_set=by_data_set, reasons=results.reasons)
    else:
        table = pruning_table(
            results.of([pruning_variant(method, recipe) for method in METHODS]),
            results.data_sets,
            by_data_set=by_data_set,
            whole_training=results.of(consoles[-1:]).get(CHAINS[-1]),
            reasons=results.reasons,
        )
    return replace(table, notes=[*table.notes, *results.notes])


def main(arguments: list[str] | None = None) -> None:
    command_line = sys.argv[1:] if arguments is None else arguments
    options, overrides = parse(command_line)
    run_resumable("paper-tables", command_line, lambda: make(options, overrides, Console()))


if __name__ == "__main__":
    let_interrupts_end()
    main()
