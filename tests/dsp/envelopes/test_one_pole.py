"""The one-pole smoother against scipy, in float64 and float32."""

import numpy as np
import pytest
import scipy.signal
import scipy.special
import torch

from mixgraph.dsp.envelopes import one_pole as one_pole_module
from mixgraph.dsp.envelopes.one_pole import Decay, decay_scan, one_pole, truncated_one_pole

LOGITS = [-8.0, -1.0, 0.0, 3.0, 7.0, float(np.log(1e5))]  # the last is 1 - a = 1e-5


def oracle(x, logits, initial=None):
    rows = []
    for i, logit in enumerate(logits):
        a, b = scipy.special.expit(logit), scipy.special.expit(-logit)
        start = 0.0 if initial is None else initial[i]
        rows.append(scipy.signal.lfilter([b], [1, -a], x[i], zi=[a * start])[0])
    return np.stack(rows)


def noisy_constant(rows, length, seed=0):
    return np.random.default_rng(seed).uniform(0.1, 1.9, (rows, length))


@pytest.mark.parametrize("length", [1, 2, 127, 128, 129, 20000, 114000])
@pytest.mark.parametrize("started", [False, True])
def test_one_pole_matches_scipy(length, started):
    x = noisy_constant(len(LOGITS), length)
    initial = np.linspace(0.5, 3, len(LOGITS)) if started else None
    state = None if initial is None else torch.from_numpy(initial)
    y = one_pole(torch.from_numpy(x), torch.tensor(LOGITS, dtype=torch.float64), state)
    # scipy is given a itself, whose last bit is 1e-11 of 1 - a = 1e-5.
    np.testing.assert_allclose(y.numpy(), oracle(x, LOGITS, initial), rtol=1e-10)


def test_float32_keeps_its_accuracy_at_the_slowest_setting():
    x = noisy_constant(len(LOGITS), 114000).astype(np.float32)
    logits = np.array(LOGITS, dtype=np.float32)
    y = one_pole(torch.from_numpy(x), torch.from_numpy(logits)).double().numpy()
    expected = oracle(x.astype(np.float64), logits.astype(np.float64))
    error = np.abs(y - expected).max(axis=1) / np.abs(expected).max(axis=1)
    # Seven ulp. A recursion in float32 that forms a is off by 1e-3 at 1 - a = 1e-5.
    assert error.max() < 8e-7


def test_constant_input():
    logits = torch.tensor(LOGITS, dtype=torch.float64)
    x = torch.full((len(LOGITS), 1000), 0.7, dtype=torch.float64)
    settled = one_pole(x, logits, x[:, 0])
    torch.testing.assert_close(settled, x, atol=0, rtol=1e-12)
    n = torch.arange(1, 1001, dtype=torch.float64)
    rise = -torch.expm1(torch.nn.functional.logsigmoid(logits).unsqueeze(-1) * n)
    torch.testing.assert_close(one_pole(x, logits), 0.7 * rise, atol=0, rtol=1e-10)


def test_impulse_response_is_a_decaying_exponential():
    logits = torch.tensor(LOGITS, dtype=torch.float64)
    x = torch.zeros(len(LOGITS), 700, dtype=torch.float64)
    x[:, 300] = 2
    y = one_pole(x, logits)
    n = torch.arange(400, dtype=torch.float64)
    expected = 2 * torch.sigmoid(-logits).unsqueeze(-1) * torch.sigmoid(logits).unsqueeze(-1) ** n
    assert y[:, :300].abs().max() == 0
    torch.testing.assert_close(y[:, 300:], expected, atol=1e-16, rtol=1e-10)


@pytest.mark.parametrize("length", [1, 4, 5, 23])
def test_gradients(monkeypatch, length):
    monkeypatch.setattr(one_pole_module, "BLOCK", 4)  # 23 samples are then blocks of blocks of blocks
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, length, generator=generator, dtype=torch.float64, requires_grad=True)
    logits = torch.tensor([-1.0, 1.0, 4.0], dtype=torch.float64, requires_grad=True)
    initial = torch.rand(3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(one_pole, (x, logits, initial))
    assert torch.autograd.gradgradcheck(one_pole, (x, logits, initial))


def test_block_size_does_not_matter(monkeypatch):
    x = torch.from_numpy(noisy_constant(2, 3001))
    logits = torch.tensor([2.0, 9.0], dtype=torch.float64)
    envelopes = []
    for block in (2, 64, 128, 5000):
        monkeypatch.setattr(one_pole_module, "BLOCK", block)
        envelopes.append(one_pole(x, logits))
    for other in envelopes[1:]:
        torch.testing.assert_close(other, envelopes[0], atol=0, rtol=1e-12)


@pytest.mark.parametrize("cuts", [[1], [127, 255], [500, 501, 1800]])
def test_pieces_with_state_equal_the_whole(cuts):
    x = torch.from_numpy(noisy_constant(len(LOGITS), 2000))
    logits = torch.tensor(LOGITS, dtype=torch.float64)
    pieces, state = [], None
    for piece in torch.tensor_split(x, cuts, dim=1):
        pieces.append(one_pole(piece, logits, state))
        state = pieces[-1][:, -1]
    torch.testing.assert_close(torch.cat(pieces, dim=1), one_pole(x, logits), atol=0, rtol=1e-12)


def test_decay_scan_takes_any_decay():
    x = torch.from_numpy(noisy_constant(2, 300))
    y = decay_scan(x, torch.tensor([0.0, -1e9], dtype=torch.float64))
    torch.testing.assert_close(y[0], x[0].cumsum(0), atol=0, rtol=1e-13)  # a = 1: a running sum
    torch.testing.assert_close(y[1], x[1], atol=0, rtol=0)  # a = 0: the signal itself


def scanned(x, log_decay, initial=None, reverse=False):
    decay = Decay.make(log_decay, x.shape[1])
    signal = torch.nn.functional.pad(x, (0, decay.padded(x.shape[1]) - x.shape[1]))
    start = None if initial is None else initial.unsqueeze(-1)
    return decay.scan(signal, torch.empty_like(signal), start, reverse)[:, : x.shape[1]]


@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 1024, 1025, 40000])
def test_scan_in_place_equals_decay_scan(length):
    x = torch.from_numpy(noisy_constant(len(LOGITS) + 2, length))
    log_decay = torch.cat((torch.nn.functional.logsigmoid(torch.tensor(LOGITS)), torch.tensor([0.0, -1e9]))).double()
    initial = torch.linspace(0.5, 3, len(x), dtype=torch.float64)
    for state in (None, initial):
        torch.testing.assert_close(scanned(x, log_decay, state), decay_scan(x, log_decay, state), atol=0, rtol=1e-12)
    backward = decay_scan(x.flip(1), log_decay).flip(1)
    torch.testing.assert_close(scanned(x, log_decay, reverse=True), backward, atol=0, rtol=1e-12)


def test_scan_of_some_rows():
    x = torch.from_numpy(noisy_constant(len(LOGITS), 2048))
    decay = Decay.make(torch.nn.functional.logsigmoid(torch.tensor(LOGITS).double()), 2048)
    whole = decay.scan(x.clone(), torch.empty_like(x))
    some = decay.rows(slice(2, 4)).scan(x[2:4].clone(), torch.empty_like(x[2:4]))
    torch.testing.assert_close(some, whole[2:4], atol=0, rtol=1e-13)


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_in_place_keeps_float32_accuracy_at_the_slowest_setting(reverse):
    x = noisy_constant(len(LOGITS), 114000).astype(np.float32)
    logits = torch.tensor(LOGITS)
    drive = torch.sigmoid(-logits).unsqueeze(-1) * torch.from_numpy(x)
    y = scanned(drive, torch.nn.functional.logsigmoid(logits), reverse=reverse).double().numpy()
    step = -1 if reverse else 1
    expected = oracle(x[:, ::step].astype(np.float64), logits.double().numpy())[:, ::step]
    error = np.abs(y - expected).max(axis=1) / np.abs(expected).max(axis=1)
    assert error.max() < 8e-7  # as for `one_pole`


@pytest.mark.parametrize("taps", [1, 50, 700])
def test_truncated_one_pole_is_the_convolution_with_the_cut_response(taps):
    x = noisy_constant(len(LOGITS), 600)
    logits = torch.tensor(LOGITS, dtype=torch.float64)
    y, _ = truncated_one_pole(torch.from_numpy(x), logits, taps)
    for row, logit in enumerate(LOGITS):
        response = scipy.special.expit(-logit) * scipy.special.expit(logit) ** np.arange(taps)
        expected = np.convolve(x[row], response)[:600]
        # A difference of two whole envelopes of size 1: relative to 1, and to the last bit of a as above.
        np.testing.assert_allclose(y[row].numpy(), expected, atol=1e-14, rtol=1e-10)


@pytest.mark.parametrize("cuts", [[1], [30, 31, 90], [400]])
def test_truncated_pieces_with_history_equal_the_whole(cuts):
    x = torch.from_numpy(noisy_constant(len(LOGITS), 600))
    logits = torch.tensor(LOGITS, dtype=torch.float64)
    whole, last = truncated_one_pole(x, logits, 100)
    pieces, history = [], None
    for piece in torch.tensor_split(x, cuts, dim=1):
        smooth, history = truncated_one_pole(piece, logits, 100, history)
        pieces.append(smooth)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=1e-14, rtol=1e-12)
    torch.testing.assert_close(history, last, atol=0, rtol=1e-12)
