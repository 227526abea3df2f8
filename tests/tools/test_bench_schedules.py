"""The benchmark of schedules: what is counted, what is rendered, its table and its figure."""

import json

import pytest
import torch

from mixgraph.paper.figures.schedules import read_schedules, speed_figure
from tools.bench.cases import Case
from tools.bench.ours import OurSide, clip_renderer
from tools.bench.schedules import result_table
from tools.bench.speed.pool import Measured, Runner
from tools.bench.speed.schedules import TIMED, schedules
from tools.bench.speed.settings import Settings
from tools.bench.speed.table import to_json

CASE = Case(tracks=2, seconds=1.5, clip_seconds=1.3, sample_rate=8000)


class KnownSeconds:
    """A pool whose batches take half as long as single nodes."""

    runners = (Runner("ours", "tuned"),)
    log = staticmethod(lambda line: None)

    def alternate(self, case, requests, repeats, runners):
        seconds = {"reference": 4.0, "one_by_one": 2.0}
        return [{runners[0]: Measured([{"total": seconds.get(r["method"], 1.0)}] * repeats)} for r in requests]


@pytest.fixture
def benchmark_json(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    nothing = dict.fromkeys(Settings.__dataclass_fields__)
    settings = Settings(**nothing | {"base": CASE, "schedule_tracks": [2], "sweep_shares": [1.0, 0.3], "repeats": 2})
    path = tmp_path / "benchmark.json"
    path.write_text(to_json(schedules(KnownSeconds(), settings), {"threads": 1}, [], {}))
    return path


def test_steps_and_seconds_are_in_the_table_beside_the_paper(benchmark_json) -> None:
    full, pruned = read_schedules(benchmark_json)
    assert (full.processors, full.steps["one_by_one"], full.steps["fixed"], full.steps["auto"]) == (21, 25, 17, 17)
    assert pruned.processors == 6
    assert pruned.steps["auto"] <= pruned.steps["fixed"] < pruned.steps["one_by_one"] == 6 + 4
    assert full.seconds == {"reference": 4.0, "one_by_one": 2.0, "greedy": 1.0, "auto": 1.0}
    table = result_table([full, pruned], {"command": "x"})
    first, last = table["rows"][0], table["rows"][-1]
    assert first == [
        "CPU",
        "2",
        "100%",
        "21",
        *("25", "17", "17", "17"),
        *("4.000 s", "2.000 s", "1.000 s", "1.000 s"),
        "2.00x",
    ]
    assert last[4:8] == ["77.6", "17.5", "", "11.8"]
    assert last[8:] == ["", "0.0360 s", "0.0149 s", "0.0123 s", "2.92x"]
    assert {len(row) for row in table["rows"]} == {len(table["columns"])}


def test_the_figure_has_steps_and_speed_against_nodes(benchmark_json) -> None:
    figure = speed_figure(read_schedules(benchmark_json))
    steps, speed = figure.axes
    lines = {line.get_label(): line for line in steps.lines}
    assert lines["one by one"].get_xydata().tolist() == [[10, 10], [25, 25]]
    assert [1 / rate for rate in speed.lines[0].get_ydata()] == [4.0, 4.0]
    crosses = [line.get_xydata().tolist() for line in speed.lines if line.get_marker() == "X"]
    assert crosses[:3] == [[[77.6, 27.8]], [[77.6, 67.2]], [[77.6, 81.2]]]


def test_a_benchmark_without_schedules_is_refused(benchmark_json) -> None:
    report = json.loads(benchmark_json.read_text())
    benchmark_json.write_text(json.dumps(report | {"rows": []}))
    with pytest.raises(ValueError, match=r"benchmark\.json: has no schedules\. HINT: .*--parts schedule"):
        read_schedules(benchmark_json)
    benchmark_json.write_text(json.dumps({"rows": [{"part": "schedule"}]}))
    with pytest.raises(ValueError, match=r"benchmark\.json: is damaged \(KeyError\('case'\)\)"):
        read_schedules(benchmark_json)


@pytest.mark.long
def test_what_is_timed_is_the_same_mix() -> None:
    side = OurSide(CASE)
    clip = side.clips(0)
    mixes = [clip_renderer(side.module, clip, method)().mix for method in TIMED]
    assert mixes[0].abs().max() > 0.01
    for mix in mixes[1:]:
        torch.testing.assert_close(mix, mixes[0], rtol=1e-4, atol=1e-5)  # float32
    assert side.rendering("auto", "cpu")["total"] > 0
