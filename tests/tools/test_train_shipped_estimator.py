"""The command that trains the shipped estimator: what it is asked for, and what it refuses."""

from pathlib import Path

import pytest

from mixgraph.synthetic.settings import GenerationSettings
from tools.generate_synthetic import parse as parse_set
from tools.generate_synthetic import plan_of
from tools.train_shipped_estimator import HELD_OUT, SET, check, command_of, main, numbers, parse, same_as_before


def test_no_song_is_both_trained_on_and_judged(tmp_path) -> None:
    arguments = ["a/song_1", "a/song_2", "--out", str(tmp_path / "out"), "--judged", "b/song_2"]
    with pytest.raises(ValueError, match="--judged: songs that are not trained on are needed, got song_2"):
        main(arguments)
    assert not (tmp_path / "out").exists()
    check(parse(["a/song_1", "--out", "x", "--judged", "b/song_2"]))


def test_the_card_names_the_command_that_makes_the_same_again() -> None:
    arguments = [
        "songs/a",
        "songs/b",
        "--out",
        "x",
        "--parts",
        "5",
        "--skip",
        "1",
        "3",
        "--epochs",
        "7",
        "--balanced-share",
        ".7",
    ]
    options = parse(arguments)
    assert numbers(options) == [0, 2, 4]
    command = command_of(options)
    assert command.startswith("python -m tools.train_shipped_estimator a b --out DIR --parts 5 --skip 1 3 ")
    again = parse(command.split()[3:])
    assert vars(again) == vars(options) | {"songs": [Path("a"), Path("b")], "out": Path("DIR")}


def test_the_set_has_both_kinds_of_mixes_and_the_parts_other_seeds() -> None:
    options = parse_set(["--out", "x", *(text for option, value in SET.items() for text in (option, str(value)))])
    plan = plan_of(options)
    assert isinstance(plan.settings, GenerationSettings)
    assert plan.settings.mixing.effects_share == 0.5
    assert plan.num_instrument_songs > 0
    assert plan.corpus_seed == 0  # one deal of tracks to splits for all parts
    assert len(set(HELD_OUT.values())) == len(HELD_OUT)
    assert min(HELD_OUT.values()) > parse(["--out", "x"]).parts


def test_a_folder_goes_on_with_what_it_was_begun_with_alone(tmp_path) -> None:
    file = tmp_path / "out" / "recipe.json"
    for _ in range(2):
        same_as_before(file, {"parts": [0, 1], "seed": 0}, "epochs")
    with pytest.raises(ValueError, match=r"--out: epochs in .*out made with parts \[0, 1\], got \[0\]\. HINT"):
        same_as_before(file, {"parts": [0], "seed": 0}, "epochs")
