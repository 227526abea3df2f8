"""Extreme settings on extreme signals: all types are finite, and what is not would be found."""

import json

import pytest
import torch
from torch import Tensor

from mixgraph.processors import Parameter, Processor, registered
from tools.extremes import ends, findings, main, signals

RATE = 8000


@pytest.mark.long
def test_every_type_is_finite_within_its_ranges(capsys, tmp_path) -> None:
    out = tmp_path / "extremes.json"
    code = main(["--rate", str(RATE), "--seconds", "0.1", "--out", str(out)])
    assert code == 0, capsys.readouterr().out
    rows = json.loads(out.read_text())["rows"]
    assert [row[0] for row in rows] == list(registered())
    assert {row[3] for row in rows} == {"0"}
    assert "none" not in {row[4] for row in rows}


@pytest.mark.parametrize("name", ["attack_release_compressor", "noisegate", "parametric_equalizer", "saturator"])
def test_steep_types_are_finite_on_what_is_loud_and_what_is_silent(name) -> None:
    processor, loud = registered()[name](sample_rate=RATE), signals(200)
    for signal in ("silence", "1e+6", "one sample"):
        assert not list(findings(processor, ends(processor), loud[signal], 0.5)), signal


class Divider(Processor):
    """The logarithm of silence is infinite, and so is what two of its settings make."""

    name, letter, linear = "divider", "Z", False

    @property
    def specification(self) -> dict[str, Parameter]:
        return {"power": Parameter((1,), "1", -1, 200, lambda p: p, lambda value: value)}

    def process(self, signal: Tensor, parameters, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return signal.abs().log() + parameters["power"].exp().unsqueeze(-1), signal.new_zeros(signal.shape[0], 0)


def test_what_is_not_finite_is_found_with_the_setting_that_made_it() -> None:
    processor, silent = Divider(RATE), torch.zeros(2, 3)
    lines = list(findings(processor, ends(processor), torch.ones(2, 3)))
    assert lines == [
        f"{what} with {label}"
        for what in ("the output", "the gradient by power")
        for label in ("all high", "power high")
    ]
    assert "the output with the centre" in findings(processor, ends(processor), silent)
    assert "the output with all low" in findings(processor, ends(processor), silent)
