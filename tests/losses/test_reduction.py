"""The reductions of the match loss: means, and the sums of paper eq. 4."""

import pytest
import torch

from mixgraph.losses import LossSettings, MatchLoss, MelFrontEnd, SongTarget, make_match_loss

RATE = 8000


def two_mixes():
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(2, 2, RATE, generator=generator) / 10
    return target + torch.randn(2, 2, RATE, generator=generator) / 30, target


def test_the_sum_is_that_of_eq_4():
    """sum over i of ( |ln Y - ln P|_1 / N + |Y - P|_F / |Y|_F ), N frames."""
    prediction, target = two_mixes()
    match = make_match_loss(RATE, LossSettings(reduction="sum"))
    terms = match(prediction, target)
    for b in range(2):
        by_signal = torch.zeros(4, dtype=torch.float64)
        pairs = zip(match.front_end(prediction[b : b + 1]), match.front_end(target[b : b + 1]), strict=True)
        for p, y in pairs:
            for signal in range(4):
                predicted, true = p[0, signal].double(), y[0, signal].double()
                frames = true.shape[-1]
                by_signal[signal] += (true.log() - predicted.log()).abs().sum() / frames
                by_signal[signal] += torch.linalg.norm(true - predicted) / torch.linalg.norm(true)
        left, right, mid, side = by_signal.tolist()
        assert terms.full[b].item() == pytest.approx(0.25 * (left + right + mid + side), rel=1e-5)
        assert terms.mid[b].item() == pytest.approx(mid, rel=1e-5)


def test_a_tolerance_scales_by_3_to_288():
    """Three resolutions of 96 bands: 3 times the spectral convergence and 288 times the log distance."""
    prediction, target = two_mixes()
    match = MatchLoss(MelFrontEnd(30000), reduction="sum")
    summed, averaged = match(prediction, target), MatchLoss(MelFrontEnd(30000))(prediction, target)
    assert summed.num_bands == (96, 96, 96)
    expected = 3 * averaged.spectral_convergence.mean(1) + 288 * averaged.log_magnitude.mean(1)
    torch.testing.assert_close(summed.full, expected @ torch.full((4,), 0.25))
    torch.testing.assert_close(summed.over("target", "mean").full, averaged.full)
    torch.testing.assert_close(averaged.over("target", "sum").full, summed.full)
    torch.testing.assert_close(summed.over("prediction").full, averaged.over("prediction", "sum").full)
    with pytest.raises(ValueError, match=r"reduction must be one of \('mean', 'sum'\); got 'max'"):
        MatchLoss(MelFrontEnd(30000), reduction="max")


def test_trials_sum_and_scores_are_means():
    prediction, target = two_mixes()
    averaged, summed = (
        SongTarget(make_match_loss(RATE, LossSettings(reduction=reduction)), target[0]) for reduction in ("mean", "sum")
    )
    assert summed.score(prediction[0]) == averaged.score(prediction[0])
    loss, _ = averaged.bounded_loss(prediction[0])
    assert loss == pytest.approx(averaged.score(prediction[0]).loss["full"])
    assert summed.bounded_loss(prediction[0])[0] > 50 * loss


def test_groups_with_weights_are_summed_with_them():
    """A front end whose groups count by their numbers of bands: the sum keeps the shares of the mean."""
    prediction, target = two_mixes()
    match = make_match_loss(RATE, LossSettings(reduction="sum", front_end="nsgt"))
    terms = match(prediction, target)
    bands = torch.tensor(terms.num_bands, dtype=torch.float32)
    weights = torch.tensor(terms.group_weights) * len(bands)
    each = terms.spectral_convergence + terms.log_magnitude * bands.view(1, -1, 1)
    torch.testing.assert_close(terms.full, (weights.view(1, -1, 1) * each).sum(1) @ torch.full((4,), 0.25))
