"""A few tiny songs as a corpus, and a small synthetic set made of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mixgraph.estimators.cache import ExampleMaker, ExampleSettings
from mixgraph.estimators.settings import EstimatorTask
from mixgraph.shards import read_shards, write_shards
from mixgraph.synthetic import GenerationSettings, Plan, generate
from tools.generate_synthetic import pack

RATE = 8000
SECONDS = 2.0
TASK = EstimatorTask(sample_rate=RATE, segment_seconds=SECONDS, track_chain="esgd", subgroup_chain="cgr")
COUNTS = {"train": 6, "validation": 2, "test": 2}


@pytest.fixture(scope="session")
def songs(tmp_path_factory) -> tuple[Path, ...]:
    # Four songs of three tracks each; stereo tracks, so that imagers have something to do.
    import numpy as np
    import soundfile

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
def plan(songs, tmp_path_factory) -> Plan:
    settings = GenerationSettings(
        seconds=SECONDS, max_tracks=3, sample_rate=RATE, track_chain="esgd", subgroup_chain="cgr", least_increase=0.02
    )
    return Plan(songs, settings, cache_dir=tmp_path_factory.mktemp("decoded"))


@pytest.fixture(scope="session")
def generated(plan):
    return list(generate(plan, COUNTS))


@pytest.fixture(scope="session")
def shards(plan, generated, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "set"
    write_shards((pack(sample, plan.settings) for sample in generated), folder)
    return folder


@pytest.fixture(scope="session")
def examples(shards):
    """One example for each training sample."""
    maker = ExampleMaker(ExampleSettings(TASK))
    return [data for sample in read_shards(shards / "train") for _, data in maker.make(sample)]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
