"""A sweep and a table on a real Ray cluster: the same results as on this machine, with code and trust of the user's."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mixgraph.pruning import ORDERS
from tools import paper_tables, sweep

pytest.importorskip("ray", reason="Ray is an optional extra", exc_type=ImportError)
pytestmark = [
    pytest.mark.long,
    pytest.mark.usefixtures("warm_workers"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own, in this process
]
TINY = {
    "data.sample_rate": 8000, "data.scored_seconds": 1.0, "data.cache_dir": "null", "model.track_chain": "g",
    "model.subgroup_chain": "g", "trainer.accelerator": "cpu",
}  # fmt: skip
SHORT = {"data.steps_per_stage": 2, "pruning.console_stages": 2, "pruning.rounds": 1, "result.page": "false"}
SAME = ("graph.json", "parameters.safetensors", "metrics.json", "trace.jsonl")
ORDER = """
from mixgraph.pruning import ORDERS, Order


@ORDERS.register
class Backwards(Order):
    name = "backwards"

    def arrange(self, candidates, types, weights):
        return sorted(candidates, reverse=True)
"""


def words(settings: dict) -> list[str]:
    return [f"--{name}={value}" for name, value in settings.items()]


def run(main: Callable[[list[str]], None], *arguments: object) -> None:
    with pytest.raises(SystemExit) as end:
        main([*map(str, arguments)])
    assert end.value.code == 0


@pytest.fixture
def trusting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options that trust a module of the user's, in the working folder, and the environment."""
    (tmp_path / "my_order.py").write_text(ORDER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MY_ORDER", "backwards")
    monkeypatch.setattr("mixgraph.registry._imported", {})
    monkeypatch.setattr("mixgraph.cli.arguments._env_allowed", False)
    monkeypatch.setattr(ORDERS, "_classes", {**ORDERS.registered()})
    monkeypatch.setattr(sys, "path", [*sys.path])
    return ["--import=my_order", "--allow-env"]


def assert_same(here: Path, there: Path) -> None:
    for name in SAME:
        assert (there / name).read_bytes() == (here / name).read_bytes(), there / name


def test_a_sweep_and_a_table_on_a_cluster_find_what_this_machine_finds(
    ray_nodes, trusting, tiny_song, tmp_path, capsys
) -> None:
    address = ray_nodes[0].address
    content = {
        "program": "mixgraph",
        "method": "grid",
        "metric": {"name": "search/found_loss", "goal": "minimize"},
        "parameters": {"pruning.order": {"value": "${oc.env:MY_ORDER}"}, "pruning.tolerance": {"values": [0.01, 0.1]}},
        "command": ["${program}", "fit", f"--data.path={tiny_song}", *words(TINY | SHORT), "${args}"],
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    for out, where in {"here": ["--workers=2", "--threads=1"], "there": [f"--ray={address}"]}.items():
        run(sweep.main, *trusting, "sweep.yaml", "--offline", "--out", out, *where)
    for trial in ("trial_000", "trial_001"):
        assert_same(tmp_path / "here" / "trials" / trial, tmp_path / "there" / "trials" / trial)
        config = yaml.safe_load((tmp_path / "there" / "trials" / trial / "config.yaml").read_text())
        assert config["pruning"]["order"] == "backwards"
    tables = [json.loads((tmp_path / out / "trials.json").read_text())["trials"] for out in ("here", "there")]
    assert [trial["figures"] for trial in tables[0]] == [trial["figures"] for trial in tables[1]]

    overrides = [*words(TINY), "--model.regularizers.sparsity_ramp_steps=2"]
    table = [*trusting, "11", "--runs=1", "--songs", tiny_song, "--schedule", 4, 1, 2]
    for out, where in {"here_11": ["--threads=1"], "there_11": [f"--ray={address}"]}.items():
        run(paper_tables.main, *table, "--out", out, *where, "--", *overrides)
        assert "hybrid_0.01: tiny/run_0: done" in capsys.readouterr().out
    found = Path("searches/hybrid_0.01/results/tiny/run_0")
    assert_same(tmp_path / "here_11" / found, tmp_path / "there_11" / found)
