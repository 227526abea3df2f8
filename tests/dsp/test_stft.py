"""The STFT against torch.stft, the floored magnitude against a clamp and against its stated gradient."""

import pytest
import torch

from mixgraph.dsp.pieces import uncut
from mixgraph.dsp.stft import floored_magnitude, four_signals, stft


@pytest.mark.parametrize("length", [33, 64, 97, 1000])
@pytest.mark.parametrize("hop_size", [8, 16, 32, 64])
def test_stft_is_torchs(length: int, hop_size: int) -> None:
    torch.manual_seed(0)
    window = torch.hann_window(64, dtype=torch.float64)
    audio = torch.randn(3, 2, length, dtype=torch.float64, requires_grad=True)
    expected = torch.stft(audio.reshape(6, length), 64, hop_size, 64, window, return_complex=True)
    expected = expected.mT.reshape(3, 2, 1 + length // hop_size, 33)
    spectra = stft(audio, window, hop_size)
    cotangent = torch.randn_like(expected)
    (expected_gradient,) = torch.autograd.grad(expected, audio, cotangent)
    (gradient,) = torch.autograd.grad(spectra, audio, cotangent)
    # float64 rounding
    torch.testing.assert_close(spectra, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-12, rtol=0)


def test_stft_gradcheck_and_shape_without_batch() -> None:
    torch.manual_seed(0)
    audio = torch.randn(19, dtype=torch.float64, requires_grad=True)
    window = torch.hann_window(8, dtype=torch.float64)
    assert stft(audio, window, 4).shape == (5, 5)
    assert torch.autograd.gradcheck(lambda x: stft(x, window, 4), audio)


def test_stft_of_a_tone_is_a_line() -> None:
    time = torch.arange(640, dtype=torch.float64)
    tone = torch.cos(2 * torch.pi * 10 / 64 * time)
    spectra = stft(tone, torch.hann_window(64, dtype=torch.float64), 16).abs()
    middle = spectra[20]
    assert middle[10].item() == pytest.approx(16.0)  # N / 2 of the cosine, half of it through the window
    assert middle[9].item() == pytest.approx(8.0)
    assert middle[12:].max().item() < 1e-12


@pytest.mark.parametrize("gradient", ["soft", "hard"])
def test_floored_magnitude_is_a_clamp(gradient: str) -> None:
    torch.manual_seed(0)
    spectrum = 0.02 * torch.randn(4, 50, dtype=torch.complex64)
    spectrum[0, 0] = 0
    expected = (spectrum.real**2 + spectrum.imag**2).clamp(min=1e-4).sqrt()
    assert 0 < (expected == expected.min()).sum() < 200  # the floor acts on some
    # One rounding: fused and unfused multiply-add.
    torch.testing.assert_close(floored_magnitude(spectrum, 0.01, gradient), expected, rtol=2e-7, atol=0)


def test_soft_gradient_is_x_over_the_floored_magnitude() -> None:
    spectrum = torch.tensor([3 + 4j, 0.003 + 0.004j, 0.0006j, 0j], dtype=torch.complex128, requires_grad=True)
    floored_magnitude(spectrum, 0.01).sum().backward()
    assert spectrum.grad is not None
    expected = torch.tensor([0.6 + 0.8j, 0.3 + 0.4j, 0.06j, 0j], dtype=torch.complex128)
    torch.testing.assert_close(spectrum.grad, expected)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_hard_gradient_is_the_clamps(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    spectrum = (0.02 * torch.randn(500, dtype=dtype)).requires_grad_()
    (gradient,) = torch.autograd.grad(floored_magnitude(spectrum, 0.01, "hard").sum(), spectrum)
    (expected,) = torch.autograd.grad((spectrum.real**2 + spectrum.imag**2).clamp(min=1e-4).sqrt().sum(), spectrum)
    assert (gradient == 0).any()
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("gradient", ["soft", "hard"])
def test_gradcheck_above_the_floor(gradient: str) -> None:
    torch.manual_seed(0)
    spectrum = torch.randn(12, dtype=torch.complex128).requires_grad_()
    assert spectrum.abs().min() > 0.02
    assert torch.autograd.gradcheck(lambda x: floored_magnitude(x, 0.01, gradient), spectrum)


def test_errors_name_the_argument() -> None:
    with pytest.raises(ValueError, match="at least 33 samples"):
        stft(torch.ones(2, 32), torch.hann_window(64), 16)
    with pytest.raises(ValueError, match="hop_size must divide an even FFT size; got 15 and 64"):
        stft(torch.ones(2, 100), torch.hann_window(64), 15)
    with pytest.raises(ValueError, match="floor must be positive"):
        floored_magnitude(torch.ones(2, dtype=torch.complex64), 0.0)
    with pytest.raises(ValueError, match=r"gradient must be one of .*'medium'"):
        floored_magnitude(torch.ones(2, dtype=torch.complex64), 0.1, "medium")  # type: ignore[arg-type]


def test_four_signals_and_their_gradient() -> None:
    stereo = torch.randn(2, 2, 3, 5, dtype=torch.complex128, requires_grad=True)
    left, right = stereo.unbind(1)
    plain = torch.stack((left, right, left + right, left - right), 1)
    signals = four_signals(stereo)
    assert torch.equal(signals, plain)
    direction = torch.randn_like(plain)
    gradients = [torch.autograd.grad((x * direction).real.sum(), stereo)[0] for x in (signals, plain)]
    assert torch.allclose(*gradients, rtol=0, atol=1e-14)


@pytest.mark.parametrize("shape", [(1003,), (2, 1003), (3, 2, 1003)])
def test_other_devices_compute_the_same_in_fewer_operations(shape) -> None:
    torch.manual_seed(0)
    window = torch.hann_window(64, dtype=torch.float64)
    audio = torch.randn(shape, dtype=torch.float64, requires_grad=True)

    def values() -> tuple[torch.Tensor, ...]:
        spectra = stft(audio, window, 16)
        signals = four_signals(spectra) if len(shape) > 1 else spectra
        magnitude = floored_magnitude(signals, 0.5)
        cotangent = torch.linspace(0, 1, magnitude.numel(), dtype=torch.float64).view(magnitude.shape)
        return magnitude, *torch.autograd.grad(magnitude, audio, cotangent)

    expected = values()
    with uncut():
        for value, other in zip(values(), expected, strict=True):
            torch.testing.assert_close(value, other, atol=1e-12, rtol=0)
