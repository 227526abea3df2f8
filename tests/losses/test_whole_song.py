"""Whole-song losses: windows, weights, bounds, and the published protocol."""

import pytest
import torch

from mixgraph.losses import LossSettings, SongTarget, clip_score, make_match_loss

RATE = 8000
LOSS = make_match_loss(RATE)
WINDOW = round(2.8 * RATE)


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(2, samples, generator=torch.Generator().manual_seed(seed)) - 0.5


def test_song_loss_is_the_weighted_mean_of_its_windows() -> None:
    mix, prediction = noise(5 * WINDOW // 2), noise(5 * WINDOW // 2, 1) * 0.7
    target = SongTarget(LOSS, mix, floor=False)
    losses = []
    for i in range(3):
        part = [
            torch.nn.functional.pad(x, (0, WINDOW))[:, i * WINDOW : (i + 1) * WINDOW][None] for x in (prediction, mix)
        ]
        losses.append(LOSS(*part).full.item())
    expected = (losses[0] + losses[1] + 0.5 * losses[2]) / 2.5
    assert target.bounded_loss(prediction)[0] == pytest.approx(expected, rel=1e-6)
    score = target.score(prediction)
    assert score.windows == pytest.approx(losses, rel=1e-6)
    assert score.loss["full"] == pytest.approx(expected, rel=1e-6)
    parts = 0.5 * score.loss["lr"] + 0.25 * score.loss["mid"] + 0.25 * score.loss["side"]
    assert score.loss["full"] == pytest.approx(parts, rel=1e-6)


def test_both_denominators_come_from_the_same_features() -> None:
    mix, prediction = noise(WINDOW), noise(WINDOW, 1) * 0.7
    score = SongTarget(LOSS, mix).score(prediction)
    direct = make_match_loss(RATE, LossSettings(denominator="prediction"))(prediction[None], mix[None])
    assert score.loss_prediction["full"] == pytest.approx(direct.full.item(), rel=1e-6)
    assert score.windows_prediction == pytest.approx([direct.full.item()], rel=1e-6)


def test_identical_mixes_have_no_loss_and_short_songs_are_one_window() -> None:
    mix = noise(WINDOW // 3)
    target = SongTarget(LOSS, mix)
    assert target.num_windows == 1
    assert target.weights == [1.0]
    assert target.bounded_loss(mix) == (0.0, False)


@pytest.mark.parametrize("windows", [1, 4, 9.3])
def test_bound_gives_up_early_with_a_lower_bound(windows: float) -> None:
    samples = round(windows * WINDOW)
    mix, prediction = noise(samples), noise(samples, 1) * 0.5
    target = SongTarget(LOSS, mix)
    whole = target.bounded_loss(prediction)[0]
    for share in (0.05, 0.5, 0.99, 1.0, 2.0):
        loss, stopped = target.bounded_loss(prediction, whole * share)
        assert loss <= whole
        assert (not stopped and loss <= whole * share) == (whole <= whole * share)  # the same verdict
        if stopped:
            assert whole * share < loss < whole


def test_losses_do_not_depend_on_which_features_are_kept() -> None:
    """Three batches of windows, the last one padded: all kept, the first, or none."""
    samples = round(9.3 * WINDOW)
    mix, prediction = noise(samples), noise(samples, 1) * 0.5
    whole = SongTarget(LOSS, mix)
    sizes = [features.num_bytes for features in whole.kept]
    assert len(sizes) == 3
    assert sum(sizes) / (10 * 2.8) == pytest.approx(1.1e6, rel=0.02)  # at 8 kHz, as the class says
    for max_bytes, kept in ((sum(sizes), 3), (sum(sizes) - 1, 2), (sizes[0], 1), (sizes[0] - 1, 0)):
        some = SongTarget(LOSS, mix, max_bytes=max_bytes)
        assert len(some.kept) == kept
        assert torch.equal(some.loudest, whole.loudest)
        assert some.score(prediction) == whole.score(prediction)
        assert some.bounded_loss(prediction, 0.5) == whole.bounded_loss(prediction, 0.5)


def test_floor_keeps_silent_windows_from_dominating() -> None:
    """A window 60 dB below the song weighs by its own norm without the floor, by -30 dB of the loudest with it."""
    mix = noise(2 * WINDOW) * torch.cat((torch.ones(WINDOW), torch.full((WINDOW,), 1e-2)))
    prediction = mix + noise(2 * WINDOW, 1) * 0.02
    plain, floored = SongTarget(LOSS, mix, floor=False).score(prediction), SongTarget(LOSS, mix).score(prediction)
    assert floored.windows[0] == pytest.approx(plain.windows[0], rel=1e-6)
    assert floored.windows[1] < 0.7 * plain.windows[1]


def test_published_protocol_scores_clips_from_silence() -> None:
    mix, sources = noise(3 * WINDOW), noise(3 * WINDOW, 1)[None]
    clips = []

    def render(part: torch.Tensor, first: int) -> torch.Tensor:
        clips.append((first, part.shape[-1]))
        return part[0]

    score = clip_score(LOSS, render, sources, mix)
    assert clips == [(i * WINDOW, RATE + WINDOW) for i in range(3)]
    for i, loss in enumerate(score.windows_prediction):
        start = i * WINDOW + RATE
        parts = [
            torch.nn.functional.pad(x[..., start : start + WINDOW], (0, max(0, start + WINDOW - 3 * WINDOW)))
            for x in (sources, mix[None])
        ]
        assert loss == pytest.approx(LOSS(*parts, denominator="prediction").full.item(), rel=1e-6)
    assert score.loss["full"] == pytest.approx(sum(score.windows) / 3, rel=1e-6)


def test_clips_inside_the_song_end_with_it() -> None:
    length = RATE + 2 * WINDOW + WINDOW // 4
    mix, sources = noise(length), noise(length, 1)[None]
    starts = [0, WINDOW, length - RATE - WINDOW]
    score = clip_score(LOSS, lambda part, first: part[0], sources, mix, inside=True)
    assert len(score.windows) == 3
    for start, loss in zip(starts, score.windows, strict=True):
        part = slice(start + RATE, start + RATE + WINDOW)
        assert loss == pytest.approx(LOSS(sources[..., part], mix[None, ..., part]).full.item(), rel=1e-6)
    exact = clip_score(
        LOSS, lambda part, first: part[0], sources[..., : RATE + WINDOW], mix[:, : RATE + WINDOW], inside=True
    )
    assert exact.windows == pytest.approx(score.windows[:1], rel=1e-6)
    with pytest.raises(ValueError, match="at least a clip of"):
        clip_score(LOSS, lambda part, first: part[0], sources[..., :RATE], mix[:, :RATE], inside=True)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"mix: \(2, samples\) is needed, got \(3, 9\)"):
        SongTarget(LOSS, torch.ones(3, 9))
    with pytest.raises(ValueError, match=r"mix: \(2, 22400\) is needed, as the target, got \(2, 5\)"):
        SongTarget(LOSS, noise(WINDOW)).bounded_loss(noise(5))
