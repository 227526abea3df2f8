"""The number of operations of a training step, and that those of a GPU compute what a CPU's pieces do."""

import pytest
import torch

from mixgraph.dsp.pieces import uncut
from tools.bench.cases import Case
from tools.bench.operations import META, OperationCounter, comparison, console_training, count_step, part_of
from tools.gpu.workloads import joint_training, made_song, make_training, move_clip

CASE = Case(tracks=3, seconds=2.0, clip_seconds=1.2, sample_rate=30000)
MOST = 792
"""Operations of a step that launch a kernel, AdamW's included: hardly more than there are."""


@pytest.fixture(scope="module")
def training():
    return make_training(CASE, torch.device("cpu"))[0]


def test_what_a_gpu_computes_at_once_equals_a_cpus_pieces(training) -> None:
    module = training.module.double()
    module.loudest = module.loudest.double()
    clip = move_clip(training.clips[0], dtype=torch.float64)

    def step():
        module.zero_grad()
        loss = module.losses(clip)["loss"]
        loss.backward()
        return loss.item(), {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}

    loss, gradients = step()
    with uncut():
        same_loss, same_gradients = step()
    assert same_loss == pytest.approx(loss, rel=1e-12)
    assert len(gradients) == 16
    for name, gradient in gradients.items():
        assert (same_gradients[name] - gradient).norm() <= 1e-10 * gradient.norm(), name


def test_a_step_launches_no_more_operations_than_before() -> None:
    training = make_training(CASE, META)[0]
    counts = count_step(training)
    assert counts.launching.total() <= MOST
    with OperationCounter(META) as again:
        training.step()
    assert again.counts == counts  # every step is the same, as a captured one must be


@pytest.mark.long
@pytest.mark.parametrize(("share", "most"), [(1.0, 794), (0.3, 1066)])
def test_nor_does_one_with_16_tracks(share, most) -> None:
    assert count_step(console_training(16, share)).launching.total() <= most


@pytest.mark.long
def test_several_songs_share_the_operations_of_a_step() -> None:
    songs = [made_song(CASE, seed) for seed in (1, 2)]
    alone, together = (count_step(joint_training(some, CASE, META)).launching.total() for some in (songs[:1], songs))
    assert alone <= together < 1.05 * alone


def test_counts_are_compared_with_those_of_an_earlier_version() -> None:
    about = {"command": "c", "commit": "abc1234", "machine": "m", "date": "2026-01-01"}
    before = about | {"counts": {"2 tracks": {"dynamics": (9, 4), "optimizer": (5, 5)}}}
    now = about | {"counts": {"2 tracks": {"dynamics": (3, 2), "match loss": (1, 1), "optimizer": (1, 1)}}}
    table = comparison(before, now)
    assert table["rows"] == [
        ["**2 tracks**", "**9**", "**4**", "**4**", "**3**"],
        ["dynamics", "9", "4", "3", "2"],
        ["match loss", "0", "0", "1", "1"],
    ]


def test_views_allocations_and_work_on_the_host_launch_nothing() -> None:
    x = torch.empty(4, 4, device=META)
    with OperationCounter(META) as counter:
        y = (x + 1).view(16)[2:8]
        torch.empty_like(y)
        torch.ones(3) + 1
        y.sum()
    assert {name: count for (_, name), count in counter.counts.launching.items()} == {"add": 1, "sum": 1}
    assert counter.counts.all.total() > 5


def test_operations_belong_to_parts() -> None:
    assert part_of("mixgraph/dsp/noise.py:_masked") == "reverb responses"
    assert part_of("mixgraph/dsp/envelopes/one_pole.py:Decay.make") == "dynamics"
    assert part_of("somewhere else") == "other"
