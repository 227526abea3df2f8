"""The probability of a processor to be right: the shipped model, its place in texts, and the fit on known answers."""

import math

import numpy as np
import pytest

from mixgraph.processors import make_processors
from mixgraph.processors.readings import NodeValues
from mixgraph.report.confidence import LEAST_INCREASE, ConfidenceModel, is_calibrated, probability_right, shipped_record
from mixgraph.report.settings import NodeSettings, settings_text
from tools.bench.calibration.fit import Judged, fit_model, judge, judged_processors
from tools.bench.calibration.picture import draw_reliability


def test_the_probability_is_logistic_in_the_logarithm_of_the_increase_and_in_the_weight() -> None:
    model = ConfidenceModel(bias=2.0, log_increase=1.0, weight=0.5)
    assert model.probability(0.01, 0.0) == 0.5
    assert model.probability(0.1, 1.0) == pytest.approx(1 / (1 + math.exp(-1.5)))
    assert model.probability(-3.0, 0.5) == model.probability(LEAST_INCREASE, 0.5)
    assert ConfidenceModel(-1e6, 0, 0).probability(1.0, 1.0) == 0


def test_the_shipped_record_is_whole_and_told_only_where_it_is_calibrated(monkeypatch) -> None:
    record = shipped_record()
    model = ConfidenceModel.from_dict(record)
    assert model.log_increase > 0  # what is needed more is right more often
    assert record["fitted_to"]["processors"] > 0
    others = {name: judged for name, judged in record["judged"].items() if name != "fitted songs"}
    worst = max(judged["expected_calibration_error"] for judged in others.values())
    assert is_calibrated(record) == (worst <= 0.1)
    assert (probability_right(0.1, 0.9) is None) == (worst > 0.1)
    assert not is_calibrated({"judged": {"fitted songs": {"expected_calibration_error": 0.01}}})
    calibrate(monkeypatch)
    assert probability_right(0.1, 0.9) == model.probability(0.1, 0.9)
    assert probability_right(None, 0.5) is None
    assert probability_right(math.nan, 0.5) is None


def calibrate(monkeypatch) -> None:
    """The shipped coefficients, as if they were calibrated."""
    judged = {"other songs": {"expected_calibration_error": 0.1}}
    record = {**shipped_record(), "judged": judged}
    monkeypatch.setattr("mixgraph.report.confidence.shipped_record", lambda: record)


@pytest.mark.parametrize("calibrated", [False, True])
def test_texts_tell_it_where_it_is_known(monkeypatch, calibrated) -> None:
    if calibrated:
        calibrate(monkeypatch)
    processor = make_processors(30000)["gain_panning"]
    values = NodeValues(processor.sample_initial_values(1, spread=0.0), 0.9)
    known = NodeSettings(0, "track kick", "gain", processor, values, 0.1)
    unknown = NodeSettings(1, "track kick", "gain", processor, values, None)
    lines = settings_text([known, unknown], "A song", 30000).splitlines()
    (head,) = (line for line in lines if line.startswith("track kick"))
    rows = [line.split() for line in lines if line.startswith("  gain ")]
    share = probability_right(0.1, 0.9)
    assert unknown.drawn_text() == unknown.text()
    if share is None:
        assert known.drawn_text() == known.text() == "left +0.0 dB, right +0.0 dB"
        assert head.split()[-2:] == ["wet", "loss"]
        assert [row[1:4] for row in rows] == [["90%", "+0.100", "left"], ["90%", "-", "left"]]
    else:
        assert known.drawn_text() == f"left +0.0 dB, right +0.0 dB; right with a probability of {share:.0%}"
        assert head.split()[-3:] == ["wet", "loss", "right"]
        assert [row[1:4] for row in rows] == [["90%", "+0.100", f"{share:.0%}"], ["90%", "-", "-"]]


def drawn(model, count, seed):
    """Processors that are right with the probability that a model tells."""
    generator = np.random.default_rng(seed)
    rises, weights = 10 ** generator.uniform(-3, 0, count), generator.uniform(0, 1, count)
    luck = generator.uniform(0, 1, count)
    return [Judged(r, w, bool(u < model.probability(r, w))) for r, w, u in zip(rises, weights, luck, strict=True)]


def test_the_fit_finds_the_model_that_made_the_answers_and_its_judgement_is_exact(tmp_path) -> None:
    truth = ConfidenceModel(bias=2.0, log_increase=1.5, weight=1.0)
    model = fit_model(drawn(truth, 20_000, 0))
    assert (model.bias, model.log_increase, model.weight) == pytest.approx((2.0, 1.5, 1.0), abs=0.15)
    assert judge(model, drawn(truth, 20_000, 1)).expected_calibration_error < 0.02
    sure = ConfidenceModel(math.log(9), 0.0, 0.0)  # always .9
    judgement = judge(sure, [Judged(0.1, 0.5, i < 6) for i in range(10)])
    assert judgement.expected_calibration_error == pytest.approx(0.3)
    assert judgement.brier == pytest.approx(0.6 * 0.01 + 0.4 * 0.81)
    assert [(b.count, b.right) for b in judgement.bins] == [(10, 0.6)]
    draw_reliability({"all": judgement}, tmp_path / "reliability.png")
    assert (tmp_path / "reliability.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="right and wrong ones are needed, got 3 right of 3"):
        fit_model([Judged(0.1, 0.5, True)] * 3)


def test_a_processor_is_right_modulo_what_cannot_be_told_apart() -> None:
    place, group = ["track", "vox", []], ["subgroup", "voice", []]
    answer = {
        "true": [{"place": place, "type": "reverb", "worth": 0.3}, {"place": place, "type": "delay", "worth": 0.1}],
        "processors": [  # in any order of levels
            {"place": group, "type": "reverb", "worth": 0.2, "weight": 0.4},
            {"place": place, "type": "gain_panning", "worth": 0.01, "weight": 0.5},
            {"place": place, "type": "delay", "worth": None, "weight": 0.5},
        ],
        "groups": {"voice": ["vox"]},
    }
    assert judged_processors(answer) == [Judged(0.2, 0.4, True), Judged(0.01, 0.5, False)]
