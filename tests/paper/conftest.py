"""Results as tables see them, with chosen figures."""

from pathlib import Path

import pytest

from mixgraph.losses import SongScore
from mixgraph.paper.published import TYPES
from mixgraph.paper.readings import Reading
from mixgraph.results.metrics import Losses, Metrics, ProcessorCounts, SongFacts


def score(prediction: float, target: float) -> SongScore:
    """The parts of both losses are multiples of the full one, each another."""
    loss, loss_prediction = (
        {part: factor * full for factor, part in enumerate(("full", "lr", "mid", "side"), start=1)}
        for full in (target, prediction)
    )
    return SongScore(loss, loss_prediction, (target,), (prediction,), 8000)


@pytest.fixture
def make_reading():
    def make(
        song: str = "a",
        *,
        loss: float = 0.4,
        console: float = 0.3,
        ratio: float = 0.5,
        minutes: float = 2.0,
        sampler: str = "hybrid",
        tolerance: float = 0.01,
        rounds: int = 12,
        chain: str = "ecnsgdr",
        version: str = "1",
        steps: int = 12000,
        folder: str = "",
        **data: object,
    ) -> Reading:
        metrics = Metrics(
            sample_rate=8000,
            num_samples=16000,
            level=1.0,
            tracks=(),
            file_hashes={"mix.wav": song},
            song=SongFacts(song, song, "CC0"),
            steps=steps,
            planned_steps=steps,
            losses=Losses(score(9.0, 8.0), score(console, console + 1), score(loss, loss + 1)),
            tolerance=tolerance,
            denominator="prediction",
            within_tolerance=True,
            num_processors=ProcessorCounts(70, round(70 * (1 - ratio))),
            pruning_ratio=ratio,
            pruning_ratio_by_type=dict.fromkeys(TYPES, ratio),
        )
        config = {
            "seed_everything": 1,
            "data": {"steps_per_stage": 500, "seed": 1, **data},
            "model": {"track_chain": chain, "subgroup_chain": chain, "seed": 1},
            "pruning": {
                "sampler": sampler,
                "tolerance": tolerance,
                "rounds": rounds,
                "console_stages": 12,
                "seed": 1,
                "order": "random",
            },
            "result": {"path": song},
        }
        name = folder or f"{sampler}_{tolerance:g}/{song}"
        return Reading(Path(name), metrics, config, minutes, version)

    return make
