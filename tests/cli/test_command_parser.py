"""The option parser of every command: whole names, and negative numbers as values."""

from __future__ import annotations

import math

import pytest

from mixgraph.cli import automix, options
from mixgraph.cli.command_parser import CommandParser
from tools.options import generate_synthetic_parser


def message(parser: CommandParser, words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of the error with which a parser ends."""
    with pytest.raises(SystemExit) as end:
        parser.parse_args(words)
    assert end.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--songs", "3"], "unrecognized arguments: --songs. HINT: did you mean --songs-per-engineer?"),
        (["--songs=3", "--out", "x"], "unrecognized arguments: --songs. HINT: did you mean --songs-per-engineer?"),
        (["--se", "3"], "unrecognized arguments: --se. HINT: did you mean --seconds or --seed?"),
        (["-out", "x"], "unrecognized arguments: -out. HINT: did you mean --out?"),
        (["--out", "x", "--zzz"], "unrecognized arguments: --zzz"),
        (["song"], "the following arguments are required: --out"),
    ],
)
def test_abbreviations_are_refused_with_the_option_that_was_meant(words, error, capsys) -> None:
    assert message(generate_synthetic_parser(), words, capsys).endswith(f"error: {error}")


def test_an_option_that_begins_as_others_do_is_itself() -> None:
    chosen = generate_synthetic_parser().parse_args(["--out", "x", "--test", "2", "--test-songs", "a"])
    assert (chosen.test, chosen.test_songs) == (2, ["a"])


def test_subcommands_refuse_abbreviations_too(capsys) -> None:
    parser = CommandParser()
    parser.add_argument("--seed")
    training = parser.add_subparsers(required=True).add_parser("train")
    training.add_argument("--minutes")
    assert message(parser, ["train", "--min", "3"], capsys).endswith("--min. HINT: did you mean --minutes?")
    assert message(parser, ["--se", "3", "train"], capsys).endswith("--se. HINT: did you mean --seed?")
    assert parser.parse_args(["--seed", "3", "train", "--minutes", "1"]).minutes == "1"


def test_what_follows_two_dashes_is_no_option() -> None:
    parser = CommandParser()
    parser.add_argument("--seed")
    parser.add_argument("words", nargs="*")
    assert parser.parse_args(["--", "--see", "-x"]).words == ["--see", "-x"]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("-6", -6),
        ("-.5", -0.5),
        ("-6.", -6),
        ("-1e-3", -1e-3),
        ("-1_0", -10),
        ("-inf", -math.inf),
        ("-Infinity", -math.inf),
    ],
)
def test_negative_numbers_are_values(word: str, value: float) -> None:
    parser = automix._parser("automix")
    chosen = parser.parse_args(["song", "--out", "x", "--level-bounds", word, "inf", "--threshold", word])
    assert chosen.level_bounds == [value, math.inf]
    assert chosen.threshold == value


@pytest.mark.parametrize(("word", "value"), [("-6", -6), ("-1e-3", -1e-3), ("-.inf", -math.inf)])
def test_negative_numbers_are_values_of_a_search_too(word: str, value: float) -> None:
    parser = options.OptionParser()
    parser.add_argument("--bound", type=float)
    assert parser.parse_args(["--bound", word]).bound == value


def test_what_only_begins_as_a_number_is_told_as_one(capsys) -> None:
    words = ["song", "--out", "x", "--level-bounds", "-6dB", "6"]
    assert "argument --level-bounds: invalid float value: '-6dB'" in message(automix._parser("automix"), words, capsys)


@pytest.mark.parametrize("bounds", [("1", "6"), ("-6", "-1"), ("nan", "6")])
def test_bounds_of_levels_are_checked_before_anything_is_loaded(bounds, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"level-bounds: a number up to 0 and one from 0 are needed, got"):
        automix.main(["automix", "nowhere", "--out", str(tmp_path / "x"), "--level-bounds", *bounds])
