"""The calibration of probabilities: a record of answers made by hand is fitted and judged, and songs are searched."""

import json

import numpy as np
import pytest

from mixgraph.report.confidence import ConfidenceModel
from tools.bench.calibration.fit import judged_processors
from tools.calibrate_confidence import collect, kept_answers, main, parse
from tools.result_tables import read_table

TRUTH = ConfidenceModel(bias=3.0, log_increase=2.0, weight=0.0)


def answers(count, split, seed):
    """Searches of one track each, whose delay is right with the probability that a model tells; none finds more."""
    generator = np.random.default_rng(seed)
    place = {"place": ["track", "vox", []], "type": "delay"}
    for index in range(count):
        rise, weight, luck = 10 ** generator.uniform(-3, 0), generator.uniform(0, 1), generator.uniform(0, 1)
        true = [place | {"worth": 0.1}] if luck < TRUTH.probability(rise, weight) else []
        answer = {"loss": 0.5, "processors": [place | {"worth": rise, "weight": weight}], "true": true}
        yield {"key": {"split": split, "index": index}, "run": "", "answer": answer | {"groups": {"voice": ["vox"]}}}


def test_kept_answers_are_fitted_and_judged(tmp_path, capsys) -> None:
    records = [*answers(600, "train", 0), *answers(400, "test", 1)]
    (tmp_path / "searches.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    table = tmp_path / "table.json"
    main(["--out", str(tmp_path), "--kept", "--train", "600", f"--table={table}"])
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((tmp_path / "confidence.json").read_text())
    model = ConfidenceModel.from_dict(record)
    assert (model.bias, model.log_increase, model.weight) == pytest.approx((3, 2, 0), abs=0.8)
    assert record["fitted_to"]["train songs"] == record["fitted_to"]["processors"] == 600
    assert record["judged"]["other songs"]["processors"] == 400
    assert record["judged"]["other songs"]["expected_calibration_error"] < 0.1
    assert (tmp_path / "reliability.png").is_file()
    assert read_table(table).measured[0].command == "python -m tools.calibrate_confidence --kept --train 600"
    rows = read_table(table).rows
    assert [row[:2] for row in rows] == [
        ("600 synthetic songs, fitted to", "600"),
        ("400 other synthetic songs", "400"),
    ]
    first = record["judged"]["other songs"]["bins"][0]
    assert rows[1][-1].split(", ")[0] == f"{first['probability']:.2f}: {first['right']:.2f} of {first['count']}"
    with pytest.raises(ValueError, match=r"SONG=RESULT is needed, of a song with a truth.json, got 'x'"):
        main(["--out", str(tmp_path), "--kept", "--results", "x"])


@pytest.mark.long
def test_songs_with_known_graphs_are_searched_once(tmp_path, capsys) -> None:
    options = parse(["--out", str(tmp_path), "--train", "1", "--test", "1", "--steps", "2", "1", "1"])
    searched = collect(options)
    assert {split: len(of_split) for split, of_split in searched.items()} == {"train": 1, "test": 1}
    before = (tmp_path / "searches.jsonl").read_text()
    assert collect(options) == searched
    assert (tmp_path / "searches.jsonl").read_text() == before
    kept = kept_answers(tmp_path / "searches.jsonl")
    (answer,) = kept["train"]
    assert answer.items() <= searched["train"][0].items()
    judged = judged_processors(answer)
    assert len(judged) == len(answer["processors"]) > 0
    assert all(0 <= one.weight <= 1 for one in judged)
    assert all(one["worth"] > 0 for one in answer["true"])
    assert capsys.readouterr().err.count("processors") == 4
