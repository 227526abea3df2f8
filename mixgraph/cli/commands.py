"""The commands of `python -m mixgraph`, and the help that is shown without loading torch or Lightning."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from itertools import groupby, takewhile

from mixgraph.cli.arguments import env_is_allowed, take_imports
from mixgraph.cli.short_help import SHORT_HELPS, short_help
from mixgraph.cli.working_folder import check_working_folder, hide_repository
from mixgraph.names import did_you_mean
from mixgraph.system.imports import without_collections

PROGRAM = "python -m mixgraph"
_TOOLS = "tools."


@dataclass(frozen=True)
class Command:
    """One command of `python -m mixgraph`.

    Attributes:
        name: the name that users type.
        group: the heading in the help under which it is listed.
        summary: the command's line in the help.
        module: the module with `main(arguments)`, imported when the command runs.
        passes_name: whether `main` gets the command's name as its first argument.
    """

    name: str
    group: str
    summary: str
    module: str
    passes_name: bool = False


_SEARCH, _RESULTS, _MIXING, _DEMIXING = "searching", "with results", "mixing without a mix", "demixing"
_DATA, _FIGURES = "data sets", "measuring"
COMMANDS = (
    Command("fit", _SEARCH, "finds a song's graph, or trains a network", "mixgraph.cli.training", True),
    Command("validate", _SEARCH, "measures the match loss of whole songs", "mixgraph.cli.training", True),
    Command("test", _SEARCH, "measures it by the paper's protocol, too", "mixgraph.cli.training", True),
    Command("predict", _SEARCH, "renders the mix of a graph (--start RESULT)", "mixgraph.cli.training", True),
    Command("render", _RESULTS, "renders a found graph on tracks", "mixgraph.cli.render"),
    Command("report", _RESULTS, "writes results, or a dataset, as a page to open", "mixgraph.cli.report"),
    Command("export", _RESULTS, "writes a found graph as files for a studio", "mixgraph.cli.export"),
    Command("estimate", _RESULTS, "predicts a song's graph at once, with a trained network", "mixgraph.cli.estimate"),
    Command("automix", _MIXING, "mixes dry tracks that have no mix, as a graph", "mixgraph.cli.automix", True),
    Command("transfer", _MIXING, "mixes them in the style of another mix", "mixgraph.cli.automix", True),
    Command("demix", _DEMIXING, "takes a mix apart into stems, with a trained demixer", "mixgraph.cli.demix"),
    Command("prune-demixer", _DEMIXING, "makes a trained demixer smaller", "mixgraph.cli.prune_demixer"),
    Command("export-onnx", _DEMIXING, "writes a trained network as an ONNX file", "mixgraph.cli.export_onnx"),
    Command("build-dataset", _DATA, "searches many songs and writes shards", "tools.build_dataset"),
    Command("validate-shards", _DATA, "checks every byte and field of a data set", "mixgraph.cli.shards", True),
    Command("rehydrate", _DATA, "finds the audio of shards in your own songs", "mixgraph.cli.shards", True),
    Command("generate-synthetic", _DATA, "makes songs with known graphs", "tools.generate_synthetic"),
    Command("sweep", _FIGURES, "tries settings, without a server or with one", "tools.sweep"),
    Command("fidelity", _FIGURES, "how well searches match, and what they recover", "tools.fidelity"),
    Command("paper-tables", _FIGURES, "the paper's tables on your songs, beside its figures", "tools.paper_tables"),
    Command("paper-figures", _FIGURES, "the paper's figures of your results", "tools.paper_figures"),
    Command("find-transform", _FIGURES, "ranks transforms by ideal masks on stems", "mixgraph.cli.find_transform"),
    Command("evaluate-demixer", _FIGURES, "scores a demixer on known stems", "mixgraph.cli.evaluate_demixer"),
    Command("evaluate-automix", _FIGURES, "judges mixes that were proposed", "mixgraph.cli.evaluate_automix"),
    Command("evaluate-estimator", _FIGURES, "judges a trained network", "tools.evaluate_estimator"),
)


def version() -> str:
    """The version of the installed package."""
    return metadata.version("mixgraph")


def overview() -> str:
    """The help of the program, one line for each command."""
    lines = [
        f"usage: {PROGRAM} COMMAND [options]      (or: mixgraph COMMAND [options])",
        "",
        "Finds the audio processing graph that turns the dry tracks of a song into its finished mix.",
    ]
    for group, commands in groupby(COMMANDS, key=lambda command: command.group):
        lines += ["", f"{group}:", *(f"  {command.name:<20}{command.summary}" for command in commands)]
    lines += [
        "",
        f"To begin: {PROGRAM} fit MY_SONG, where MY_SONG is a folder with a mix and a folder tracks/.",
        f"Options of a command: {PROGRAM} COMMAND --help. Paths with spaces want quotes. --version says the version.",
    ]
    return "\n".join(lines)


def run(arguments: Sequence[str]) -> int | str | None:
    """Runs a command line; returns the exit code or an error message, as `sys.exit` takes it.

    Args:
        arguments: the words after the program's name.
    """
    first = arguments[0] if arguments else ""
    if first in ("", "-h", "--help", "help"):
        sys.stdout.write(overview() + "\n")
        return 0 if first else 2
    if first == "--version":
        sys.stdout.write(f"mixgraph {version()}\n")
        return 0
    command = next((command for command in COMMANDS if command.name == first), None)
    if command is None:
        names = [command.name for command in COMMANDS]
        hint = did_you_mean(first, names)
        sys.stderr.write(f"mixgraph: no command is named {first!r}; there are {', '.join(names)}.{hint}\n")
        return 2
    rest = take_imports(arguments[1:])
    sys.argv[0] = f"{PROGRAM} {command.name}"  # argparse takes it for the program's name
    if {"-h", "--help"} & set(takewhile(lambda word: word != "--", rest)):
        if command.name in SHORT_HELPS:
            sys.stdout.write(short_help(PROGRAM, command.name) + "\n")
            return 0
        if command.module.startswith(_TOOLS):  # its import takes seconds
            parser = f"{command.module.removeprefix(_TOOLS)}_parser"
            getattr(import_module(f"{_TOOLS}options"), parser)().print_help()
            return 0
    check_working_folder(env_is_allowed())
    if not env_is_allowed():
        hide_repository()
    with without_collections():
        module = import_module(command.module)
    result: int | str | None = module.main([command.name, *rest] if command.passes_name else rest)
    return result
