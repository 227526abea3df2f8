"""Small songs on disk, for everything that reads or searches one."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml

from tools.forks import blank_drawing

RATE = 8000

# The signals of the tests are too short for threads to pay, here and in child processes.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
gc.disable()  # until all tests are collected: what imports make stays
SAFE_PATH = os.environ.get("PYTHONSAFEPATH")
ENVIRONMENT = dict(os.environ)  # before any test


_SPEC = importlib.util.spec_from_file_location("warm_python", Path(__file__).with_name("warm_python.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)

SUBGROUPS = {"drums": ["kick", "hat"], "lead": ["lead"]}


def make_song(folder: Path, seconds: float = 3.0, seed: int = 0, subgroups: dict[str, list[str]] | None = None) -> Path:
    """Three tracks in two subgroups, or some of them, at 8 kHz; the mix is known gains of them."""
    subgroups = subgroups or SUBGROUPS
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    tracks = {
        "kick": np.sin(2 * np.pi * 80 * t) * np.exp(-8 * (t % 0.5)),
        "hat": rng.standard_normal(len(t)) * np.exp(-30 * (t % 0.25)) * 0.3,
        "lead": 0.4 * np.sin(2 * np.pi * 440 * t) * (1 + 0.5 * np.sin(2 * np.pi * 3 * t)),
    }
    gains = {"kick": (0.5, 0.5), "hat": (0.2, 0.4), "lead": (0.5, 0.1)}
    (folder / "tracks").mkdir(parents=True)
    mix = np.zeros((len(t), 2))
    for name in (name for members in subgroups.values() for name in members):
        audio = tracks[name]
        soundfile.write(folder / "tracks" / f"{name}.wav", audio * 0.5, RATE, subtype="FLOAT")
        mix += audio[:, None] * 0.5 * np.array(gains[name])
    soundfile.write(folder / "mix.wav", mix, RATE, subtype="FLOAT")
    description = {
        "title": "Tiny",
        "licence": "CC0",
        "subgroups": {group: [f"{name}.wav" for name in members] for group, members in subgroups.items()},
    }
    (folder / "song.yaml").write_text(yaml.safe_dump(description))
    return folder


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def tiny_song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_song(tmp_path_factory.mktemp("songs") / "tiny")


@pytest.fixture(scope="session")
def duo_song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of another length, with other numbers of tracks and subgroups than `tiny_song`."""
    return make_song(tmp_path_factory.mktemp("songs") / "duo", 3.7, 5, {"all": ["lead", "hat"]})


@pytest.fixture(scope="session")
def corpus_songs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Four songs of three tracks each; stereo tracks, so that imagers have something to do."""
    folder = tmp_path_factory.mktemp("corpus")
    folders = []
    for number in range(4):
        rng = np.random.default_rng(number)
        t = np.arange(5 * RATE) / RATE
        pitch = 110 * 2 ** (number / 3)
        pulse = np.exp(-6 * (t % 0.4))
        tracks = {
            "kick": np.stack([np.sin(2 * np.pi * (60 + 5 * number) * t) * pulse] * 2),
            "hat": rng.standard_normal((2, len(t))) * np.exp(-25 * (t % 0.2)) * 0.3,
            "lead": np.stack([np.sign(np.sin(2 * np.pi * pitch * (1 + d) * t)) * 0.3 for d in (0, 0.003)]),
        }
        song = folder / f"song{number}"
        (song / "tracks").mkdir(parents=True)
        for name, audio in tracks.items():
            soundfile.write(song / "tracks" / f"{name}.wav", audio.T * 0.3, RATE, subtype="FLOAT")
        soundfile.write(song / "mix.wav", sum(tracks.values()).T * 0.2, RATE, subtype="FLOAT")
        lines = "title: T\nlicence: CC0\nsubgroups:\n  drums: [kick.wav, hat.wav]\n  lead: [lead.wav]\n"
        (song / "song.yaml").write_text(lines)
        folders.append(song)
    return tuple(folders)


@pytest.fixture(scope="session")
def warm_python() -> Iterator[Any]:
    """Starts processes that have imported torch, Lightning and mixgraph, see `tests/warm_python.py`."""
    warm = _MODULE.WarmPython(ENVIRONMENT)
    yield warm
    warm.close()


@pytest.fixture(scope="session")
def warming(warm_python) -> Callable[[], AbstractContextManager[None]]:
    """`with warming():` the workers of builds and sweeps that run in this process are such processes, too."""
    from tools.dataset.local import LocalWorkers

    def start(program: str, folder: Path, environment: dict[str, str], log: Any, keep_open: Any) -> Any:
        pipes = {"stdin": subprocess.PIPE, "stdout": log, "stderr": subprocess.STDOUT}
        options = {"cwd": Path.cwd(), "safe_path": True, "start_new_session": True}
        return warm_python.start(program, folder, env=environment, pass_fds=keep_open, **pipes, **options)

    @contextmanager
    def warmed() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LocalWorkers, "start", staticmethod(start))
            yield

    return warmed


@pytest.fixture(scope="module")
def warm_workers(warming) -> Iterator[None]:
    """The workers of builds and sweeps of this module are forks, see `warming`."""
    with warming():
        yield


@contextmanager
def pictures_left_blank() -> Iterator[None]:
    """Writes the pictures of results without drawing them, which takes half of the time of a tiny search.

    When and how they are written is as ever, only their bytes are always the same. What they show is tested elsewhere.
    """
    with pytest.MonkeyPatch.context() as patch:
        for module, name, blank in blank_drawing():
            patch.setattr(module, name, blank)
        yield


@pytest.fixture(scope="session")
def blank() -> Callable[[], AbstractContextManager[None]]:
    """`with blank():` no pictures of results are drawn, see `pictures_left_blank`."""
    return pictures_left_blank


@pytest.fixture(scope="module")
def blank_pictures(blank) -> Iterator[None]:
    """No pictures of results are drawn in tests of this module, see `pictures_left_blank`."""
    with blank():
        yield


@pytest.fixture(scope="session")
def plan(corpus_songs, tmp_path_factory):
    """What a small synthetic set is made of."""
    from mixgraph.synthetic import GenerationSettings, Plan

    settings = GenerationSettings(
        seconds=2.0, max_tracks=3, sample_rate=RATE, track_chain="esgd", subgroup_chain="cgr", least_increase=0.02
    )
    return Plan(corpus_songs, settings, cache_dir=tmp_path_factory.mktemp("decoded"))


@pytest.fixture(scope="session")
def generated(plan):
    """Ten generated samples: six to train, two to validate, two to test."""
    from mixgraph.synthetic import generate

    return list(generate(plan, {"train": 6, "validation": 2, "test": 2}))


@pytest.fixture
def ray_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, list[Any]]]:
    """A Ray cluster and its nodes: a head without CPUs and two of one CPU, whose tasks work below `tmp_path`."""
    from ray import cluster_utils

    node = {"num_cpus": 1, "object_store_memory": 100 << 20}
    (tmp_path / "tmp").mkdir()
    sockets = tempfile.mkdtemp(prefix="ray_")  # their paths may have 107 characters
    monkeypatch.setenv("RAY_TMPDIR", sockets)
    monkeypatch.setenv("RAY_worker_niceness", "0")  # 15 by default: on a busy machine they would never get to work
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args=node | {"num_cpus": 0, "include_dashboard": False}
    )
    yield cluster, [cluster.add_node(**node) for _ in range(2)]
    cluster.shutdown()
    shutil.rmtree(sockets, ignore_errors=True)


@pytest.fixture(autouse=True)
def safe_path_as_before():
    """Undoes that the command line, run in this process, tells children not to look into the working folder."""
    _forget_safe_path()
    yield
    _forget_safe_path()


def _forget_safe_path() -> None:
    os.environ.pop("GIT_DIR", None)  # nor shows them a repository
    os.environ.pop("WANDB_DISABLE_GIT", None)
    if SAFE_PATH is None:
        os.environ.pop("PYTHONSAFEPATH", None)
    else:
        os.environ["PYTHONSAFEPATH"] = SAFE_PATH
