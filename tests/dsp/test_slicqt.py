"""NSGT and sliCQT: exact, tight, differentiable both ways, and in the right place."""

import math

import pytest
import torch

from mixgraph.dsp.slicqt import (
    NSGT,
    SCALES,
    RaggedSpectrum,
    Scale,
    SliCQT,
    make_scale,
    multi_resolution_scale,
)
from mixgraph.dsp.slicqt.transforms import slice_window

RATE = 16000
TRANSFORMS = {
    "bark": (make_scale("bark", 40, 60.0, 7500.0), 2048, "power_of_two"),
    "bark_ragged": (make_scale("bark", 40, 60.0, 7500.0), 2052, "ragged"),
    "mel": (make_scale("mel", 40, 60.0, 7500.0), 2048, "power_of_two"),
    "constant_q": (make_scale("constant_q", 40, 120.0, 7500.0), 4096, "power_of_two"),
    "variable_q": (make_scale("variable_q", 40, 60.0, 7500.0, offset_hz=200.0), 2048, "power_of_two"),
    "linear": (make_scale("linear", 39, 200.0, 7800.0), 2048, "power_of_two"),
    "multi_resolution": (
        multi_resolution_scale(50.0, [(1000.0, 20), (4000.0, 20), (7600.0, 10)]),
        2048,
        "ragged",
    ),
}


def make(name: str) -> SliCQT:
    scale, slice_samples, raster = TRANSFORMS[name]
    return SliCQT(scale, RATE, slice_samples, raster=raster)


def noise(*shape: int, dtype=torch.float32, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def snr_db(signal: torch.Tensor, reconstruction: torch.Tensor) -> float:
    return float(10 * torch.log10(signal.double().square().sum() / (signal - reconstruction).double().square().sum()))


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize(("dtype", "least_db"), [(torch.float32, 120), (torch.float64, 250)])
def test_white_noise_comes_back(name, dtype, least_db) -> None:
    transform = make(name)
    slice_samples = transform.slice_samples
    for samples in (1, 2, slice_samples - 1, slice_samples, slice_samples + 1, 10 * RATE):
        signal = noise(2, samples, dtype=dtype)
        spectrum = transform(signal)
        assert snr_db(signal, transform.inverse(spectrum, samples)) > least_db
        energy = float(spectrum.flat.abs().double().square().sum() / signal.double().square().sum())
        assert abs(energy - 1) < 1e-6


@pytest.mark.parametrize("samples", [801, 4001, 8000])
@pytest.mark.parametrize("oversampling", [1, 2])
def test_a_whole_signal_comes_back(samples, oversampling) -> None:
    scale = make_scale("bark", 12, 100.0, 7000.0)
    transform = NSGT(scale, samples, RATE, oversampling=oversampling)
    signal = noise(3, samples, dtype=torch.float64)
    spectrum = transform(signal)
    assert snr_db(signal, transform.inverse(spectrum)) > 250
    assert float(spectrum.flat.abs().square().sum() / signal.square().sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_inverse_is_the_adjoint(name) -> None:
    transform, samples = make(name), 5000
    signal = noise(samples, dtype=torch.float64)
    shape = transform(signal).flat.shape
    other = torch.complex(noise(*shape, dtype=torch.float64, seed=1), noise(*shape, dtype=torch.float64, seed=2))
    forward = (transform(signal).flat * other.conj()).real.sum()
    backward = (signal * transform.inverse(RaggedSpectrum(other, transform.layout), samples)).sum()
    assert float(forward) == pytest.approx(float(backward), rel=1e-11)


def small() -> tuple[SliCQT, NSGT]:
    scale = Scale("list", (2000.0, 5000.0))
    return SliCQT(scale, RATE, 16, least_window=4), NSGT(scale, 15, RATE)


def test_gradients_of_both_orders_are_exact() -> None:
    sliced, whole = small()
    signal = noise(19, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sliced(x).flat, signal)
    assert torch.autograd.gradgradcheck(lambda x: sliced(x).flat.abs().square(), signal)
    flat = sliced(signal).flat.detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda c: sliced.inverse(RaggedSpectrum(c, sliced.layout), 19), flat)
    assert torch.autograd.gradgradcheck(lambda c: sliced.inverse(RaggedSpectrum(c, sliced.layout), 19).square(), flat)
    signal = noise(15, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: whole(x).flat, signal)
    flat = whole(signal).flat.detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda c: whole.inverse(RaggedSpectrum(c, whole.layout)), flat)


def test_the_gradient_through_the_inverse_is_one_analysis() -> None:
    """What the source's code could not do: a loss on the waveform, by the coefficients."""
    transform, samples = make("bark"), 6000
    flat = transform(noise(2, samples)).flat.requires_grad_()
    target = noise(2, samples, seed=1)
    signal = transform.inverse(RaggedSpectrum(flat, transform.layout), samples)
    (signal - target).square().sum().backward()
    expected = transform(2 * (signal - target).detach()).flat
    assert torch.allclose(flat.grad, expected, atol=1e-5)


def test_nothing_is_kept_for_the_backward_pass() -> None:
    kept = []
    transform = make("bark")
    signal = noise(2, 6000).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        flat = transform(signal).flat
        transform.inverse(RaggedSpectrum(flat, transform.layout), 6000)
    assert kept == []


def test_a_linear_scale_has_the_magnitudes_of_an_stft() -> None:
    """Bands of one shape are one window in time, which torch.stft applies to a signal that is periodic."""
    samples, spacing = 1024, 16  # bins
    centres = tuple(RATE / samples * spacing * k for k in range(1, 32))
    transform = NSGT(Scale("list", centres), samples, RATE, raster="power_of_two")
    signal = noise(samples, dtype=torch.float64)
    coefficients = transform(signal).magnitude()
    assert [(block.num_bands, block.size) for block in transform.layout.blocks] == [(1, 16), (31, 32), (1, 16)]
    size = 32
    bins = torch.arange(-samples // 2, samples // 2, dtype=torch.float64)
    shape = torch.where(bins.abs() < spacing, torch.cos(math.pi / 2 * bins / spacing), 0)
    window = torch.fft.fftshift(torch.fft.ifft(torch.fft.ifftshift(shape)).real) * samples
    periodic = torch.cat((signal[samples // 2 :], signal, signal[: samples // 2]))
    stft = torch.stft(periodic, samples, samples // size, window=window, center=False, return_complex=True)
    expected = stft[::spacing, :size].abs() * math.sqrt(2 / samples / size)
    assert torch.allclose(coefficients.blocks[1], expected[1:32], atol=1e-10)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_click_stays_in_its_place_in_its_slice(name) -> None:
    """Its outer quarters have 20 dB less than the slice in inner bands, 10 dB less in the one-sided ones."""
    transform = make(name)
    signal = torch.zeros(8 * transform.hop_samples)
    signal[4 * transform.hop_samples] = 1  # the middle of slice 4
    shares: list[float] = []
    for block in transform(signal).blocks:
        energy = block.abs().square()
        assert int(energy.sum((-2, -1)).argmax()) == 4
        quarter, in_slice = block.shape[-1] // 4, energy[4]
        outer = in_slice[:, :quarter].sum(-1) + in_slice[:, -quarter:].sum(-1)
        shares += (outer / in_slice.sum(-1)).tolist()
    assert max(shares[1:-1]) < 10**-2.0
    assert max(shares[0], shares[-1]) < 10**-1.0


def test_a_tone_is_in_its_band() -> None:
    transform = make("bark")
    centres = torch.tensor(transform.layout.centres_hz)
    time = torch.arange(4 * transform.slice_samples) / RATE
    for hertz in (440.0, 1000.0, 5000.0):
        spectrum = transform(torch.sin(2 * math.pi * hertz * time))
        energy = torch.cat([block.abs().square().sum((0, 2)) for block in spectrum.blocks])
        assert int(energy.argmax()) == int((centres - hertz).abs().argmin())


def test_the_phase_of_a_tone_runs_on_from_slice_to_slice() -> None:
    """A slice is M / 2 coefficients after the one before it: they agree where both windows are 1."""
    transform = make("linear")
    time = torch.arange(6 * transform.slice_samples, dtype=torch.float64) / RATE
    block = transform(torch.sin(2 * math.pi * 1010.0 * time)).blocks[-2]
    size = block.shape[-1]
    loud = int(block[4].abs().amax(-1).argmax())
    two_slices = torch.cat([block[s, loud, size // 4 : 3 * size // 4] for s in (3, 4)])
    turns = (two_slices[1:] / two_slices[:-1]).angle()
    expected = 2 * math.pi * 1010.0 * transform.slice_samples / size / RATE  # radians from one coefficient to the next
    assert torch.allclose(torch.cos(turns - expected), torch.ones_like(turns), atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_long_signal_is_transformed_in_parts(dtype, monkeypatch) -> None:
    """What is in between takes no more memory than a part; nothing changes but rounding."""
    transform, signal = make("bark"), noise(2, 3 * RATE, dtype=dtype)
    whole = transform(signal)
    restored = transform.inverse(whole, signal.shape[-1])
    monkeypatch.setattr("mixgraph.dsp.slicqt.transforms.CPU_COEFFICIENTS", 7 * transform.layout.num_coefficients)
    in_parts = transform(signal)
    assert len(transform._parts(in_parts.flat.shape)) > 3
    assert in_parts.flat.dtype == whole.flat.dtype
    assert torch.allclose(in_parts.flat, whole.flat, atol=1e-6)
    assert torch.allclose(transform.inverse(in_parts, signal.shape[-1]), restored, atol=1e-6)


def test_a_batch_is_its_items() -> None:
    transform = make("bark")
    signal = noise(2, 3, 5000)
    spectrum = transform(signal)
    assert spectrum.flat.shape[:3] == (2, 3, transform.num_slices(5000))
    for i in range(2):
        for j in range(3):
            assert torch.equal(transform(signal[i, j]).flat, spectrum.flat[i, j])
            restored = transform.inverse(RaggedSpectrum(spectrum.flat[i, j], spectrum.layout), 5000)
            assert torch.allclose(restored, transform.inverse(spectrum, 5000)[i, j], atol=1e-6)


def test_the_value_class_maps_zips_and_reduces() -> None:
    transform = make("bark")
    spectrum = transform(noise(2, 5000))
    doubled = spectrum.map(lambda block: 2 * block)
    assert torch.equal(doubled.flat, 2 * spectrum.flat)
    added = spectrum.zip(doubled, torch.add)
    assert torch.allclose(added.flat, 3 * spectrum.flat)
    energy = spectrum.magnitude().reduce(lambda total, block: total + float(block.square().sum()), 0.0)
    assert energy == pytest.approx(float(spectrum.flat.abs().square().sum()), rel=1e-5)
    assert sum(block.num_bands for block in spectrum.layout.blocks) == spectrum.layout.num_bands == 42
    with pytest.raises(ValueError, match=r"function: \(..., 1, 8\) is needed of the block from band 0"):
        spectrum.map(lambda block: block[..., :-1])


@pytest.mark.parametrize("name", sorted(SCALES))
def test_scales_are_even_in_their_unit(name) -> None:
    centres = torch.tensor(make_scale(name, 9, 100.0, 6400.0).centres_hz, dtype=torch.float64)
    unit = {
        "bark": 6 * torch.asinh(centres / 600),
        "mel": 2595 * torch.log10(1 + centres / 700),
        "constant_q": centres.log2(),
        "linear": centres,
    }[name]
    assert torch.allclose(unit.diff(), unit.diff()[:1].expand(8))
    assert centres[[0, -1]].tolist() == pytest.approx([100.0, 6400.0])


def test_the_slices_windows_add_up_to_one() -> None:
    for slice_samples, transition in ((16, 2), (16, 8), (2052, 512)):
        square = slice_window(slice_samples, transition).square()
        assert torch.allclose(square[: slice_samples // 2] + square[slice_samples // 2 :], torch.ones(1).double())
        assert int((square > 0).sum()) == slice_samples // 2 + transition


def test_half_precision_comes_in_and_float32_goes_out() -> None:
    transform = make("bark")
    signal = noise(2, 5000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        spectrum = transform(signal.bfloat16())
        assert spectrum.flat.dtype == torch.complex64
        assert transform.inverse(spectrum, 5000).dtype == torch.float32


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: make("bark")(torch.zeros(2, 0)), r"signal: at least one sample is needed, got \(2, 0\)"),
        (
            lambda: make("bark")(torch.zeros(8, dtype=torch.long)),
            "real floating-point samples are needed",
        ),
        (lambda: make_scale("bark", 1, 60.0, 7000.0), "num_bands: a whole number from 2, got 1"),
        (
            lambda: make_scale("erb", 9, 60.0, 7000.0),
            "one of bark, constant_q, linear, mel, variable_q",
        ),
        (lambda: make_scale("mel", 9, 0.0, 7000.0), "0 < low_hz < high_hz is needed, got 0 and 7000"),
        (lambda: make_scale("mel", 9, 60.0, 7000.0, 5.0), "offset_hz: only variable_q has one, got 5 for mel"),
        (lambda: make_scale("variable_q", 9, 60.0, 7000.0), "offset_hz: above 0 Hz for variable_q, got 0"),
        (lambda: Scale("list", (100.0, 90.0)), "rising frequencies are needed, got 100 Hz before 90 Hz"),
        (lambda: Scale("list", ()), r"frequencies above 0 Hz are needed, got \[\]"),
        (lambda: Scale("list", (100.0, 100.0)), "rising frequencies are needed, got 100 Hz before 100 Hz"),
        (lambda: NSGT(Scale("list", (100.0, 9000.0)), 2048, RATE), "its bands end below half the sample rate"),
        (lambda: make("bark").inverse(make("bark")(noise(5000)), 0), "samples: a signal of 0 samples has 1 slices"),
        (lambda: Scale("list", (100.0, math.nan)), "frequencies above 0 Hz are needed"),
        (
            lambda: SliCQT(make_scale("bark", 40, 60.0, 8000.0), RATE, 2048),
            r"its bands end below half the sample rate \(8000 Hz\), got one at 8000 Hz",
        ),
        (
            lambda: SliCQT(make_scale("bark", 262, 32.9, 7500.0), RATE, 1024),
            "band 1 at 40.2 Hz is 0.9 bins wide in a frame of 1024 samples, at least 4 are needed. HINT: a frame of",
        ),
        (lambda: SliCQT(make_scale("bark", 40, 60.0, 7500.0), RATE, 2050), "slice_samples: a multiple of 4 from 8"),
        (lambda: SliCQT(make_scale("bark", 40, 60.0, 7500.0), RATE, 2048, 1026), "transition_samples: an even number"),
        (lambda: SliCQT(make_scale("bark", 40, 60.0, 7500.0), 0), "sample_rate: above 0 Hz, got 0"),
        (lambda: NSGT(make_scale("bark", 9, 90.0, 7500.0), 900, math.nan), "sample_rate: above 0 Hz, got nan"),
        (lambda: NSGT(make_scale("bark", 9, 90.0, 7500.0), 0, RATE), "samples: a whole number from 1, got 0"),
        (lambda: NSGT(make_scale("bark", 9, 90.0, 7500.0), 900.0, RATE), "samples: a whole number from 1, got 900.0"),
        (lambda: SliCQT(make_scale("bark", 9, 90.0, 7500.0), RATE, 2048.0), "slice_samples: a multiple of 4 from 8"),
        (lambda: make_scale("bark", 9.5, 90.0, 7500.0), "num_bands: a whole number from 2, got 9.5"),
        (lambda: multi_resolution_scale(90.0, [(900.0, 0)]), "pieces: at least one band in each, got 0 up to 900 Hz"),
        (lambda: multi_resolution_scale(90.0, [(80.0, 2)]), "rising frequencies are needed, got 90 Hz before 85 Hz"),
        (lambda: NSGT(make_scale("bark", 9, 90.0, 7500.0), 900, RATE)(torch.zeros(899)), r"\(..., 900\) is needed"),
    ],
)
def test_what_cannot_be_is_refused(build, message) -> None:
    with pytest.raises(ValueError, match=message):
        build()
    with pytest.raises(TypeError, match="centres_hz: a tuple of frequencies is needed, got list"):
        Scale("list", [100.0, 200.0])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused_both_ways(value) -> None:
    sliced, whole = make("bark"), NSGT(make_scale("bark", 9, 90.0, 7500.0), 5000, RATE)
    signal = noise(2, 5000)
    signal[1, 77] = value
    for transform in (sliced, whole):
        with pytest.raises(ValueError, match=r"signal: finite values are needed, got 1 that are not, .* at \[1, 77\]"):
            transform(signal)
    spectra = sliced(noise(2, 5000)), whole(noise(2, 5000))
    for spectrum in spectra:
        spectrum.flat[1, ..., 3] = value
    with pytest.raises(ValueError, match=r"spectrum: finite values are needed"):
        sliced.inverse(spectra[0], 5000)
    with pytest.raises(ValueError, match=r"spectrum: finite values are needed"):
        whole.inverse(spectra[1])


@pytest.mark.parametrize("move", ["half", "bfloat16", "float"])
def test_a_model_of_another_precision_is_as_exact(move) -> None:
    moved = getattr(torch.nn.Sequential(make("bark")), move)()[0]
    signal = noise(2, 5000, dtype=torch.float64)
    assert snr_db(signal, moved.inverse(moved(signal), 5000)) >= 250
    assert moved.to("meta").window.device.type == "meta"


def test_an_empty_batch_is_an_empty_spectrum() -> None:
    sliced, whole = make("bark"), NSGT(make_scale("bark", 9, 90.0, 7500.0), 5000, RATE)
    signal = torch.zeros(0, 2, 5000, requires_grad=True)
    spectra = sliced(signal), whole(signal)
    assert spectra[0].flat.shape == (0, 2, 6, sliced.layout.num_coefficients)
    restored = sliced.inverse(spectra[0], 5000), whole.inverse(spectra[1])
    assert [tuple(audio.shape) for audio in restored] == [(0, 2, 5000)] * 2
    (restored[0] + restored[1]).sum().backward()
    assert signal.grad is not None


def test_function_transforms_are_those_of_a_batch() -> None:
    scale, samples = TRANSFORMS["bark"][0], 5000
    sliced = SliCQT(scale, RATE, 2048, check_finite=False)
    signals, masks = noise(3, 2, samples, dtype=torch.float64), noise(2, 6, sliced.layout.num_coefficients).abs()

    def masked(signal: torch.Tensor) -> torch.Tensor:
        return sliced.inverse(RaggedSpectrum(sliced(signal).flat * masks, sliced.layout), samples)

    def energy(signal: torch.Tensor) -> torch.Tensor:
        return masked(signal).pow(4).sum()

    torch.testing.assert_close(
        torch.vmap(masked, in_dims=2, out_dims=2)(signals.movedim(0, 2)).movedim(2, 0), masked(signals)
    )
    variable = signals.clone().requires_grad_()
    energy(variable).backward()
    torch.testing.assert_close(torch.vmap(torch.func.grad(energy))(signals), variable.grad)
    torch.testing.assert_close(torch.func.jvp(masked, (signals,), (signals,))[1], masked(signals))


@pytest.mark.parametrize("least_window", [4, 16, 32, 64])
@pytest.mark.parametrize("raster", ["ragged", "power_of_two", "doubling"])
def test_no_window_is_longer_than_its_coefficients(raster, least_window) -> None:
    scale = Scale("list", (50.0, 82.0, 120.0, 170.0, 2000.0))
    transform = SliCQT(scale, RATE, 1024, raster=raster, least_window=least_window)
    signal = noise(1, 3000, dtype=torch.float64)
    assert snr_db(signal, transform.inverse(transform(signal), 3000)) >= 250


def test_values_whose_sum_is_beyond_float32_are_not_refused() -> None:
    signal = torch.full((5000,), 3e38)
    assert NSGT(make_scale("bark", 9, 90.0, 7500.0), 5000, RATE)(signal).layout.num_coefficients > 5000


def test_a_loop_that_looks_itself_lets_nan_through() -> None:
    transform = NSGT(make_scale("bark", 9, 90.0, 7500.0), 5000, RATE, check_finite=False)
    assert transform(torch.full((5000,), math.nan)).flat.isnan().all()


def test_an_inverse_refuses_coefficients_of_another_transform() -> None:
    transform, other = make("bark"), make("mel")
    spectrum = transform(noise(5000))
    with pytest.raises(ValueError, match=r"coefficients of 42 bands from 60.0 to 7500.0 Hz, .* got those of"):
        other.inverse(spectrum, 5000)
    with pytest.raises(ValueError, match="samples: a signal of 9000 samples has 10 slices, got 6"):
        transform.inverse(spectrum, 9000)
    with pytest.raises(ValueError, match=r"complex coefficients are needed, got torch.float32. HINT: magnitudes"):
        transform.inverse(spectrum.magnitude(), 5000)
    with pytest.raises(TypeError, match="spectrum: a RaggedSpectrum is needed, got Tensor"):
        transform.inverse(spectrum.flat, 5000)
    with pytest.raises(ValueError, match=r"flat: \(..., \d+\) is needed"):
        RaggedSpectrum(torch.zeros(3), transform.layout)
