"""The registry, and the errors of what is declared wrongly."""

import pytest
import torch

from mixgraph.processors import Processor, make_processors, processor_type, register, registered, types_from_letters
from mixgraph.processors.dynamics import DynamicRangeProcessor

LETTERS = {  # name -> letter, and whether it is linear
    "attack_release_compressor": ("k", False),
    "attack_release_gate": ("q", False),
    "band_splitter": ("b", True),
    "compressor": ("c", False),
    "delay": ("d", True),
    "equalizer": ("e", True),
    "fader": ("f", False),
    "gain_panning": ("g", True),
    "late_reverb": ("l", True),
    "mid_side_splitter": ("t", True),
    "noisegate": ("n", False),
    "parametric_equalizer": ("p", True),
    "reverb": ("r", True),
    "saturator": ("h", False),
    "send": ("a", True),
    "sidechain_compressor": ("x", False),
    "stereo_imager": ("s", True),
}


def test_every_processor_keeps_its_letter():
    assert {name: (kind.letter, kind.linear) for name, kind in registered().items()} == LETTERS
    assert list(registered()) == sorted(registered())
    # Capital letters are for processors from outside; i, m and o are input, mix and output in drawings.
    assert all(letter.islower() and letter not in "imo" for letter, _ in LETTERS.values())


def test_gain_staging_is_of_processors_that_change_spectra():
    assert {name for name, kind in registered().items() if kind.gain_staged} == {
        "equalizer",
        "parametric_equalizer",
        "delay",
        "reverb",
        "late_reverb",
    }


def test_parameter_counts_of_the_reference():
    counts = {
        name: sum(torch.Size(p.shape).numel() for p in processor.specification.values())
        for name, processor in make_processors().items()
        if processor.letter in "ecnsgdr"
    }
    assert counts == {
        "compressor": 4,
        "delay": 880,
        "equalizer": 1024,
        "gain_panning": 2,
        "noisegate": 4,
        "reverb": 772,
        "stereo_imager": 1,
    }


def test_taken_names_letters_and_type_ids_are_refused():
    class Other(Processor):
        name, letter, linear = "another", "e", True

    with pytest.raises(ValueError, match="letter 'e' is taken by Equalizer"):
        register(Other)
    Other.name, Other.letter = "reverb", "z"
    with pytest.raises(ValueError, match="name 'reverb' or letter 'z' is taken by Reverb"):
        register(Other)
    Other.name, Other.type_id = "another", 17
    with pytest.raises(ValueError, match=r"type_id 17 is taken by Saturator\. HINT: 1000 is free"):
        register(Other)
    Other.type_id = 2
    with pytest.raises(ValueError, match="type_id: 3 or more is needed, got 2"):
        register(Other)
    assert set(registered()) == set(LETTERS)


def test_letters():
    assert types_from_letters("ecnsgdr") == (
        "equalizer",
        "compressor",
        "noisegate",
        "stereo_imager",
        "gain_panning",
        "delay",
        "reverb",
    )
    assert types_from_letters("") == ()
    assert types_from_letters("gg") == ("gain_panning", "gain_panning")


def test_unknown_letters_list_the_known():
    with pytest.raises(ValueError, match=r"unknown processor letter 'z' in chain 'egz'.*c \(compressor\).*s \(stereo"):
        types_from_letters("egz")


def test_unknown_types_list_the_known():
    with pytest.raises(ValueError, match=r"unknown processor type 'chorus'; known are attack_release_compressor, "):
        processor_type("chorus")
    assert processor_type("reverb") is registered()["reverb"]


def test_make_processors_passes_options():
    processors = make_processors(16000, {"compressor": {"gain": "energy"}, "delay": {"radius_weight": 1.0}})
    assert sorted(processors) == sorted(registered())
    assert {p.sample_rate for p in processors.values()} == {16000}
    assert processors["compressor"].exponent == 1.0
    assert processors["noisegate"].exponent == 0.5
    assert processors["delay"].radius_weight == 1.0


def test_make_processors_refuses_unknown_options():
    with pytest.raises(ValueError, match=r"options of processor 'reverb': .*unexpected keyword argument 'size'"):
        make_processors(options={"reverb": {"size": 3}})
    with pytest.raises(ValueError, match="unknown processor type 'chorus'"):
        make_processors(options={"chorus": {}})


def test_undeclared_parts_say_so():
    class Bare(Processor):
        name, letter, linear = "bare", "b", True

    with pytest.raises(TypeError, match="Bare declares no specification"):
        _ = Bare().specification

    class Flat(DynamicRangeProcessor):
        name, letter, direction = "flat", "f", 1

    with pytest.raises(TypeError, match="Flat declares no slope"):
        Flat().slope(torch.zeros(1))
    with pytest.raises(TypeError, match="Flat declares no envelope"):
        Flat().smooth(torch.zeros(1, 1), {}, None)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("equalizer", {"window": "hann"}),
        ("delay", {"window": "hann"}),
        ("reverb", {"mask": "linear"}),
        ("compressor", {"detector": "peak"}),
        ("compressor", {"envelope": "fast"}),
        ("noisegate", {"gain": "amplitud"}),
    ],
)
def test_misspelt_values_of_options_are_refused(name: str, options: dict[str, str]) -> None:
    (option, value) = next(iter(options.items()))
    with pytest.raises(ValueError, match=rf"{option}: one of .*, got '{value}'"):
        processor_type(name)(**options)
