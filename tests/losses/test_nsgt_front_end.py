"""The front end by an NSGT: levels, groups that no length changes, gradients, and its place in the match loss."""

import math

import pytest
import torch

from mixgraph.losses import LossSettings, NsgtFrontEnd, make_match_loss

RATE = 8000
NSGT = LossSettings(front_end="nsgt")


def noise(*shape: int, seed: int = 0, dtype=torch.float32) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("samples", [6000, 22400])
@pytest.mark.parametrize("oversampling", [1, 2])
def test_a_tone_at_a_bands_centre_is_told_by_its_root_mean_square(samples, oversampling) -> None:
    front_end = NsgtFrontEnd(RATE, a_weighting=False, oversampling=oversampling)
    centres = (0.0, *front_end.scale.centres_hz)
    band = 60
    tone = 0.5 * torch.sin(2 * math.pi * centres[band] / RATE * torch.arange(samples))
    left, _, mid, side = torch.cat([group.mean(-1) for group in front_end(torch.stack((tone, tone))[None])], dim=-1)[
        0
    ].unbind(0)
    assert int(left.argmax()) == band
    assert float(left[band]) == pytest.approx(0.5 / math.sqrt(2), rel=0.02)
    assert float(mid[band]) == pytest.approx(1.0 / math.sqrt(2), rel=0.02)
    assert float(side.max()) == pytest.approx(front_end.magnitude_floor)


def test_a_weighting_turns_down_the_lowest_bands_as_the_filter_of_the_mel_front_end_does() -> None:
    plain, weighted = NsgtFrontEnd(30000, a_weighting=False), NsgtFrontEnd(30000)
    gains_db = 20 * (weighted._gains / plain._gains).log10()
    centres = torch.tensor((0.0, *plain.scale.centres_hz))
    assert float(gains_db[int((centres - 1000).abs().argmin())]) == pytest.approx(0, abs=0.5)
    assert float(gains_db[int((centres - 100).abs().argmin())]) == pytest.approx(-19, abs=2)  # A(100 Hz) = -19.1 dB


def test_no_length_moves_a_band_into_another_group() -> None:
    front_end = NsgtFrontEnd(RATE)
    for samples in (front_end.min_samples, 3001, 8000, 22400, 40000):
        groups = front_end(noise(1, 2, samples))
        assert [group.shape[2] for group in groups] == list(front_end.group_weights)
        assert len(groups) == front_end.num_groups
    assert sum(front_end.group_weights) == 98


def test_all_bands_count_alike() -> None:
    loss = make_match_loss(RATE, NSGT)
    prediction, target = noise(2, 2, 22400), noise(2, 2, 22400, seed=1)
    terms = loss(prediction, target)
    shares = torch.tensor(loss.front_end.group_weights) / 98
    by_hand = ((terms.spectral_convergence + terms.log_magnitude) * shares[:, None]).sum(1)
    left, right, mid, side = by_hand.unbind(-1)
    assert torch.allclose(terms.full, 0.25 * (left + right) + 0.25 * mid + 0.25 * side)
    assert torch.allclose(terms.over("prediction").full, loss(prediction, target, denominator="prediction").full)
    assert loss(target, target).full.tolist() == [0.0, 0.0]


def test_its_gradient_is_that_of_differences() -> None:
    """Above the floor: below it the soft gradient is not that of the value, which is constant."""
    options = {"magnitude_floor": 1e-12}
    loss = make_match_loss(RATE, LossSettings(front_end="nsgt", front_end_options=options))
    prediction, target = noise(1, 2, 4000, dtype=torch.float64), noise(1, 2, 4000, seed=1, dtype=torch.float64)
    direction = noise(1, 2, 4000, seed=2, dtype=torch.float64)
    prediction.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(prediction, target).full.sum(), prediction)
    step = 1e-6
    with torch.no_grad():
        above, below = (loss(prediction + sign * step * direction, target).full.sum() for sign in (1, -1))
    assert float((gradient * direction).sum()) == pytest.approx(float(above - below) / (2 * step), rel=1e-4)


def test_levels_are_learned_by_it() -> None:
    loss = make_match_loss(RATE, NSGT)
    tracks = torch.stack((noise(2, 8000), torch.sin(0.3 * torch.arange(8000)).expand(2, -1) * 0.2))
    target = (tracks * torch.tensor([0.5, 2.0]).view(2, 1, 1)).sum(0)[None]
    log_gains = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([log_gains], lr=0.05)
    for _ in range(120):
        optimizer.zero_grad()
        loss((tracks * log_gains.exp().view(2, 1, 1)).sum(0)[None], target).full.sum().backward()
        optimizer.step()
    assert log_gains.exp().tolist() == pytest.approx([0.5, 2.0], rel=0.02)


@pytest.mark.parametrize("scale", ["bark", "mel", "constant_q", "variable_q", "linear"])
def test_every_scale_is_a_front_end(scale) -> None:
    options = {"scale": scale, "num_bands": 24, "offset_hz": 30.0 if scale == "variable_q" else 0.0}
    loss = make_match_loss(RATE, LossSettings(front_end="nsgt", front_end_options=options))
    target = noise(1, 2, 8000)
    assert float(loss(target, target).full.max()) < 1e-3 < float(loss(0.5 * target, target).full.min())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"magnitude_floor": 0}, "magnitude_floor must be positive; got 0"),
        ({"high_share": 1.0}, "high_share must be between 0 and 1; got 1.0"),
        ({"num_bands": 1}, "num_bands: a whole number from 2, got 1"),
        ({"num_bands": "two"}, "num_bands: a whole number from 2, got 'two'"),
        ({"num_bands": 200_000}, "num_bands must be at most 4096; got 200000"),
        ({"scale": "erb"}, "one of bark, constant_q, linear, mel, variable_q"),
        ({"scale": "variable_q"}, "offset_hz: above 0 Hz for variable_q, got 0"),
        ({"offset_hz": 30.0}, "offset_hz: only variable_q has one, got 30 for bark"),
        ({"oversampling": 0}, "oversampling: a whole number from 1, got 0"),
        ({"oversampling": 1.5}, "oversampling: a whole number from 1, got 1.5"),
        ({"fft_sizes": [512]}, "front end nsgt takes floor_gradient, scale, num_bands"),
    ],
)
def test_settings_out_of_range_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        make_match_loss(RATE, LossSettings(front_end="nsgt", front_end_options=options))


def test_audio_that_is_too_short_is_refused() -> None:
    loss = make_match_loss(RATE, NSGT)
    with pytest.raises(ValueError, match=f"at least {loss.min_samples} samples for the front end nsgt; got 100"):
        loss.features(torch.zeros(1, 2, 100))


def test_a_mix_that_is_not_finite_has_a_loss_that_is_not_a_number() -> None:
    loss = make_match_loss(RATE, NSGT)
    prediction = noise(1, 2, 6000)
    prediction[0, 0, 9] = math.nan  # what a search that diverges renders; it stops with its own message
    assert math.isnan(float(loss(prediction, noise(1, 2, 6000, seed=1)).full))
