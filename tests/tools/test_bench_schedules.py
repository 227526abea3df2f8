"""The benchmark of schedules counts and times."""

import json

from tools.bench.schedules import main


def test_steps_and_seconds_of_a_small_console(tmp_path) -> None:
    out = tmp_path / "schedules.json"
    main(["--tracks", "2", "--shares", "1", "0.3", "--graphs", "2", "--seconds", "0.05", "--out", str(out)])
    full, pruned = json.loads(out.read_text())
    assert (full["processors"], full["one_by_one"], full["fixed"], full["auto"]) == (21, 25, 17, 17)
    assert pruned["auto"] <= pruned["fixed"] < full["fixed"]
    assert full["one_by_one seconds"] > 0
