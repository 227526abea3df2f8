"""The spectra of equalizer, reverb and delay equal their formulas written plainly, in value and gradient."""

import pytest
import torch
import torch.nn.functional as F
import torchaudio.functional as AF

from mixgraph.dsp.convolution import convolve
from mixgraph.dsp.fir import zero_phase_fir
from mixgraph.dsp.fourier import circular_response
from mixgraph.dsp.impulses import hard_delay, soft_impulse, unit_gradient
from mixgraph.processors import registered

RATES = [16000, 30000, 44100, 48000]


def unit_energy(x):
    return x / torch.sqrt(x.square().sum(dim=-1).mean(dim=-1) + 1e-12).view(-1, 1, 1)


def equalizer(processor, values):
    log_magnitude = values["log_magnitude"]
    return zero_phase_fir(log_magnitude, processor.window.to(log_magnitude.dtype)).unsqueeze(1)


def reverb(processor, values):
    """The inverse STFT as overlapped windows over their overlapped squares, up to the last sample."""
    start, delta = values["init_log_magnitude"].unsqueeze(2), values["delta_log_magnitude"].unsqueeze(2)
    frames = torch.arange(313, dtype=start.dtype).view(-1, 1)
    log_mask = start + frames * delta if processor.mask == "paper" else (start - F.softplus(delta) * frames) / 8
    masked = torch.view_as_complex(processor.noise.to(start.dtype)) * torch.exp(log_mask)
    window = torch.hann_window(384, dtype=start.dtype)
    pieces = torch.fft.irfft(masked, n=384) * window
    total, squares = pieces.new_zeros(*pieces.shape[:2], 60288), window.new_zeros(60288)
    for m in range(313):
        total[..., 192 * m : 192 * m + 384] += pieces[:, :, m]
        squares[192 * m : 192 * m + 384] += window.square()
    mid, side = (total / squares.clamp(min=1e-30))[..., 192:60192].unbind(1)
    stereo = torch.stack((mid + side, mid - side), dim=1)
    if processor.sample_rate != 30000:
        stereo = AF.resample(stereo, 30000, processor.sample_rate)[..., : processor.after + 1]
        stereo = F.pad(stereo, (0, processor.after + 1 - stereo.shape[-1]))
    return unit_energy(stereo) if processor.normalize else stereo * (30000 / processor.sample_rate)


def delay(processor, values):
    """Hard impulses through their filters; the relaxed ones give the gradient of the delays."""
    point = values["delay_z"]
    modulus = point.norm(dim=-1, keepdim=True)
    if processor.in_disk:
        z = unit_gradient(point + (point * (torch.tanh(modulus) / (modulus + 1e-7)) - point).detach())
    else:
        point = unit_gradient(point)
        modulus = point.norm(dim=-1, keepdim=True)
        z = point * (torch.tanh(modulus) / (modulus + 1e-7))
    log_magnitude = values["log_fir_magnitude"]
    filters = zero_phase_fir(log_magnitude, processor.window.to(log_magnitude.dtype))
    length, half = processor.segment, filters.shape[-1] // 2

    def joined(pulses, filters):
        tap_signals = convolve(pulses, filters).unflatten(1, (2, 20))  # (nodes, channels, segments, length + 2 half)
        if processor.truncate:
            return tap_signals[..., half : half + length].flatten(2)
        total = tap_signals.new_zeros(tap_signals.shape[0], 2, 20 * length + 2 * half)
        for s in range(20):
            total[..., s * length : (s + 1) * length + 2 * half] += tap_signals[:, :, s]
        return total[..., half : half + 20 * length]

    hard = joined(F.one_hot(hard_delay(z, length), length).to(z.dtype), filters)
    soft = joined(soft_impulse(z, length), filters.detach())
    response = hard + (soft - soft.detach())
    return unit_energy(response) if processor.normalize else response


PLAIN = {"equalizer": equalizer, "reverb": reverb, "delay": delay}
CASES = [
    *(("equalizer", {"window": window}) for window in ("symmetric", "periodic")),
    *(("reverb", {"mask": mask}) for mask in ("decay", "paper")),
    ("reverb", {"mask": "paper", "normalize": False}),
    *(("delay", {"truncate": cut, "window": w}) for cut in (False, True) for w in ("symmetric", "periodic")),
    ("delay", {"normalize": False, "gradient": "disk"}),
]


def draw(processor, dtype=torch.float64):
    values = processor.sample_initial_values(3, torch.Generator().manual_seed(0), spread=0.5)
    if processor.name == "reverb" and processor.mask == "paper":
        values["delta_log_magnitude"] = -values["delta_log_magnitude"].abs() / 10  # a decay
    return {name: value.to(dtype).requires_grad_() for name, value in values.items()}


def run(processor, values, response, n_fft):
    """The spectrum, and the gradient of a random real functional of it."""
    generator = torch.Generator().manual_seed(1)
    functional = torch.randn(*response.shape, 2, generator=generator, dtype=torch.float64)
    whole = torch.view_as_real(response) if response.is_complex() else response.unsqueeze(-1)
    functional = functional[..., : whole.shape[-1]].to(whole.dtype)
    gradients = torch.autograd.grad((whole * functional).sum(), list(values.values()))
    return response.detach(), dict(zip(values, gradients, strict=True))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_equals_the_plain_formula(name, options, rate):
    processor = registered()[name](sample_rate=rate, **options).double()
    n_fft = 4 * rate
    values = draw(processor)
    output, gradients = run(processor, values, processor.response(values, n_fft), n_fft)
    plain = circular_response(PLAIN[name](processor, values), processor.before, n_fft)
    expected, expected_gradients = run(processor, values, plain if output.is_complex() else plain.real, n_fft)
    torch.testing.assert_close(output, expected, atol=1e-10 * expected.abs().max().item(), rtol=0)
    for parameter, gradient in expected_gradients.items():
        scale = gradient.abs().max().item()
        torch.testing.assert_close(gradients[parameter], gradient, atol=1e-10 * scale, rtol=0)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_float32_follows_float64(name, options):
    results = []
    for dtype in (torch.float64, torch.float32):
        processor = registered()[name](**options).to(dtype)
        values = draw(processor, dtype)
        response, gradients = run(processor, values, processor.response(values, 120000), 120000)
        results.append([response, *gradients.values()])
    for double, single in zip(*results, strict=True):
        assert single.dtype == (torch.complex64 if double.is_complex() else torch.float32)
        # Sums of 60,000 float32 terms.
        assert (single - double).abs().max() < 1e-5 * double.abs().max()
