"""The generated samples of `tests/conftest.py` as shards and as examples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mixgraph.estimators.cache import ExampleMaker, ExampleSettings
from mixgraph.estimators.settings import EstimatorTask
from mixgraph.shards import read_shards, write_shards
from tools.generate_synthetic import pack

RATE = 8000
SECONDS = 2.0
TASK = EstimatorTask(sample_rate=RATE, segment_seconds=SECONDS, track_chain="esgd", subgroup_chain="cgr")


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
