"""The commands of `python -m mixgraph`, and the help that is shown without loading torch or Lightning."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module, metadata
from itertools import groupby
from textwrap import wrap

from mixgraph.shipped import configurations

PROGRAM = "python -m mixgraph"


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: as it is typed.
        group: heading that it stands under in the help.
        summary: one line for the help.
        module: has `main(arguments)`, imported when the command runs.
        passes_name: whether `main` is given the command's name as the first argument.
    """

    name: str
    group: str
    summary: str
    module: str
    passes_name: bool = False


_SEARCH, _RESULTS, _DATA, _FIGURES = "searching", "with results", "data sets", "measuring"
COMMANDS = (
    Command("fit", _SEARCH, "finds a song's graph, or trains a network", "mixgraph.cli.training", True),
    Command("validate", _SEARCH, "measures the match loss of whole songs", "mixgraph.cli.training", True),
    Command("test", _SEARCH, "measures it by the paper's protocol, too", "mixgraph.cli.training", True),
    Command("predict", _SEARCH, "renders the mix of a graph (--start RESULT)", "mixgraph.cli.training", True),
    Command("render", _RESULTS, "renders a found graph on tracks", "mixgraph.cli.render"),
    Command("estimate", _RESULTS, "predicts a song's graph at once, with a trained network", "mixgraph.cli.estimate"),
    Command("build-dataset", _DATA, "searches many songs and writes shards", "tools.build_dataset"),
    Command("validate-shards", _DATA, "checks every byte and field of a data set", "mixgraph.cli.shards", True),
    Command("rehydrate", _DATA, "finds the audio of shards in your own songs", "mixgraph.cli.shards", True),
    Command("generate-synthetic", _DATA, "makes songs with known graphs", "tools.generate_synthetic"),
    Command("fidelity", _FIGURES, "how well searches match, and what they recover", "tools.fidelity"),
    Command("evaluate-estimator", _FIGURES, "judges a trained network", "tools.evaluate_estimator"),
)


def version() -> str:
    """The version of the installed package."""
    return metadata.version("mixgraph")


def overview() -> str:
    """The help of the program: every command in a line."""
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


@dataclass(frozen=True)
class FitOption:
    """An option that is shown by `fit --help`.

    Attributes:
        words: the option with its value, as it is typed.
        text: what it does, with its default.
        setting: the setting whose default the text states; empty where there is none.
        default: that default, as YAML has it; a test compares it with the signatures.
    """

    words: str
    text: str
    setting: str = ""
    default: object = None


_FIT_USAGE = f"""usage: {PROGRAM} fit SONG [SONG ...] [options]
       {PROGRAM} fit --mix FILE --tracks FOLDER [options]
       {PROGRAM} fit --config NAME_OR_FILE [options]

Finds the graph that turns the dry tracks of a song into its mix. SONG is a folder with a mix and a folder tracks/.
"""
FIT_OPTIONS: dict[str, tuple[FitOption, ...]] = {
    "the song": (
        FitOption("--mix FILE --tracks FOLDER", "a mix and the folder of its dry tracks, in place of SONG"),
        FitOption("--data.sample_rate HZ", "rate at which audio is processed", "data.sample_rate", 30000),
        FitOption("--data.subgrouping RULE", "auto, rule, or one_per_track", "data.subgrouping", "auto"),
        FitOption("--data.apply_alignment BOOL", "correct tracks' offsets", "data.apply_alignment", False),
    ),
    "how long": (
        FitOption("--budget TIME", "fit the search into 20m, 1h30m, ..."),
        FitOption("--data.steps_per_stage N", "training steps of a stage", "data.steps_per_stage", 500),
        FitOption("--pruning.console_stages N", "stages before pruning", "pruning.console_stages", 12),
        FitOption("--pruning.rounds N", "rounds of pruning, a stage each", "pruning.rounds", 12),
    ),
    "what is looked for": (
        FitOption("--model.track_chain LETTERS", "processors of every track", "model.track_chain", "ecnsgdr"),
        FitOption("--model.subgroup_chain LETTERS", "those of every subgroup", "model.subgroup_chain", "ecnsgdr"),
        FitOption("--model.master_chain LETTERS", "those of the whole mix", "model.master_chain", ""),
        FitOption("--pruning.tolerance X", "how much pruning may cost of the match", "pruning.tolerance", 0.03),
        FitOption("--start RESULT", "begin with the graph of a result folder"),
        FitOption("--seed_everything N", "another seed, another search", "seed_everything", 42),
    ),
    "the result": (
        FitOption("--result.path FOLDER", "where it goes; results/SONG where not given", "result.path", None),
        FitOption("--result.overwrite BOOL", "replace a result that is there", "result.overwrite", False),
        FitOption("--ckpt_path FILE", "go on with a search that did not end"),
    ),
    "settings": (
        FitOption("--config NAME_OR_FILE", "a YAML file, or one that comes along; later ones win"),
        FitOption("--import MODULE", "a module of yours with processors, a console or data"),
        FitOption("--trainer.accelerator NAME", "auto, cpu or gpu", "trainer.accelerator", "auto"),
    ),
}


def fit_help() -> str:
    """The help of `fit`: the twenty options that matter first."""
    lines = [_FIT_USAGE]
    for group, options in FIT_OPTIONS.items():
        lines.append(f"{group}:")
        for option in options:
            stated = f" ({str(option.default).lower()})" if option.setting and option.default not in (None, "") else ""
            lines.append(f"  {option.words:<34}{option.text}{stated}")
        lines.append("")
    names = [name for name in configurations() if not name.startswith("sweeps/")]
    lines += wrap(f"Configurations that come along: {', '.join(names)}.", 119, break_on_hyphens=False)
    lines += [
        "Letters: e equalizer, c compressor, n noisegate, s stereo imager, g gain, d delay, r reverb.",
        "Others, splitters, buses and sidechains: docs/guide/consoles.md.",
        f"All options: {PROGRAM} fit --help-all. What all settings would be: --print_config.",
    ]
    return "\n".join(lines)


def run(arguments: Sequence[str]) -> int | str | None:
    """Runs a command line; returns the exit code or what is wrong, as `sys.exit` takes it.

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
        close = get_close_matches(first, names, n=2)
        hint = f" HINT: did you mean {' or '.join(close)}?" if close else ""
        sys.stderr.write(f"mixgraph: no command is named {first!r}; there are {', '.join(names)}.{hint}\n")
        return 2
    rest = list(arguments[1:])
    if command.name == "fit" and {"-h", "--help"} & set(rest):
        sys.stdout.write(fit_help() + "\n")
        return 0
    sys.argv[0] = f"{PROGRAM} {command.name}"  # argparse takes it for the program's name
    result: int | str | None = import_module(command.module).main(
        [command.name, *rest] if command.passes_name else rest
    )
    return result
