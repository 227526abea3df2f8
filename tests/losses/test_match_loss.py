"""The match loss against golden values of the published code, a slow oracle and auraloss; what holds of any input."""

import dataclasses

import auraloss
import librosa
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mixgraph.dsp.filterbank import a_weighting_taps
from mixgraph.losses import FrontEnd, LossSettings, MatchLoss, MatchTerms, MelFrontEnd, make_match_loss

SIZES = (512, 1024, 4096)


def mel_loss(sample_rate: int = 30000, denominator="target", weights=(0.5, 0.25, 0.25), **options) -> MatchLoss:
    return MatchLoss(MelFrontEnd(sample_rate, **options), denominator, weights)


@pytest.fixture(scope="module")
def loss() -> MatchLoss:
    return mel_loss()


@pytest.fixture(scope="module")
def golden_pair() -> tuple[Tensor, Tensor]:
    """Prediction and target of the golden values: white noise, the warm-up of 30000 samples cropped."""
    state = np.random.RandomState(0)
    target = state.uniform(-0.5, 0.5, (1, 2, 114000)).astype("float32")
    prediction = state.uniform(-0.25, 0.25, (1, 2, 114000)).astype("float32")
    return torch.from_numpy(prediction)[..., 30000:], torch.from_numpy(target)[..., 30000:]


@pytest.fixture(scope="module")
def pairs() -> tuple[Tensor, Tensor]:
    """Three unlike pairs, (3, 2, 9000): levels 20 dB apart, correlated channels."""
    generator = torch.Generator().manual_seed(1)
    prediction, target = torch.rand(2, 3, 2, 9000, generator=generator) - 0.5
    target[:, 1] += target[:, 0]
    return prediction * torch.tensor([1.0, 0.3, 0.1])[:, None, None], target


def oracle_mels(audio: Tensor, sample_rate: int = 30000, sizes: tuple[int, ...] = SIZES) -> list[list[Tensor]]:
    """The obvious, slow way for one (2, T): per size, mels of l, r, m, s, each filtered and transformed alone."""
    left, right = audio
    taps = a_weighting_taps(sample_rate).to(audio.dtype)
    result = []
    for size in sizes:
        window = torch.hann_window(size).to(audio.dtype)
        mel = torch.from_numpy(librosa.filters.mel(sr=sample_rate, n_fft=size, n_mels=96)).to(audio.dtype)
        mels = []
        for signal in (left, right, left + right, left - right):
            weighted = F.conv1d(signal[None, None], taps[None, None], padding=50)[0]
            spectrum = torch.stft(weighted, size, size // 4, size, window, return_complex=True)[0]
            mels.append(mel @ (spectrum.real**2 + spectrum.imag**2).clamp(min=1e-4).sqrt())
        result.append(mels)
    return result


def oracle_terms(
    prediction: Tensor,
    target: Tensor,
    denominator: str = "target",
    sample_rate: int = 30000,
    sizes: tuple[int, ...] = SIZES,
) -> tuple[Tensor, Tensor]:
    """Spectral convergence and log magnitude of one item, (resolutions, 4) each."""
    convergence, log_magnitude = [], []
    for ps, ys in zip(
        oracle_mels(prediction, sample_rate, sizes), oracle_mels(target, sample_rate, sizes), strict=True
    ):
        for p, y in zip(ps, ys, strict=True):
            norm = y.norm() if denominator == "target" else p.norm()
            convergence.append((y - p).norm() / norm)
            log_magnitude.append((y.log() - p.log()).abs().mean())
    return torch.stack(convergence).reshape(-1, 4), torch.stack(log_magnitude).reshape(-1, 4)


# Golden values


# float32 norms over 63,000 values are off by up to 4e-7 of them; float64 leaves half of the last printed digit.
@pytest.mark.parametrize(("dtype", "rel", "abs_"), [(torch.float32, 5e-7, 5e-7), (torch.float64, 0, 5.1e-7)])
@pytest.mark.parametrize(
    ("denominator", "expected"),
    [
        ("prediction", (1.915644, 1.916867, 1.910068, 1.918774)),
        ("target", (1.328505, 1.329568, 1.324460, 1.330426)),
    ],
)
def test_golden_values(loss, golden_pair, denominator, expected, dtype, rel, abs_) -> None:
    prediction, target = (x.to(dtype) for x in golden_pair)
    terms = loss(prediction, target, denominator=denominator)
    values = [terms.full.item(), terms.lr.item(), terms.mid.item(), terms.side.item()]
    for value, golden in zip(values, expected, strict=True):
        assert abs(value - golden) <= abs_ + rel * golden


def test_golden_values_per_resolution(loss, golden_pair) -> None:
    terms = loss(*golden_pair, denominator="prediction")
    convergence = [
        [1.2683, 1.26642, 1.26694, 1.26642],
        [1.19093, 1.18653, 1.18587, 1.18831],
        [1.06861, 1.06019, 1.06178, 1.06621],
    ]
    log_magnitude = [
        [0.79333, 0.7931, 0.78885, 0.79568],
        [0.739, 0.74244, 0.73414, 0.74281],
        [0.69498, 0.69736, 0.69262, 0.69689],
    ]
    # Half of the last printed digit, and float32 rounding on top of it (1.060185 was printed as 1.06019).
    torch.testing.assert_close(terms.spectral_convergence[0], torch.tensor(convergence), atol=5.6e-6, rtol=0)
    torch.testing.assert_close(terms.log_magnitude[0], torch.tensor(log_magnitude), atol=5.6e-6, rtol=0)


def test_frames_and_bands_are_the_reference_ones(loss) -> None:
    features = loss.features(torch.rand(1, 2, 84000) - 0.5)
    assert [tuple(y.shape) for y in features.linear] == [(1, 4, 96, 657), (1, 4, 96, 329), (1, 4, 96, 83)]
    assert features.num_frames == (657, 329, 83)


@pytest.mark.parametrize(
    ("gain", "over_prediction", "over_target"),
    [(0.5, 1.693, 1.193), (0.9, 0.216, 0.205), (1.1, 0.186, 0.195), (2.0, 1.193, 1.693)],
)
def test_effect_of_the_swap_for_a_wrong_gain(loss, golden_pair, gain, over_prediction, over_target) -> None:
    target = golden_pair[1]
    terms = loss(gain * target, target)
    assert terms.over("prediction").full.item() == pytest.approx(over_prediction, abs=0.51e-3)
    assert terms.full.item() == pytest.approx(over_target, abs=0.51e-3)
    # Where no magnitude is near its floor, the loss of a gain is a formula.
    assert terms.full.item() == pytest.approx(abs(np.log(gain)) + abs(1 - gain), rel=1e-3)


# Against slower and other programs


@pytest.mark.parametrize("denominator", ["target", "prediction"])
@pytest.mark.parametrize(
    ("sample_rate", "sizes"), [(30000, SIZES), (48000, (800, 1620, 6480)), (16000, (280, 540, 2160))]
)
def test_equals_the_oracle(pairs, denominator, sample_rate, sizes) -> None:
    prediction, target = (x.double() for x in pairs)
    loss = mel_loss(sample_rate, denominator=denominator)
    assert loss.front_end.fft_sizes == sizes
    assert loss.front_end.hop_sizes == tuple(size // 4 for size in sizes)
    terms = loss(prediction, target)
    for item in range(3):
        expected = oracle_terms(prediction[item], target[item], denominator, sample_rate, sizes)
        # torchaudio's and librosa's mel weights differ by 4e-6 of the largest; the sums by less.
        torch.testing.assert_close(terms.spectral_convergence[item], expected[0], rtol=3e-6, atol=0)
        torch.testing.assert_close(terms.log_magnitude[item], expected[1], rtol=3e-6, atol=0)
        assert terms.full[item].item() == pytest.approx((expected[0] + expected[1]).mean().item(), rel=2e-6)


def test_gradient_equals_the_oracles_hard_one(pairs) -> None:
    prediction, target = (x[:1].double() for x in pairs)
    prediction = prediction.requires_grad_()
    (gradient,) = torch.autograd.grad(mel_loss(floor_gradient="hard")(prediction, target).full.sum(), prediction)
    convergence, log_magnitude = oracle_terms(prediction[0], target[0])
    (expected,) = torch.autograd.grad((convergence + log_magnitude).mean(), prediction)
    # The mel weights' 4e-6; and single log differences near 0 may change sign: compare by norm.
    assert (gradient - expected).norm() < 1e-4 * expected.norm()


def test_equals_auraloss_signal_by_signal(golden_pair) -> None:
    """An independent program, one signal and one item at a time: its spectral convergence mixes a batch."""
    prediction, target = golden_pair
    terms = mel_loss()(prediction, target)

    def signals(audio: Tensor) -> list[Tensor]:
        left, right = audio[0]
        return [left, right, left + right, left - right]

    for i, size in enumerate(SIZES):
        theirs = auraloss.freq.STFTLoss(
            size, size // 4, size, sample_rate=30000, scale="mel", n_bins=96, perceptual_weighting=True, eps=1e-4
        )
        theirs.output = "full"
        for j, (p, y) in enumerate(zip(signals(prediction), signals(target), strict=True)):
            parts = theirs(p[None, None], y[None, None])
            # float32 norms of 63,000 values, and the 4e-6 of the mel weights
            assert terms.spectral_convergence[0, i, j].item() == pytest.approx(parts[1].item(), rel=3e-6)
            assert terms.log_magnitude[0, i, j].item() == pytest.approx(parts[2].item(), rel=3e-6)


# What must hold of any input


def test_a_batch_equals_its_items_one_by_one(loss, pairs) -> None:
    prediction, target = pairs
    prediction = prediction.clone().requires_grad_()
    together = loss(prediction, target)
    (gradient,) = torch.autograd.grad(together.full.sum(), prediction)
    for item in range(3):
        single = prediction.detach()[item : item + 1].requires_grad_()
        alone = loss(single, target[item : item + 1])
        for name in ("full", "lr", "mid", "side", "spectral_convergence", "log_magnitude"):
            # float32 rounding of another blocking of the same sums
            torch.testing.assert_close(getattr(together, name)[item], getattr(alone, name)[0], rtol=1e-6, atol=0)
        (expected,) = torch.autograd.grad(alone.full.sum(), single)
        # A log difference near 0 may change sign at rounding level: compare by norm.
        assert (gradient[item] - expected[0]).norm() < 1e-3 * expected.norm()


def test_the_total_is_the_weighted_sum(pairs) -> None:
    weights = (0.7, 0.2, 0.4)
    terms = mel_loss(weights=weights)(*pairs)
    torch.testing.assert_close(terms.full, 0.7 * terms.lr + 0.2 * terms.mid + 0.4 * terms.side)
    parts = (terms.spectral_convergence + terms.log_magnitude).mean(1)
    torch.testing.assert_close(terms.lr, parts[:, :2].mean(1))
    torch.testing.assert_close(terms.mid, parts[:, 2])
    torch.testing.assert_close(terms.side, parts[:, 3])


def test_both_denominators_from_one_pass(loss, pairs) -> None:
    prediction, target = pairs
    prediction = prediction.clone().requires_grad_()
    loudest = loss.loudest(loss.features(target))
    over = loss(prediction, target, loudest).over("prediction")
    direct = loss(prediction, target, loudest, denominator="prediction")
    (gradient,) = torch.autograd.grad(over.full.sum(), prediction)
    (expected,) = torch.autograd.grad(direct.full.sum(), prediction)
    for field in dataclasses.fields(MatchTerms):
        a, b = getattr(over, field.name), getattr(direct, field.name)
        assert torch.equal(a, b) if isinstance(a, Tensor) else a == b
    assert torch.equal(gradient, expected)
    assert over.over("prediction") is over


def test_features_of_the_target_can_be_given_and_selected(loss, pairs) -> None:
    prediction, target = pairs
    features = loss.features(target)
    expected = loss(prediction, target).full
    assert torch.equal(loss(prediction, features).full, expected)
    assert len(features) == 3
    assert torch.equal(loss(prediction[1:], features.select(slice(1, 3))).full, loss(prediction[1:], target[1:]).full)
    assert torch.equal(
        loss(prediction[[2, 0]], features.select([2, 0])).full, loss(prediction[[2, 0]], target[[2, 0]]).full
    )


def test_no_gradient_flows_into_the_target(loss, pairs) -> None:
    prediction, target = (x.clone().requires_grad_() for x in pairs)
    loss(prediction, target).full.sum().backward()
    assert target.grad is None
    assert prediction.grad is not None


def test_identical_mixes_have_no_loss_and_a_finite_gradient(loss, pairs) -> None:
    prediction = pairs[1].clone().requires_grad_()
    terms = loss(prediction, pairs[1])
    assert terms.full.tolist() == [0.0, 0.0, 0.0]
    terms.full.sum().backward()
    assert prediction.grad is not None
    assert prediction.grad.abs().max().item() == 0.0


def test_a_nearly_silent_prediction_learns(pairs) -> None:
    """At 1e-7 of full scale every bin is below its floor: a hard clamp gives nothing, the soft gradient points up."""
    target = pairs[1]
    direction = []
    for kind in ("soft", "hard"):
        prediction = (1e-7 * target).requires_grad_()
        terms = mel_loss(floor_gradient=kind)(prediction, target)
        terms.full.sum().backward()
        assert prediction.grad is not None
        assert prediction.grad.isfinite().all()
        direction.append((prediction.grad * target).sum((1, 2)))
    assert (direction[0] < 0).all()  # more of the target is better
    assert direction[1].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("denominator", ["target", "prediction"])
def test_gradcheck(denominator) -> None:
    """Away from the floor, where the gradient is exact; below it, it is not the value's on purpose."""
    torch.manual_seed(0)
    loss = mel_loss(
        fft_sizes=(16, 32),
        num_mels=4,
        a_weighting=True,
        denominator=denominator,
        magnitude_floor=1e-6,
        weights=(0.5, 0.3, 0.2),
    )
    prediction = torch.randn(2, 2, 40, dtype=torch.float64, requires_grad=True)
    target = torch.randn(2, 2, 40, dtype=torch.float64)
    loudest = loss.loudest(loss.features(target))
    assert torch.autograd.gradcheck(lambda x: loss(x, target, loudest).full, prediction)


# Silence and mono


@pytest.fixture(scope="module")
def mono() -> Tensor:
    return (torch.rand(2, 1, 9000, generator=torch.Generator().manual_seed(2)) - 0.5).expand(2, 2, 9000).contiguous()


def test_a_mono_prediction_of_a_wide_target_is_finite(loss, pairs, mono) -> None:
    prediction = mono[:1].clone().requires_grad_()
    terms = loss(prediction, pairs[1][:1])
    terms.over("prediction").full.sum().backward()
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()
    assert terms.side.item() < 20
    assert terms.over("prediction").side.item() > 50  # the paper's exploding side term


def test_the_denominator_floor_acts_on_a_mono_mix_and_not_on_others(loss, pairs, mono) -> None:
    prediction, wide = pairs
    prediction, wide = prediction[:2], wide[:2]
    loudest = loss.loudest(loss.features(wide))
    assert torch.equal(loss(prediction, wide, loudest).full, loss(prediction, wide).full)

    features = loss.features(mono)
    floored, free = loss(prediction, features, loss.loudest(features)), loss(prediction, features)
    assert torch.equal(floored.lr, free.lr)
    assert torch.equal(floored.mid, free.mid)
    assert (floored.side < 0.2 * free.side).all()
    # The floor is -30 dB of the loudest of l, r and m: for a mono mix, of mid.
    expected = 10**-1.5 * features.norm[:, :, 2].amax(0)
    torch.testing.assert_close(floored.target_norm[:, :, 3], expected.expand(2, 3))


def test_the_loudest_is_taken_over_windows_and_is_free_of_their_length(loss) -> None:
    audio = torch.rand(3, 2, 60000, generator=torch.Generator().manual_seed(3)) - 0.5
    audio *= torch.tensor([0.1, 1.0, 0.01])[:, None, None]
    loudest = loss.loudest(loss.features(audio))
    assert torch.equal(loudest, loss.loudest(loss.features(audio[1:2])))
    # Noise: a third of it has the level of all of it within a few percent (its edges are reflected).
    torch.testing.assert_close(loss.loudest(loss.features(audio[..., :20000])), loudest, rtol=0.05, atol=0)
    per_item = loudest.expand(3, 3)
    assert torch.equal(loss(audio.flip(0), audio, per_item).full, loss(audio.flip(0), audio, loudest).full)


def test_the_loudest_is_not_the_side(loss, mono) -> None:
    features = loss.features(mono * torch.tensor([1.0, -0.5])[:, None])  # side is three times mid, 1.5 times left
    expected = features.norm[:, :, 0].amax(0) / torch.tensor(features.num_frames).sqrt()
    torch.testing.assert_close(loss.loudest(features), expected)


def test_items_of_different_songs_have_their_own_floor(loss, pairs) -> None:
    prediction, target = pairs
    target = target.clone()
    target[1] *= 1e-3
    loud, quiet = (loss.loudest(loss.features(target[i : i + 1])) for i in (0, 1))
    terms = loss(prediction[:2], target[:2], torch.stack([loud, quiet]))
    for item, level in ((0, loud), (1, quiet)):
        alone = loss(prediction[item : item + 1], target[item : item + 1], level)
        torch.testing.assert_close(terms.full[item], alone.full[0], rtol=1e-6, atol=0)


@pytest.mark.parametrize("denominator", ["target", "prediction"])
@pytest.mark.parametrize("with_floor", [True, False])
def test_silent_windows_are_finite(loss, pairs, denominator, with_floor) -> None:
    noise = pairs[1]
    silence = torch.zeros_like(noise[:1])
    target = torch.cat([silence, silence, noise[:1]])
    prediction = torch.cat([silence, noise[:1], silence]).requires_grad_()
    loudest = loss.loudest(loss.features(target)) if with_floor else None
    terms = loss(prediction, target, loudest, denominator)
    assert terms.full.isfinite().all()
    assert terms.full[0].item() == 0.0
    assert (terms.full[1:] > 1).all()
    if with_floor:  # no denominator is below -30 dB of the song's loudest: at most 31.6 times the level, plus the logs
        assert terms.full.max().item() < 60
    terms.full.sum().backward()
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()


# Settings


def test_sizes_at_other_sample_rates() -> None:
    assert MelFrontEnd().fft_sizes == SIZES
    assert MelFrontEnd().hop_sizes == (128, 256, 1024)
    assert MelFrontEnd(48000).fft_sizes == (800, 1620, 6480)  # 819.2, 1638.4, 6553.6; multiples of 4
    assert MelFrontEnd(60000).fft_sizes == (1024, 2048, 8192)
    halved = MelFrontEnd(48000, fft_sizes=(512,), hop_sizes=(256,))
    assert halved.fft_sizes[0] == 2 * halved.hop_sizes[0] == 810


def test_without_a_weighting_the_bass_counts(pairs) -> None:
    time = torch.arange(9000) / 30000
    bass = 0.3 * torch.sin(2 * torch.pi * 50 * time).expand(1, 2, -1)
    target = pairs[1][:1]
    weighted, flat = mel_loss()(target + bass, target), mel_loss(a_weighting=False)(target + bass, target)
    assert (flat.spectral_convergence[..., :3] > 4 * weighted.spectral_convergence[..., :3]).all()


def test_empty_bands_are_left_out() -> None:
    features = mel_loss(num_mels=128).features(torch.rand(1, 2, 4000) - 0.5)
    assert [y.shape[2] for y in features.linear] == [126, 128, 128]


def test_constants_stay_out_of_the_state_dict_and_the_seed(loss) -> None:
    assert not loss.state_dict()
    assert not list(loss.parameters())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    mel_loss()
    assert torch.equal(torch.rand(3), expected)


def test_dtype_follows_the_audio(loss, pairs) -> None:
    prediction, target = pairs
    assert loss(prediction, target).full.dtype == torch.float32
    double = loss(prediction.double(), target.double()).full
    assert double.dtype == torch.float64
    torch.testing.assert_close(loss(prediction, target).full, double.float(), rtol=2e-6, atol=0)  # float32 rounding


def test_the_shortest_audio(loss) -> None:
    assert loss.min_samples == 2049
    audio = torch.rand(1, 2, 2049) - 0.5
    assert loss(audio, audio.flip(1)).full.isfinite().all()
    with pytest.raises(ValueError, match="audio must have at least 2049 samples"):
        loss(audio[..., 1:], audio[..., 1:])


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"sample_rate": 0}, "sample_rate must be positive"),
        ({"magnitude_floor": 0.0}, "magnitude_floor must be positive"),
        ({"floor_gradient": "firm"}, "floor_gradient must be one of"),
        ({"denominator": "truth"}, "denominator must be one of"),
        ({"weights": (1.0, -1.0, 0.0)}, "weights must be three"),
        ({"weights": (1.0, 1.0)}, "weights must be three"),
        ({"num_mels": 0}, "num_mels must be positive"),
        ({"fft_sizes": ()}, "fft_sizes and hop_sizes must be as many"),
        ({"hop_sizes": (128, 256)}, "fft_sizes and hop_sizes must be as many"),
        ({"fft_sizes": (511,)}, "fft_sizes must be even"),
        ({"fft_sizes": (512,), "hop_sizes": (100,)}, "hop_sizes must divide them"),
    ],
)
def test_settings_out_of_range_are_named(setting, match) -> None:
    with pytest.raises(ValueError, match=match):
        mel_loss(**setting)


def test_wrong_inputs_are_named(loss, pairs) -> None:
    prediction, target = pairs
    with pytest.raises(ValueError, match=r"audio must be \(batch, 2, time\)"):
        loss.features(prediction[:, :1])
    with pytest.raises(ValueError, match="target must have the prediction's shape"):
        loss(prediction, target[..., 1:])
    with pytest.raises(ValueError, match="target must have the features of 2 items"):
        loss(prediction[:2], loss.features(target))
    with pytest.raises(ValueError, match=r"loudest must be \(3,\) or \(3, 3\)"):
        loss(prediction, target, torch.ones(2))
    with pytest.raises(ValueError, match="denominator must be one of"):
        loss(prediction, target, denominator="truth")


# Front ends


class PlainBands(FrontEnd):
    """Two groups of unlike sizes, the second with weights: what a front end may be."""

    name = "plain_bands"
    num_groups = 2

    def __init__(self, sample_rate: int, second: float = 1.0) -> None:
        super().__init__(sample_rate)
        self.second = second

    @property
    def band_weights(self):
        return None, torch.tensor([0.0, self.second, 3.0 * self.second])

    def forward(self, audio: Tensor) -> tuple[Tensor, ...]:
        left, right = audio.unbind(1)
        signals = torch.stack((left, right, left + right, left - right), 1).abs() + 0.1
        return signals.unflatten(-1, (2, -1)), signals.unflatten(-1, (3, -1))


def test_groups_of_bands_may_differ_in_size_and_their_bands_in_weight() -> None:
    prediction, target = torch.rand(2, 1, 2, 12, generator=torch.Generator().manual_seed(4), dtype=torch.float64) - 0.5
    terms = MatchLoss(PlainBands(8000))(prediction, target)
    weights = torch.tensor([0.0, 0.75, 2.25], dtype=torch.float64)  # mean 1
    p, y = (PlainBands(8000)(audio)[1][0] for audio in (prediction, target))
    distance = ((y - p).square() * weights[:, None]).sum((1, 2)).sqrt()
    norm = (y.square() * weights[:, None]).sum((1, 2)).sqrt()
    torch.testing.assert_close(terms.spectral_convergence[0, 1], distance / norm)
    logs = ((y.log() - p.log()).abs() * weights[:, None]).mean((1, 2))
    torch.testing.assert_close(terms.log_magnitude[0, 1], logs)
    scaled = MatchLoss(PlainBands(8000, second=5.0))(prediction, target)
    torch.testing.assert_close(scaled.full, terms.full)  # only ratios of weights count


def test_the_loss_is_made_from_settings() -> None:
    match_loss = make_match_loss(
        8000, LossSettings("prediction", floor_gradient="hard", front_end_options={"num_mels": 40})
    )
    assert isinstance(match_loss.front_end, MelFrontEnd)
    assert (match_loss.denominator, match_loss.front_end.floor_gradient, match_loss.sample_rate) == (
        "prediction",
        "hard",
        8000,
    )
    assert match_loss.features(torch.rand(1, 2, 4000)).linear[2].shape[2] == 40
    with pytest.raises(ValueError, match=r"front_end: one of mel.*, got 'mell'\. HINT: did you mean mel\?"):
        make_match_loss(8000, LossSettings(front_end="mell"))
    with pytest.raises(ValueError, match=r"front_end_options: front end mel takes floor_gradient, .*, got mels"):
        make_match_loss(8000, LossSettings(front_end_options={"mels": 40}))
