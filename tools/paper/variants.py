"""The searches that a table or a figure needs of each song, as options of `python -m mixgraph fit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixgraph.paper.published import CHAINS, DEFAULT_METHOD, METHODS, SAMPLER_NAMES, TOLERANCES, Method
from tools.bench.recipe import Recipe

CONSOLE_TABLES, PRUNING_TABLES, TRADEOFF, REPEATED = ("1", "5"), ("2", "6"), "10", "11"
SEARCHED = (*CONSOLE_TABLES, *PRUNING_TABLES, TRADEOFF, REPEATED)
"""What searches are run for: tables, and the figures that need searches of their own."""
PAPER_PRUNING_STEPS = 6000
"""Steps of the paper's schedule behind the console's, by which its sparsity ramps are stated."""
_FULL_CHAIN = "ecnsgdr"


@dataclass(frozen=True)
class Variant:
    """One search of each song.

    Attributes:
        name: the name of its folder below `searches`.
        arguments: the options of `fit` in which it differs from the other ones.
        row: what it is in a table: a chain, or a sampler and a tolerance.
        begins_from: name of the variant whose trained console it begins from; "" for a search from the start.
        runs: searches of each song, by different seeds.
    """

    name: str
    arguments: tuple[str, ...]
    row: str | Method
    begins_from: str = ""
    runs: int = 1


def console_variant(chain: str, recipe: Recipe) -> Variant:
    """The search that trains a console for all steps of a schedule, and prunes nothing."""
    stages = recipe.console_steps // recipe.round_steps + recipe.rounds
    arguments = [
        *("--config", f"consoles/{chain or 'base_graph'}.yaml"),
        f"--data.steps_per_stage={recipe.round_steps}",
        f"--pruning.console_stages={stages}",
        "--pruning.rounds=0",
        "--pruning.leave_one_out=false",
    ]
    return Variant(f"console_{chain or 'base'}", tuple(arguments), chain)


def pruning_variant(method: Method, recipe: Recipe, runs: int = 1) -> Variant:
    """The search by a sampler and a tolerance; all but the default begin from its trained console.

    The console's training does not depend on the sampler, so that they find what they would find from the start.
    The default one also measures the loss increases of Figure 4.
    """
    sampler, tolerance = method
    is_default = method == DEFAULT_METHOD
    arguments = [
        *("--config", f"pruning/{sampler}.yaml"),
        f"--pruning.tolerance={tolerance:g}",
        f"--data.steps_per_stage={recipe.round_steps}",
        f"--pruning.console_stages={recipe.console_steps // recipe.round_steps}",
        f"--pruning.rounds={recipe.rounds}",
        f"--pruning.leave_one_out={str(is_default).lower()}",
        f"--result.keep_console={str(is_default).lower()}",
    ]
    return Variant(
        method_name(method), tuple(arguments), method, "" if is_default else method_name(DEFAULT_METHOD), runs
    )


def method_name(method: Method) -> str:
    """The name of a sampler with a tolerance: `hybrid_0.01`."""
    return f"{method[0]}_{method[1]:g}"


def variants(what: Sequence[str], recipe: Recipe, runs: int) -> list[Variant]:
    """Returns the searches that tables and figures need, each once, those first that others begin from.

    Args:
        what: some of `SEARCHED`.
        recipe: the schedule.
        runs: the number of repeated searches of Figure 11.
    """
    methods: dict[Method, int] = {}
    if {*PRUNING_TABLES, TRADEOFF, REPEATED} & set(what):
        methods[DEFAULT_METHOD] = runs if REPEATED in what else 1
    if set(PRUNING_TABLES) & set(what):
        methods |= {method: 1 for method in METHODS if method not in methods}
    if TRADEOFF in what:
        grid = [(sampler, tolerance) for sampler in SAMPLER_NAMES for tolerance in TOLERANCES]
        methods |= {method: 1 for method in grid if method not in methods}
    chosen = [pruning_variant(method, recipe, count) for method, count in methods.items()]
    if set(CONSOLE_TABLES) & set(what):
        chosen += [console_variant(chain, recipe) for chain in CHAINS]
    return chosen
