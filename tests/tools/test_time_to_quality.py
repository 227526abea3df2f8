"""Time to quality: what counts as reached, against the peer and against our own full schedule."""

import json

import pytest

from tools.bench.time_to_quality import COLUMNS, main, published_ends, read_searches


def line(rules, steps, seed, curve, song="demo_potassium"):
    points = [
        {"step": step, "processor_seconds": step / 10, "loss_target": loss, "loss_prediction": loss, "processors": left}
        for step, loss, left in curve
    ]
    answer = {"curve": points, "truth": {"all": {"f1": 0.5}}}
    return json.dumps({"key": {"song": song, "rules": rules, "steps": steps, "seed": seed}, "answer": answer})


def test_a_table_of_two_schedules(tmp_path, capsys) -> None:
    """The peer ends at 0.607 with 30 processors; our full schedule at 0.5 with 14, so that 0.51 with 15 is as good."""
    full = [(300, 0.52, 70), (350, 0.55, 25), (400, 0.5, 14)]
    short = [(100, 0.6, 70), (120, 0.61, 20), (140, 0.505, 15)]
    text = [line([], "300 + 4 x 50", 0, full), line(["--model.initial_values=estimated"], "102 + 4 x 17", 0, short)]
    (tmp_path / "searches.jsonl").write_text("\n".join(text) + "\n")
    main([str(tmp_path / "searches.jsonl"), "--out", str(tmp_path / "table.json")])
    table = json.loads((tmp_path / "table.json").read_text())
    assert table["columns"] == COLUMNS
    ours, estimated = (dict(zip(COLUMNS, row, strict=True)) for row in table["rows"])
    assert (ours["rules"], estimated["rules"]) == ("defaults", "model.initial_values=estimated")
    assert (ours["steps to the peer's end"], ours["steps to our own end"], ours["processor seconds to that"]) == (
        "350",
        "400",
        "40",
    )
    assert (estimated["steps to the peer's end"], estimated["steps to our own end"]) == ("140", "140")
    assert "potassium 0.607 with 30." in table["note"]
    assert "defaults | 300 + 4 x 50 | 0 | 400 | 0.500 | 14 | 0.50" in capsys.readouterr().out


def test_a_seed_that_never_gets_there_is_later_than_any_other(tmp_path) -> None:
    curves = {0: [(50, 0.4, 10)], 1: [(50, 0.7, 10)], 2: [(50, 0.6, 31)]}
    text = [line([], "25 + 1 x 25", seed, curve) for seed, curve in curves.items()]
    peer = line("peer", "25 + 1 x 25", 0, [(50, 0.5, 10)])  # takes the place of the published end
    (tmp_path / "s").write_text("\n".join([*text, peer]))
    main([str(tmp_path / "s"), "--out", str(tmp_path / "t")])
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in json.loads((tmp_path / "t").read_text())["rows"]]
    (ours,) = [row for row in rows if row["rules"] == "defaults"]
    assert (ours["seeds"], ours["steps to the peer's end"], ours["steps to our own end"]) == ("0 1 2", "never", "50")


def test_what_has_to_be_reached_is_not_known(tmp_path) -> None:
    """No defaults of seed 1, and no peer's end of this song: cells are empty, and not `never`."""
    curve = [(50, 0.4, 10)]
    rules = ["--model.initial_values=estimated"]
    texts = [line([], "25 + 1 x 25", 0, curve, "new"), *(line(rules, "25 + 1 x 25", s, curve, "new") for s in (0, 1))]
    (tmp_path / "s").write_text("\n".join(texts))
    main([str(tmp_path / "s"), "--out", str(tmp_path / "t")])
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in json.loads((tmp_path / "t").read_text())["rows"]]
    ours, estimated = sorted(rows, key=lambda row: row["rules"])
    assert (ours["steps to the peer's end"], ours["steps to our own end"]) == ("", "50")
    assert (estimated["seeds"], estimated["steps to our own end"]) == ("0 1", "")


def test_searches_that_differ_in_more_than_a_table_says_are_refused(tmp_path) -> None:
    one = json.loads(line(["a text"], "25 + 1 x 25", 0, [(50, 0.4, 10)]))
    other = {**one, "key": {**one["key"], "rules": ["another text"], "estimator": "5f"}}
    (tmp_path / "s").write_text(f"{json.dumps(one)}\n{json.dumps(one)}\n")
    assert len(read_searches([tmp_path / "s"])) == 1  # the same search, kept twice
    (tmp_path / "s").write_text(f"{json.dumps(one)}\n{json.dumps(other)}\n")
    with pytest.raises(ValueError, match=r"demo_potassium, a file, .* seed 0 differ in estimator, rules\. HINT"):
        read_searches([tmp_path / "s"])


def test_a_table_of_other_cells_is_refused(tmp_path) -> None:
    (tmp_path / "t").write_text(json.dumps({"rows": [["song", "1", "0.5", "1 / 2"]]}))
    with pytest.raises(ValueError, match="losses and processors as 'OURS / PEER' are needed of song, got"):
        published_ends(tmp_path / "t")
