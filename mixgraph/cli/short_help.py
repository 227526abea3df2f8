"""The short help of `fit`, `validate`, `test` and `predict`, shown without loading torch or Lightning.

`--help-all` lists all options; the short help lists those that matter first.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap

from mixgraph.shipped import configurations

_WIDTH = 119


@dataclass(frozen=True)
class HelpOption:
    """An option of a short help.

    Attributes:
        words: the option with its value, as users type it.
        text: the description of the option.
        setting: the setting whose default is shown; empty if none is shown.
        default: that default in YAML; a test compares it with the signatures.
    """

    words: str
    text: str
    setting: str = ""
    default: object = None


@dataclass(frozen=True)
class ShortHelp:
    """The short help of a command.

    Attributes:
        usage: the words after the command's name, one line for each usage.
        summary: the description of the command.
        options: heading -> the options under it.
    """

    usage: tuple[str, ...]
    summary: str
    options: dict[str, tuple[HelpOption, ...]]


_SAMPLE_RATE = HelpOption(
    "--data.sample_rate HZ", "rate of the search; song: that of the mix", "data.sample_rate", 30000
)
_MIX = HelpOption("--mix FILE --tracks FOLDER", "a mix and the folder of its dry tracks, in place of SONG")
_SUBGROUPING = HelpOption("--data.subgrouping RULE", "auto, rule, or one_per_track", "data.subgrouping", "auto")
_OVERWRITE = HelpOption("--result.overwrite BOOL", "replace a result that is there", "result.overwrite", False)
_SETTINGS = (
    HelpOption("--config NAME_OR_FILE", "a YAML file, or one that comes along; later ones win"),
    HelpOption("--import MODULE", "a module of yours; its classes may be named in YAML files"),
    HelpOption("--allow-env", "let YAML files ask for variables of the environment"),
    HelpOption("--trainer.accelerator NAME", "auto, cpu or gpu", "trainer.accelerator", "auto"),
)
_FIT = ShortHelp(
    ("SONG [SONG ...] [options]", "--mix FILE --tracks FOLDER [options]", "--config NAME_OR_FILE [options]"),
    "Finds the graph that turns the dry tracks of a song into its mix. SONG is a folder with a mix and tracks/.",
    {
        "the song": (
            _MIX,
            _SAMPLE_RATE,
            _SUBGROUPING,
            HelpOption("--data.apply_alignment BOOL", "correct tracks' offsets", "data.apply_alignment", False),
        ),
        "how long": (
            HelpOption("--budget TIME", "fit the search into 20m, 1h30m, ..."),
            HelpOption("--data.steps_per_stage N", "training steps of a stage", "data.steps_per_stage", 500),
            HelpOption("--pruning.console_stages N", "stages before pruning", "pruning.console_stages", 12),
            HelpOption("--pruning.rounds N", "rounds of pruning, a stage each", "pruning.rounds", 12),
        ),
        "what is looked for": (
            HelpOption("--model.track_chain LETTERS", "processors of every track", "model.track_chain", "ecnsgdr"),
            HelpOption("--model.subgroup_chain LETTERS", "those of every subgroup", "model.subgroup_chain", "ecnsgdr"),
            HelpOption("--model.master_chain LETTERS", "those of the whole mix", "model.master_chain", ""),
            HelpOption("--pruning.tolerance X", "how much pruning may cost of the match", "pruning.tolerance", 0.03),
            HelpOption("--start RESULT", "begin with the graph of a result folder"),
            HelpOption("--seed_everything N", "another seed, another search", "seed_everything", 42),
        ),
        "the result": (
            HelpOption("--result.path FOLDER", "where it goes; results/SONG where not given", "result.path", None),
            _OVERWRITE,
            HelpOption("--ckpt_path FILE", "go on with a search that did not end"),
        ),
        "settings": _SETTINGS,
    },
)


def _of_a_graph(summary: str, result: tuple[HelpOption, ...] = ()) -> ShortHelp:
    """The help of a command that uses a graph without training it."""
    graph = (
        HelpOption("--start RESULT", "a result folder, or a list of them, one a song"),
        HelpOption("--ckpt_path FILE", "a checkpoint: a search's stage.ckpt, or a network's"),
    )
    options = {
        "the song": (_MIX, _SAMPLE_RATE, _SUBGROUPING),
        "the graph": graph,
        "the result": result,
        "settings": _SETTINGS,
    }
    usage = ("SONG [SONG ...] --start RESULT [options]", "--config RESULT/config.yaml --start RESULT [options]")
    return ShortHelp(
        usage, summary, {heading: heading_options for heading, heading_options in options.items() if heading_options}
    )


SHORT_HELPS = {
    "fit": _FIT,
    "validate": _of_a_graph("Measures the match loss of whole songs, with the mix that a graph makes of their tracks."),
    "test": _of_a_graph("Measures the match loss of whole songs as validate does, and by the paper's protocol."),
    "predict": _of_a_graph(
        "Renders the mix that a graph makes of a song's tracks, to mix_found.flac in the result folder.",
        (
            HelpOption("--result.path FOLDER", "where it goes; results/SONG where not given", "result.path", None),
            _OVERWRITE,
        ),
    ),
}


def short_help(program: str, command: str) -> str:
    """The short help of a command.

    Args:
        program: the program as users type it.
        command: one of `SHORT_HELPS`.
    """
    help_text = SHORT_HELPS[command]
    first, *more = (f"{program} {command} {words}" for words in help_text.usage)
    lines = [f"usage: {first}", *(f"       {line}" for line in more), "", help_text.summary, ""]
    for heading, options in help_text.options.items():
        lines.append(f"{heading}:")
        for option in options:
            stated = f" ({str(option.default).lower()})" if option.setting and option.default not in (None, "") else ""
            lines.append(f"  {option.words:<34}{option.text}{stated}")
        lines.append("")
    if command == "fit":
        names = [name for name in configurations() if not name.startswith("sweeps/")]
        lines += wrap(f"Configurations that come along: {', '.join(names)}.", _WIDTH, break_on_hyphens=False)
        letters = "e equalizer, c compressor, n noisegate, s stereo imager, g gain, d delay, r reverb"
        lines += [f"Letters: {letters}.", "Others, splitters, buses and sidechains: docs/guide/consoles.md."]
    lines.append(f"All options: {program} {command} --help-all. What all settings would be: --print_config.")
    return "\n".join(lines)
