"""What a result says to a person."""

from pathlib import Path

import pytest

from callbacks.song_result import summary, within_tolerance
from mixgraph.losses import SongScore


def score(target: float, prediction: float) -> SongScore:
    return SongScore({"full": target}, {"full": prediction}, (target,), (prediction,), 84000)


def test_the_tolerance_is_of_the_loss_that_was_searched_by() -> None:
    """Paper eq. 7: at most the tolerance above the trained console."""
    console = score(0.5, 0.5)
    for found, by_target, by_prediction in [
        (score(0.5, 0.75), True, False),
        (score(0.75, 0.5), False, True),
        (score(0.625, 0.625), True, True),  # exactly the tolerance
        (score(0.6251, 0.6251), False, False),
        (score(float("nan"), float("nan")), False, False),
    ]:
        assert within_tolerance(console, found, 0.125, "target") is by_target
        assert within_tolerance(console, found, 0.125, "prediction") is by_prediction
    assert within_tolerance(console, score(2.0, 2.0), None, "target") is None


@pytest.mark.parametrize("within", [True, False, None])
@pytest.mark.parametrize(("denominator", "key"), [("target", "loss"), ("prediction", "loss_prediction")])
def test_a_graph_above_the_tolerance_is_named(within, denominator, key) -> None:
    """By the loss that was searched by."""
    losses = {name: {key: {"full": loss}} for name, loss in (("dry_sum", 2.0), ("console", 0.5), ("found", 0.625))}
    metrics = {
        "denominator": denominator,
        "steps": 30,
        "planned_steps": 30,
        "losses": losses,
        "num_processors": {"console": 8, "found": 2},
        "pruning_ratio": 0.75,
        "tolerance": 0.1,
        "within_tolerance": within,
    }
    said = summary(Path("out"), metrics)
    assert "dry sum 2.000, console 0.500, found graph 0.625" in said
    assert "2 of 8 left (75% pruned)" in said
    named = "0.125 above the console, more than the tolerance of 0.1. HINT: lower pruning.tolerance"
    assert (named in said) is (within is False)
    assert "Stopped" not in said
    assert "Stopped after 12 of 30 steps" in summary(Path("out"), metrics | {"steps": 12})
