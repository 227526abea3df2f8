"""Losses and the Wiener filter against loops, closed forms, and hostile levels."""

import math
from itertools import combinations

import pytest
import torch

from mixgraph.demixing import (
    apply_masks,
    combination_error,
    mask_sum_error,
    masks_from_logits,
    waveform_error_db,
    wiener_filter,
)
from mixgraph.dsp.slicqt import RaggedSpectrum, SliCQT, make_scale

TRANSFORM = SliCQT(make_scale("bark", 12, 200.0, 3500.0), 8000, 256)


def spectra(num_targets: int, channels: int = 2, scale: float = 1.0) -> RaggedSpectrum:
    return TRANSFORM(scale * torch.randn(2, num_targets, channels, 700))


@pytest.mark.parametrize("num_targets", [1, 2, 3, 4, 5])
def test_the_closed_form_is_the_mean_over_all_combinations(num_targets: int) -> None:
    torch.manual_seed(num_targets)
    estimates, targets = spectra(num_targets), spectra(num_targets)
    errors = (estimates.flat - targets.flat).to(torch.complex128)
    sizes = range(1, num_targets) if num_targets > 1 else (1,)
    groups = [group for size in sizes for group in combinations(range(num_targets), size)]
    expected = torch.stack([errors[:, list(group)].sum(1).abs().square().mean() for group in groups]).mean()
    assert float(combination_error(estimates, targets)) == pytest.approx(float(expected), rel=1e-5)


def test_softmax_masks_add_up_to_1_and_sigmoid_masks_are_told_when_they_do_not() -> None:
    torch.manual_seed(0)
    logits = RaggedSpectrum(torch.randn(1, 3, 2, 4, TRANSFORM.layout.num_coefficients), TRANSFORM.layout)
    assert float(mask_sum_error(masks_from_logits(logits, "softmax"))) < 1e-12
    assert float(mask_sum_error(masks_from_logits(logits, "sigmoid"), "blocks")) > 0.1
    with pytest.raises(ValueError, match="masks: one of sigmoid, softmax"):
        masks_from_logits(logits, "relu")  # type: ignore[arg-type]


def test_the_waveform_error_goes_through_the_inverse_and_counts_decibels() -> None:
    torch.manual_seed(0)
    stems = torch.randn(1, 2, 2, 700)
    half = TRANSFORM(stems).flat.div(2).requires_grad_()
    error = waveform_error_db(TRANSFORM.inverse(RaggedSpectrum(half, TRANSFORM.layout), 700), stems)
    floor = 0.1 * float(stems.sum(1).square().sum())
    energies = stems.square().sum((2, 3))
    expected = 10 * ((energies / 4 + floor) / (energies + floor)).log10().mean()
    assert float(error.detach()) == pytest.approx(float(expected), abs=1e-3)
    (gradient,) = torch.autograd.grad(error, half)
    assert float(gradient.abs().max()) > 0
    assert float(waveform_error_db(torch.zeros(1, 2, 1, 9), torch.zeros(1, 2, 1, 9))) == 0
    # The floor is a tenth of the energy of the mix: an error as large costs 3 dB of a silent target.
    heard = torch.stack([torch.ones(1, 10), torch.zeros(1, 10)]).unsqueeze(0)
    wrong = torch.stack([torch.ones(1, 10), torch.full((1, 10), 0.1**0.5)]).unsqueeze(0)
    assert float(waveform_error_db(wrong, heard)) == pytest.approx(
        10 * (math.log10(1 / 11) + math.log10(2)) / 2, abs=1e-5
    )


def test_the_filter_separates_sources_that_stand_at_other_places() -> None:
    """Two sources panned hard apart but estimated with much leakage: the second order tells them apart."""
    torch.manual_seed(0)
    stems = torch.zeros(1, 2, 2, 8000)
    stems[:, 0, 0], stems[:, 1, 1] = torch.randn(8000), torch.randn(8000)
    mix = TRANSFORM(stems.sum(1))
    truth = TRANSFORM(stems)
    first = RaggedSpectrum(0.8 * truth.flat + 0.2 * (mix.flat.unsqueeze(1) - truth.flat), mix.layout)
    refined = wiener_filter(first, mix)
    before, after = (combination_error(estimate, truth) for estimate in (first, refined))
    assert float(after) < 0.2 * float(before)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("eps", [0.0, 1e-30, 1e-5, 1.0, 1e6])
@pytest.mark.parametrize("level", [0.0, 1e-18, 1.0, 1e6])
def test_any_eps_and_level_give_finite_values_and_gradients(channels: int, eps: float, level: float) -> None:
    torch.manual_seed(0)
    stems = level * torch.randn(1, 3, channels, 400)
    stems[:, 2] = 0
    mix = TRANSFORM(stems.sum(1))
    masks = torch.rand(1, 3, *mix.flat.shape[1:])
    masks[:, 2] = 0
    masks.requires_grad_()
    refined = wiener_filter(apply_masks(RaggedSpectrum(masks, mix.layout), mix), mix, eps)
    assert bool(refined.flat.isfinite().all())
    loss = refined.flat.abs().square().sum() / max(level, 1e-9) ** 2
    (gradient,) = torch.autograd.grad(loss, masks)
    assert bool(gradient.isfinite().all())


def test_the_filter_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="one or two channels are needed for a Wiener filter, got 3"):
        wiener_filter(spectra(2, 3), TRANSFORM(torch.randn(2, 3, 700)))
    with pytest.raises(ValueError, match="eps: at least 0, got -1"):
        wiener_filter(spectra(2), TRANSFORM(torch.randn(2, 2, 700)), -1)
