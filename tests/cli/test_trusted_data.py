"""Results, estimates, shards, sweeps, songs and checkpoints are data: no class that they name is made, no code runs."""

import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from mixgraph.checkpoints import read_checkpoint
from mixgraph.demixing import load_demixer
from mixgraph.estimators.weights import load_estimator
from mixgraph.songs.safe_numbers import read_numbers
from mixgraph.songs.store import map_existing
from mixgraph.sweeps.sweep_file import read_sweep

pytestmark = pytest.mark.usefixtures("blank_pictures")

NAMED = {"class_path": "evil.Logger", "init_args": {"save_dir": "."}}


class Bomb:
    """What runs code when a pickle with it is loaded."""

    def __reduce__(self):
        return os.system, (f"touch {os.environ['MARKER']}",)


@pytest.fixture
def marker(tmp_path, monkeypatch) -> Path:
    """The file that code would write; `evil.py` can be imported, and lies in the working folder."""
    folder = tmp_path / "downloaded"
    folder.mkdir()
    monkeypatch.setenv("MARKER", str(tmp_path / "code_ran"))
    (folder / "evil.py").write_text("import os\nopen(os.environ['MARKER'], 'w')\nclass Logger: ...\n")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    return tmp_path / "code_ran"


def test_no_pickle_is_loaded(marker) -> None:
    torch.save({"state_dict": {"a": torch.zeros(1)}, "mixgraph": Bomb()}, "bomb.ckpt")
    for load in (read_checkpoint, load_demixer, load_estimator):
        with pytest.raises(ValueError, match="holds more than data, and is not read"):
            load("bomb.ckpt")
    Path("alignment.pickle").write_bytes(pickle.dumps({"mix.wav": Bomb()}))
    with pytest.raises(ValueError, match=r"system"):
        read_numbers(Path("alignment.pickle"))
    np.save("sources.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"Array can.t be memory-mapped|Object arrays cannot"):
        map_existing(Path("sources.npy"))
    assert not marker.exists()


def test_a_sweep_names_no_module(marker) -> None:
    sweep = {
        "program": "evil.py",
        "method": "grid",
        "metric": {"name": "search/found_loss", "goal": "minimize"},
        "parameters": {"model": {"values": [NAMED]}},
        "command": ["${interpreter}", "-m", "${program}", "fit", "--import=evil", "${args}"],
    }
    Path("sweep.yaml").write_text(yaml.safe_dump(sweep))
    with pytest.raises(ValueError, match="a file does not say whom you trust"):
        read_sweep(Path("sweep.yaml"))
    assert not marker.exists()
    assert "evil" not in sys.modules


@pytest.mark.long
def test_a_result_that_names_a_class_is_read_shown_packed_and_started_from(marker, tiny_song, monkeypatch) -> None:
    from mixgraph.__main__ import _run
    from mixgraph.page.remains import read_remains
    from mixgraph.paper.readings import read_search
    from mixgraph.results.found_graph import load_result
    from mixgraph.shards import pack_result, read_shards, write_shards
    from mixgraph.shards.validate import validate_shards

    monkeypatch.setattr(sys, "argv", ["mixgraph"])
    short = ["--data.steps_per_stage=1", "--pruning.console_stages=1", "--pruning.rounds=1", "--data.sample_rate=8000"]
    chains = ["--model.track_chain=g", "--model.subgroup_chain=g"]
    _run(["fit", str(tiny_song), *short, *chains, "--result.path=result"])
    config = yaml.safe_load(Path("result/config.yaml").read_text())
    config["trainer"] |= {"logger": NAMED, "callbacks": [NAMED], "profiler": NAMED}
    config["model"] = {"class_path": "evil.Model", "init_args": config["model"], "track_chain": "g"}
    config["data"]["path"] = "${oc.env:MARKER}"
    Path("result/config.yaml").write_text(yaml.safe_dump(config))
    result = Path("result")
    assert load_result(result).config()["trainer"]["logger"] == NAMED
    assert read_remains(result).config["trainer"]["callbacks"] == [NAMED]
    assert read_search(result).chain == "g"
    samples = [("train", *sample) for sample in pack_result(result, None, dataset="Tiny", artist="A", audio=False)]
    write_shards(samples, Path("shards"))
    assert validate_shards(Path("shards")).problems == []
    assert len(list(read_shards(Path("shards")))) == 1
    _run(["report", "result", "--out", "page.html"])
    _run(["render", "result", "--tracks", str(tiny_song), "--out", "again.wav"])
    _run(["fit", str(tiny_song), *short, "--start=result", "--result.path=further"])
    assert Path("further/graph.json").is_file()
    assert not marker.exists()
    assert "evil" not in sys.modules
