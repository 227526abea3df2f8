"""A build on a real Ray cluster of several node processes, of which one is killed."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from mixgraph.results.found_graph import load_result
from tools.dataset import cluster as cluster_workers
from tools.dataset.build import resolve_settings
from tools.dataset.outcome import Task
from tools.dataset.worker import Request

pytest.importorskip("ray", reason="Ray is an optional extra", exc_type=ImportError)

ROOT = Path(__file__).parent.parent.parent
SEARCH = {
    "data": {"sample_rate": 8000, "steps_per_stage": 40, "scored_seconds": 1.0, "cache_dir": None},
    "model": {"track_chain": "g", "subgroup_chain": "g"},
    "pruning": {"console_stages": 4, "rounds": 2},
    "trainer": {"accelerator": "cpu"},
}


def wait_for(ready, process, seconds=300):
    end = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # Ray's own, in this process
@pytest.mark.parametrize("shared", [False, True], ids=["brought_back", "shared_storage"])
def test_a_node_is_killed_and_every_song_ends_once(shared, ray_nodes, tiny_song, duo_song, tmp_path) -> None:
    network, nodes = ray_nodes
    songs, out, config = tmp_path / "songs", tmp_path / "set", tmp_path / "tiny.yaml"
    for name, path in (("duo", duo_song), ("tiny", tiny_song), ("zoo", duo_song)):
        shutil.copytree(path, songs / name)
    config.write_text(yaml.safe_dump(SEARCH))
    command = [sys.executable, "-m", "tools.build_dataset", str(songs), "--config", str(config), "--out", str(out)]
    command += ["--max-loss=9", "--max-loss-ratio=9", "--min-pruning-ratio=0", "--ray", network.address]
    command += ["--shared"] if shared else []
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def begun():
        places = (out / "work").glob("*/run_0") if shared else (tmp_path / "tmp").glob("mixgraph_*")
        return {place for place in places if (place / "result.partial" / "stage.ckpt").exists()}

    # Each node has one CPU, so that with two searches in progress both nodes are in the middle of one.
    wait_for(lambda: len(begun()) == 2, process)
    assert not (out / "results").exists()
    network.remove_node(nodes[1], allow_graceful=False)
    output = process.communicate(timeout=200)[0]
    assert process.returncode == 0, output
    for name in ("duo", "tiny", "zoo"):
        assert output.count(f"{name}/run_0: done") == 1
        result = out / "results" / name / "run_0"
        assert load_result(result).graph.processors
        assert json.loads((result / "job.json").read_text())["song"] == name
    assert "3 accepted, 0 rejected, 0 failed" in output
    assert not list(out.rglob("*.partial"))
    assert not (out / "work").exists()
    if shared:
        return
    left = [json.loads((folder / "request.json").read_text())["record"]["song"] for folder in begun()]
    assert len(left) == 1  # the search that the killed node did not end; its song was searched again on the other one
    assert os.listdir(out / "results" / left[0]) == ["run_0"]


@pytest.mark.long
def test_what_fails_is_an_answer_and_what_dies_is_a_failure(config, tmp_path, monkeypatch) -> None:
    import ray

    settings = resolve_settings([str(config)], [])
    answer = cluster_workers._search(Request(str(tmp_path / "gone"), 1, settings, {"song": "gone"}, 1), None)
    assert answer.files is None
    assert "gone: folder expected, got none" in answer.error["reason"]
    assert "Traceback" in answer.error["details"]

    task = Task(None, tmp_path / "work", None)
    monkeypatch.setattr(ray, "get", lambda reference: answer)
    outcome = cluster_workers._outcome(task, "reference")
    assert (outcome.result, outcome.reason) == (None, answer.error["reason"])

    def died(reference):
        raise ray.exceptions.WorkerCrashedError

    monkeypatch.setattr(ray, "get", died)
    outcome = cluster_workers._outcome(task, "reference")
    assert outcome.result is None
    assert outcome.reason.startswith("WorkerCrashedError: The worker died unexpectedly")
