import pytest

from tools.bench.group_targets import Targets, table

MEASUREMENT = {"command": "python -m x", "commit": "0123abc", "machine": "2 cores", "date": "2026-11-30"}


def row(targets: Targets, f1: float, balance_error_db: float | None = 1.0) -> dict:
    figures = dict.fromkeys(("equalizer_error_db", "level_error_db", "group_loss", "loss"), 0.25)
    head = {"targets": targets.name, "weight": targets.weight, "f1": f1, "processors": 20}
    return head | figures | {"balance_error_db": balance_error_db}


def test_a_line_of_the_table_is_the_median_over_the_songs_of_one_kind_of_targets() -> None:
    kinds = [Targets(), Targets(None, 0.1), Targets(-5.0, 0.1)]
    rows = [row(kind, f1, None) for f1 in (0.5, 0.8, 0.6) for kind in kinds[:2]] + [row(kinds[2], 0.7)]
    lines = table(rows, MEASUREMENT)["rows"]
    assert [line[:3] for line in lines] == [
        ["none", "", "0.60 (0.50, 0.80, 0.60)"],
        ["true groups", "0.1", "0.60 (0.50, 0.80, 0.60)"],
        ["leakage of -5 dB", "0.1", "0.70 (0.70)"],
    ]
    assert [line[4] for line in lines] == ["", "", "1.00"]


@pytest.mark.parametrize("leakage_db", [None, -20.0])
def test_targets_without_weight_are_none(leakage_db) -> None:
    assert Targets(leakage_db).name == "none"
