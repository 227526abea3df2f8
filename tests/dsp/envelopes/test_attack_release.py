"""The smoother with two speeds: against the recursion in plain Python, its gradient, and an independent library."""

import math
import warnings
from pathlib import Path

import pytest
import torch

import mixgraph
from mixgraph.dsp.envelopes import policy_iteration
from mixgraph.dsp.envelopes.attack_release import (
    _by_policy_iteration,
    adjoint_rows,
    attack_release,
    smooth_rows,
    step_sizes,
)
from mixgraph.dsp.envelopes.one_pole import one_pole
from mixgraph.songs.audio import read_audio
from mixgraph.system.threads import one_thread


def inputs(nodes=3, length=50, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    signal = torch.rand(nodes, length, generator=generator, dtype=torch.float64)
    signal[:, length // 3 : length // 2] *= 0.1  # so that both branches are taken for long
    attack, release = torch.tensor([0.5, 2.0, 3.0]), torch.tensor([3.0, 1.0, 5.0])
    initial = torch.rand(nodes, generator=generator, dtype=torch.float64)
    return [value.to(dtype) for value in (signal, attack[:nodes], release[:nodes], initial)]


def plain(signal, attack, release, initial):
    rows = []
    for x, z_up, z_down, y in zip(signal.tolist(), attack.tolist(), release.tolist(), initial.tolist(), strict=True):
        row = []
        for value in x:
            step = 1 / (1 + math.exp(z_up if value > y else z_down))
            y += step * (value - y)
            row.append(y)
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


def test_it_is_the_recursion() -> None:
    values = inputs(length=400)
    assert torch.allclose(attack_release(*values), plain(*values), rtol=0, atol=1e-14)


def test_float32_keeps_its_accuracy_over_minutes() -> None:
    signal, attack, release, initial = inputs(2, 1_000_000)
    attack, release = attack + 5, release + 9  # a release of 40 s
    low = attack_release(*(value.float() for value in (signal, attack, release, initial)))
    high = attack_release(signal.float().double(), attack.float().double(), release.float().double(), initial)
    assert torch.allclose(low.double(), high, rtol=2e-7, atol=1e-9)


def test_gradients() -> None:
    values = [value.requires_grad_() for value in inputs()]
    assert torch.autograd.gradcheck(attack_release, values)


def test_equal_speeds_are_the_one_pole() -> None:
    signal, attack, _, start = inputs(length=3000)
    assert torch.allclose(attack_release(signal, attack, attack, start), one_pole(signal, attack, start), atol=1e-12)


def test_blocks_go_on_where_the_last_one_ended() -> None:
    signal, attack, release, initial = inputs(length=300)
    whole = attack_release(signal, attack, release, initial)
    first = attack_release(signal[:, :101], attack, release, initial)
    second = attack_release(signal[:, 101:], attack, release, first[:, -1])
    assert torch.equal(torch.cat((first, second), dim=1), whole)


def test_rises_and_falls_with_their_own_time_constants() -> None:
    rate, attack_ms, release_ms = 30000, 5.0, 80.0
    logits = [torch.logit(torch.exp(torch.tensor([-1000 / (ms * rate)], dtype=torch.float64))) for ms in (5.0, 80.0)]
    signal = torch.zeros(1, 2 * rate, dtype=torch.float64)
    signal[:, :rate] = 1
    y = attack_release(signal, *logits, torch.zeros(1, dtype=torch.float64))[0]
    assert y[round(attack_ms * rate / 1000) - 1] == pytest.approx(1 - math.exp(-1), abs=1e-9)
    assert y[rate + round(release_ms * rate / 1000) - 1] == pytest.approx(math.exp(-1), abs=1e-9)


@pytest.mark.long
def test_an_independent_library_agrees() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library's own imports
        from torchcomp import core
    values = [value.requires_grad_() for value in inputs(length=400)]
    signal, attack, release, initial = values
    ours = attack_release(*values)
    by = torch.rand_like(ours)
    with one_thread():  # It sets the number of threads of the process, which the tests after this one would round by.
        # Of gains: its attack is where the signal falls.
        theirs = -core.compressor_core(-signal, -initial, torch.sigmoid(-attack), torch.sigmoid(-release))
        expected = torch.autograd.grad((theirs * by).sum(), values)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-13)
    for a, b in zip(torch.autograd.grad((ours * by).sum(), values), expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12)


DRUMS = Path(mixgraph.__file__).parent / "songs" / "demo_potassium" / "tracks" / "end_drums.flac"
SPEEDS = {  # ms of attack and release
    "usual": (5.0, 80.0),
    "far apart": (0.1, 1000.0),
    "nearly equal": (20.0, 20.1),
    "release first": (50.0, 5.0),
}


def by_loop(signal, steps, initial):
    return smooth_rows(signal, steps, initial, torch.empty(signal.shape, dtype=signal.dtype))


@pytest.mark.parametrize("speeds", SPEEDS)
@pytest.mark.parametrize("source", ["noise", "drums", "ties"])
def test_without_a_loop_over_samples_it_is_the_same(speeds, source) -> None:
    generator = torch.Generator().manual_seed(1)
    if source == "drums":
        signal = read_audio(DRUMS, 30000)[:, :60000].square().double().expand(2, -1)
    elif source == "noise":
        signal = torch.rand(2, 30000, dtype=torch.float64, generator=generator)
    else:  # held, so that samples come to equal the output before them, and silent
        signal = torch.rand(2, 300, dtype=torch.float64, generator=generator).repeat_interleave(100, dim=1)
        signal[1, 5000:20000] = 0
    steps = -torch.expm1(-1 / (30 * torch.tensor(SPEEDS[speeds], dtype=torch.float64)))
    steps = torch.stack((steps, steps.flip(0)), dim=1)  # The second row has both in exchange: policies differ by row.
    initial = signal[:, 7].clone()
    by_smooth = torch.randn(signal.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (smooth, unsettled), expected = policy_iteration.smooth(signal, steps, initial), by_loop(signal, steps, initial)
    assert not unsettled.any()
    assert torch.allclose(smooth, expected, rtol=1e-12, atol=1e-15)
    by_signal = torch.empty_like(signal)
    by_logits, by_initial = adjoint_rows(by_smooth, signal, expected, steps, initial, by_signal)
    by_x, by_steps_and_initial = policy_iteration.adjoint(by_smooth, signal, expected, steps, initial)
    by_rest = torch.cat((-steps * (1 - steps) * by_steps_and_initial[:2], by_steps_and_initial[2:]))
    assert torch.allclose(by_x, by_signal, rtol=1e-9, atol=1e-11)
    assert torch.allclose(by_rest, torch.cat((by_logits, by_initial.unsqueeze(0))), rtol=1e-9, atol=1e-11)


@pytest.mark.long
def test_without_a_loop_float32_keeps_its_accuracy_over_minutes() -> None:
    signal, attack, release, initial = inputs(2, 1_000_000, dtype=torch.float32)
    steps = step_sizes(torch.stack((attack + 5, release + 9)))
    smooth, _ = policy_iteration.smooth(signal, steps, initial)
    assert smooth.dtype == torch.float32
    assert torch.allclose(smooth, by_loop(signal, steps, initial), rtol=2e-7, atol=1e-9)


def test_rows_that_policies_do_not_settle_are_left_to_the_loop() -> None:
    decay = torch.exp(-8 * torch.arange(3000, dtype=torch.float64) / 30000)
    signal = torch.stack((decay, decay.flip(0)))
    steps = -torch.expm1(-1 / (30 * torch.tensor([[3000.0, 5.0], [0.02, 50.0]], dtype=torch.float64)))
    initial = torch.zeros(2, dtype=torch.float64)
    assert policy_iteration.smooth(signal, steps, initial)[1].tolist() == [True, False]
    assert torch.allclose(_by_policy_iteration(signal, steps, initial), by_loop(signal, steps, initial), rtol=1e-12)
    slowly, unsettled = policy_iteration.smooth(signal, steps, initial, rounds=3000)
    assert not unsettled.any()
    assert torch.allclose(slowly, by_loop(signal, steps, initial), rtol=1e-12)
