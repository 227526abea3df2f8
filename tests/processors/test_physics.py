"""What the declared units mean: decibels, milliseconds, T60, at every sample rate."""

import math

import pytest
import torch
import torch.nn.functional as F

from mixgraph.processors import registered
from mixgraph.processors.collection import Outlet

RATES = [16000, 30000, 48000]


def make(name, rate=30000, **options):
    return registered()[name](sample_rate=rate, **options).double()


def values_of(processor, nodes=1, **units):
    """Parameters from values in their units; trained coordinate 0 for the others."""
    values = {}
    for name, declared in processor.specification.items():
        if name in units:
            unit = torch.as_tensor(units[name], dtype=torch.float64)
            values[name] = declared.from_unit(unit.expand(nodes, *declared.shape).clone())
        else:
            values[name] = torch.zeros(nodes, *declared.shape, dtype=torch.float64)
    return values


def constant(levels_db, length=400, phase=1.0):
    """Constant signals whose smoothed energy (l^2 + r^2) / 2 has the given levels; right = phase * left."""
    amplitude = 10 ** (torch.tensor(levels_db, dtype=torch.float64) / 20)
    return amplitude.view(-1, 1, 1) * torch.tensor([1.0, phase], dtype=torch.float64).view(1, 2, 1) * torch.ones(length)


def change_db(processor, signal, values):
    """The gain at the end of a signal, when the envelope has settled."""
    return 20 * torch.log10(processor(signal, values)[:, 0, -1] / signal[:, 0, -1])


@pytest.mark.parametrize("ratio", [1.5, 2.0, 4.0, 20.0])
def test_compressor_gives_one_db_for_each_ratio_db_above_its_threshold(ratio):
    compressor = make("compressor")
    levels = [-40.0, -18.0, -10.0, -4.0]
    values = values_of(compressor, 4, log_threshold=-20.0, log_ratio=ratio, log_knee=1.0, smoothing_logit=0.05)
    change = change_db(compressor, constant(levels), values)
    assert change[0] == 0
    expected = (torch.tensor(levels[1:], dtype=torch.float64) + 20) * (1 / ratio - 1)
    # The detector adds 1e-5 (-50 dB): 0.003 dB at -18 dB.
    torch.testing.assert_close(change[1:], expected, atol=4e-3, rtol=0)


@pytest.mark.parametrize("ratio", [1.5, 2.0, 4.0])
def test_noisegate_loses_ratio_db_for_each_db_below_its_threshold(ratio):
    gate = make("noisegate")
    levels = [-1.0, -8.0, -14.0, -20.0]
    values = values_of(gate, 4, log_threshold=-6.0, log_ratio=ratio, log_knee=1.0, smoothing_logit=0.05)
    change = change_db(gate, constant(levels), values)
    assert change[0] == 0
    expected = (torch.tensor(levels[1:], dtype=torch.float64) + 6) * (ratio - 1)
    # The detector adds 1e-5: 0.004 dB of level at -20 dB, times ratio - 1.
    torch.testing.assert_close(change[1:], expected, atol=5e-3 * (ratio - 1), rtol=0)


@pytest.mark.parametrize("name", ["compressor", "noisegate"])
def test_energy_gain_doubles_the_decibels(name):
    levels = [-35.0, -26.0, -17.0]
    units = {"log_threshold": -26.0, "log_ratio": 3.0, "log_knee": 6.0, "smoothing_logit": 0.05}
    amplitude, energy = make(name), make(name, gain="energy")
    once = change_db(amplitude, constant(levels), values_of(amplitude, 3, **units))
    assert once.abs().max() > 1
    torch.testing.assert_close(
        change_db(energy, constant(levels), values_of(energy, 3, **units)), 2 * once, atol=1e-10, rtol=0
    )


@pytest.mark.parametrize("name", ["compressor", "noisegate"])
def test_knee_is_as_wide_as_it_says_and_smooth(name):
    processor = make(name)
    levels = torch.linspace(-20, -2, 181, dtype=torch.float64)
    values = values_of(processor, 181, log_threshold=-11.0, log_ratio=3.0, log_knee=8.0, smoothing_logit=0.02)
    change = change_db(processor, constant(levels.tolist()), values)
    slope = change.diff() / 0.1
    bend = (slope.diff() / 0.1).abs() > 1e-2
    inside = levels[1:-1][bend]
    # Levels are 0.1 dB apart, and 1e-5 in the detector moves -15 dB by 0.0014 dB.
    assert inside.min().item() == pytest.approx(-15, abs=0.11)
    assert inside.max().item() == pytest.approx(-7, abs=0.11)
    assert slope.diff().abs().max() < 0.06  # no corner: a hard knee's slope would jump by 2/3 or 2


def test_detectors():
    out_of_phase = constant([-6.0], phase=-1.0)
    units = {"log_threshold": -20.0, "log_ratio": 4.0, "log_knee": 1.0, "smoothing_logit": 0.05}
    energy, mid = make("compressor"), make("compressor", detector="mid")
    values = values_of(energy, **units)
    # Energy: 14 dB above the threshold, of which 3/4 go.
    assert change_db(energy, out_of_phase, values).item() == pytest.approx(-10.5, abs=1e-3)
    # Mid is blind to what is out of phase, and 6 dB hotter in phase.
    assert change_db(mid, out_of_phase, values).item() == 0
    in_phase = change_db(mid, constant([-6.0]), values).item()
    assert in_phase == pytest.approx(-0.75 * (14 + 20 * math.log10(2)), abs=1e-3)


@pytest.mark.parametrize("rate", RATES)
def test_smoothing_time_is_in_milliseconds(rate):
    compressor = make("compressor", rate)
    values = values_of(compressor, smoothing_logit=20.0)
    # The envelope of a step reaches 1 - 1/e of it after one time constant.
    a = torch.sigmoid(values["smoothing_logit"]).item()
    assert a ** (0.020 * rate) == pytest.approx(math.exp(-1), rel=1e-9)


@pytest.mark.parametrize("name", ["compressor", "noisegate"])
def test_silence_and_loudness_stay_finite(name):
    processor = make(name)
    values = values_of(processor, 3, log_threshold=-20.0, log_ratio=50.0)
    x = torch.stack((torch.zeros(2, 100), 1e4 * torch.ones(2, 100), 1e-12 * torch.ones(2, 100))).double()
    assert processor(x, values).isfinite().all()


def test_equalizer_and_gains_are_in_decibels():
    gain = make("gain_panning")
    response = gain.response(values_of(gain, log_gain=[-6.0, 3.0]), 16)
    assert (20 * torch.log10(response)).flatten().tolist() == pytest.approx([-6, 3])
    equalizer = make("equalizer")
    response = equalizer.response(values_of(equalizer, log_magnitude=-12.0), 4096)
    assert (20 * torch.log10(response.abs())).flatten() == pytest.approx(-12, abs=1e-9)


def test_imager_scales_the_side_and_keeps_the_middle():
    imager = make("stereo_imager")
    x = torch.randn(1, 2, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = imager(x, values_of(imager, log_gain=20 * math.log10(3)))
    torch.testing.assert_close(y.sum(1), x.sum(1), atol=1e-14, rtol=0)
    torch.testing.assert_close(y[:, 0] - y[:, 1], 3 * (x[:, 0] - x[:, 1]), atol=1e-13, rtol=0)


@pytest.mark.parametrize("name", ["gain_panning"])
def test_left_is_first(name):
    gain = make(name)
    x = torch.ones(1, 2, 3, dtype=torch.float64)
    y = gain(x, values_of(gain, log_gain=[20.0, -20.0]))
    assert y[0, :, 0].tolist() == pytest.approx([10, 0.1])


def decay_time(response, rate):
    """T60 from the slope of the Schroeder integral between -5 and -35 dB."""
    energy = response.square().sum(0).flip(0).cumsum(0).flip(0)
    level = 10 * torch.log10(energy / energy[0])
    first, last = ((level <= edge).int().argmax().item() for edge in (-5, -35))
    return 2 * (last - first) / rate


@pytest.mark.parametrize("mask", ["decay", "paper"])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seconds", [0.3, 0.8])
def test_reverb_decays_in_the_stated_time(seconds, rate, mask):
    reverb = make("reverb", rate, mask=mask)
    response = reverb.impulse_response(values_of(reverb, delta_log_magnitude=seconds))
    # The noise is one draw; its energy in a stretch of 0.15 s varies by a per cent or two.
    assert decay_time(response[0], rate) == pytest.approx(seconds, rel=0.03)
    assert response.square().sum(-1).mean().item() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_reverb_is_the_same_sound_at_every_rate(rate):
    usual, other = make("reverb"), make("reverb", rate)
    spectra = []
    for reverb in (usual, other):
        response = reverb.impulse_response(values_of(reverb, delta_log_magnitude=0.5))[0, 0]
        spectra.append(torch.fft.rfft(response, n=4 * reverb.sample_rate)[4 * 200 : 4 * 6000])  # 200 Hz to 6 kHz
    a, b = (s / s.norm() for s in spectra)
    assert (a.conj() * b).sum().abs() > 0.999  # coherent: the resampler's pass band alone remains


def test_reverb_colour_follows_its_bins():
    reverb = make("reverb")
    values = values_of(reverb)
    values["init_log_magnitude"][:, :, 96:] = -8 * math.log(10)  # -20 dB from 7.5 kHz on
    response = reverb.impulse_response(values)[0]
    power = torch.fft.rfft(response).abs().square().sum(0)
    half = power.shape[0] // 2
    drop = 10 * torch.log10(power[half + 1000 :].mean() / power[: half - 1000].mean())
    assert drop.item() == pytest.approx(-20, abs=0.5)  # one draw of noise


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("truncate", [False, True])
def test_delay_taps_are_at_the_stated_milliseconds(rate, truncate):
    delay = make("delay", rate, truncate=truncate)
    generator = torch.Generator().manual_seed(0)
    expected = (
        torch.arange(20).repeat(2) * 100 + 10 + 80 * torch.rand(40, generator=generator)
    )  # one a segment of 100 ms
    units = torch.stack((expected, torch.full((40,), 0.9)), dim=-1).double()
    values = values_of(delay, delay_z=units)
    read = delay.specification["delay_z"].to_unit(values["delay_z"])[0]
    assert (read[:, 0] - expected).abs().max() <= 0.5 * 1000 / rate + 1e-6
    torch.testing.assert_close(read[:, 1], units[:, 1])
    response = delay.impulse_response(values)[0]
    for channel in range(2):
        taps = response[channel].nonzero().flatten()
        big = taps[response[channel, taps] > 0.1].tolist()
        assert big == torch.round(expected[20 * channel : 20 * channel + 20] * rate / 1000).int().tolist()
        # Flat filters: each tap has the same size, and all together unit energy.
        assert response[channel, big].tolist() == pytest.approx([1 / math.sqrt(20)] * 20, rel=1e-9)
    assert response.square().sum(-1).mean().item() == pytest.approx(1, abs=1e-10)


def test_energy_is_one_as_the_mean_of_both_channels():
    for name in ("delay", "reverb"):
        processor = make(name, 3000)
        values = {
            n: v.double() for n, v in processor.sample_initial_values(5, torch.Generator().manual_seed(0), 1.0).items()
        }
        energy = processor.impulse_response(values).square().sum(-1)
        assert (energy[:, 0] - energy[:, 1]).abs().max() > 1e-3
        torch.testing.assert_close(energy.mean(-1), torch.ones(5, dtype=torch.float64), atol=1e-9, rtol=0)


def test_parameter_penalty_pulls_to_the_circle():
    delay = make("delay", 3000, radius_weight=0.5)
    values = values_of(delay)
    values["delay_z"] = torch.randn(1, 40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values["delay_z"].requires_grad_()
    penalty = delay.parameter_penalty(values)
    radius = torch.tanh(values["delay_z"].detach().norm(dim=-1))
    assert penalty.item() == pytest.approx(0.25 * (1 - radius).square().sum().item())
    penalty.backward()
    outward = (values["delay_z"].grad * values["delay_z"]).sum(-1)
    assert (outward < 0).all()  # descent goes outward
    assert make("gain_panning").parameter_penalty({}) is None


@pytest.fixture
def one_thread():
    """Thousands of tiny operations: on a busy machine threads that wait for each other take ten times longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_delays_are_found_by_descent_through_the_processor():
    delay = make("delay", 1000)  # segments of 100 samples
    values = values_of(delay)
    generator = torch.Generator().manual_seed(0)
    start = torch.arange(20).repeat(2) * 100
    target_ms = start + 20 + 60 * torch.rand(40, generator=generator)
    begun = target_ms + torch.where(torch.rand(40, generator=generator) < 0.5, 15.0, -15.0)
    target, z = (
        delay.specification["delay_z"].from_unit(torch.stack((ms, torch.full((40,), 0.9)), dim=-1).double())[None]
        for ms in (target_ms, begun)
    )
    goal = delay.impulse_response({**values, "delay_z": target})
    z.requires_grad_()
    optimizer = torch.optim.Adam([z], lr=0.01)
    for _ in range(200):
        loss = F.mse_loss(delay.impulse_response({**values, "delay_z": z}), goal)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    read = delay.specification["delay_z"].to_unit
    miss = (read(z.detach()) - read(target))[..., 0].abs()  # samples
    assert miss.max() <= 1 + 1e-9


@pytest.mark.parametrize("rate", [16000, 48000])
def test_equalizer_bins_keep_their_width(rate):
    usual, other = make("equalizer"), make("equalizer", rate)
    width = 30000 / (2 * usual.num_bins - 1)
    assert rate / (2 * other.num_bins - 1) == pytest.approx(width, rel=1e-3)


# Options beside the paper's processors.


def test_attack_and_release_are_the_time_constants_of_the_envelope():
    """A compressor without knee at ratio 50 turns the signal nearly to its threshold: the gain shows the envelope."""
    rate = 30000
    compressor = registered()["attack_release_compressor"](rate).double()
    units = {"attack_logit": 4.0, "release_logit": 60.0, "log_threshold": -60.0, "log_ratio": 50.0, "log_knee": 0.05}
    values = values_of(compressor, **units)
    x = torch.full((1, 2, 2 * rate), 0.5, dtype=torch.float64)
    x[..., rate:] = 0.05
    gain, _ = compressor.gain(x, values)
    slope = 1 - 1 / 50
    envelope = 10 ** (-6.0) * gain[0] ** (-2 / slope) - 1e-5  # the gain inverted; the floor taken off
    assert envelope[round(0.004 * rate) - 1] == pytest.approx(0.25 * (1 - math.exp(-1)), rel=1e-3)
    fallen = (envelope[rate + round(0.060 * rate) - 1] - 0.0025) / (0.25 - 0.0025)
    assert fallen == pytest.approx(math.exp(-1), rel=1e-3)


@pytest.mark.parametrize("name", ["compressor", "noisegate", "sidechain_compressor"])
@pytest.mark.parametrize("rate", [16000, 30000, 48000])
def test_envelopes_start_at_20_ms_at_every_rate(name, rate):
    processor = registered()[name](rate)
    start = processor.sample_initial_values(2, spread=0.0)["smoothing_logit"]
    torch.testing.assert_close(
        processor.specification["smoothing_logit"].to_unit(start), torch.full((2, 1), 20.0), rtol=1e-3, atol=0.0
    )


def test_envelopes_start_where_they_are_told():
    compressor = registered()["compressor"]
    assert compressor(start_ms=None).sample_initial_values(2, spread=0.0)["smoothing_logit"].tolist() == [[0.0], [0.0]]
    start = compressor(start_ms=100.0).sample_initial_values(1, spread=0.0)["smoothing_logit"]
    assert float(compressor().specification["smoothing_logit"].to_unit(start)) == pytest.approx(100, rel=1e-3)
    with pytest.raises(ValueError, match=r"start_ms: 0.02 to 3000 ms, or None \(the paper's\), got 0"):
        compressor(start_ms=0.0)


@pytest.mark.parametrize(("name", "above", "below"), [("compressor", -7.5, 0.0), ("gate", 0.0, -30.0)])
def test_attack_and_release_dynamics_follow_their_static_curves(name, above, below):
    """10 dB to either side of the threshold at ratio 4: the compressor takes 10 (1 - 1/4), the gate 10 (4 - 1) dB."""
    processor = registered()[f"attack_release_{name}"]().double()
    units = {"log_threshold": -20.0, "log_ratio": 4.0, "log_knee": 1.0, "attack_logit": 0.1, "release_logit": 0.1}
    change = change_db(processor, constant([-10.0, -30.0]).double(), values_of(processor, 2, **units))
    assert change.tolist() == pytest.approx([above, below], abs=0.15)  # the detector's floor, 20 dB below -30 dB


def test_makeup_gain_is_a_gain():
    compressor = registered()["attack_release_compressor"]().double()
    x = torch.rand(1, 2, 3000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plain, louder = (compressor(x, values_of(compressor, log_makeup=db)) for db in (0.0, 6.0))
    torch.testing.assert_close(louder, plain * 10 ** (6 / 20))


@pytest.mark.parametrize(("bias", "even"), [(0.0, False), (0.7, True)])
def test_saturator_has_unit_gain_for_soft_signals_and_harmonics_for_loud_ones(bias, even):
    saturator = registered()["saturator"]().double()
    values = values_of(saturator, log_drive=12.0, bias=bias)
    tone = torch.sin(2 * math.pi * 10 / 1000 * torch.arange(1000, dtype=torch.float64)).expand(1, 2, -1)
    soft = saturator(1e-6 * tone, values)
    torch.testing.assert_close(soft, 1e-6 * tone, rtol=0, atol=1e-11)
    spectrum = torch.fft.rfft(saturator(0.5 * tone, values)[0, 0]).abs() / 500
    assert spectrum[10] < 0.5  # compressed
    assert spectrum[30] > 0.01
    assert (spectrum[20] > 0.01) == even
    assert spectrum[[i for i in range(1, 501) if i % 10]].max() < 1e-12


@pytest.mark.parametrize("rate", [30000, 48000])
def test_bands_of_the_parametric_equalizer_do_what_they_say(rate):
    """At its frequency a bell has its gain; half as much in dB, and at that over the shelves, where they turn."""
    equalizer = registered()["parametric_equalizer"](rate).double()
    hz = torch.tensor([[80.0, 200.0, 600.0, 2000.0, 5000.0, 9000.0]], dtype=torch.float64)
    declared = equalizer.specification
    for band, far in enumerate((6000.0, 30.0, 30.0, 30.0, 30.0, 100.0)):
        gain = torch.zeros(1, 6, dtype=torch.float64)
        gain[0, band] = 9.0
        values = {
            "frequency_logit": declared["frequency_logit"].from_unit(hz),
            "log_gain": declared["log_gain"].from_unit(gain),
            "q_logit": declared["q_logit"].from_unit(torch.full((1, 6), 0.9, dtype=torch.float64)),
        }
        level = 20 * torch.log10(equalizer.transfer(values)[0].abs())
        bins = torch.arange(len(level)) * (rate / equalizer.taps)

        def at(f, level=level, bins=bins):
            return float(level[(bins - f).abs().argmin()])

        shelf = band in (0, 5)
        assert at(hz[0, band]) == pytest.approx(4.5 if shelf else 9.0, abs=0.3)  # bins are 3.6 Hz apart
        if shelf:
            assert at(15.0 if band == 0 else 0.497 * rate) == pytest.approx(9.0, abs=0.3)
        assert at(far) == pytest.approx(0.0, abs=0.3)
    cut = {name: -value if name == "log_gain" else value for name, value in values.items()}
    product = equalizer.transfer(values) * equalizer.transfer(cut)
    torch.testing.assert_close(product, torch.ones_like(product))  # a cut is the inverse of a boost


def test_the_parametric_equalizers_response_has_died_away_where_it_ends():
    equalizer = registered()["parametric_equalizer"]().double()
    values = values_of(equalizer, frequency_logit=60.0, log_gain=12.0, q_logit=2.0)
    response = equalizer.impulse_response(values)[0, 0]
    assert response[-100:].abs().max() < 1e-3 * response.abs().max()
    assert response[0].abs() > 0.1  # minimum phase: it starts at once


def test_late_reverb_decays_at_the_stated_rate():
    rate = 30000
    reverb = registered()["late_reverb"](rate).double()
    values = values_of(reverb, log_t60=0.6, log_colour=0.0, log_width=-6.0)
    response = reverb.impulse_response(values)[0]
    energy = response.square().mean(dim=0)
    levels = [10 * torch.log10(energy[round(t * rate) : round((t + 0.05) * rate)].mean()) for t in (0.1, 0.5)]
    assert (levels[0] - levels[1]) / 0.4 * 0.6 == pytest.approx(60, abs=2)
    mid, side = response.sum(dim=0), response[0] - response[1]
    assert 10 * torch.log10(side.square().sum() / mid.square().sum()) == pytest.approx(-6.0, abs=0.5)


def test_late_reverb_decays_by_frequency():
    rate, length = 30000, 6000
    reverb = make("late_reverb", rate)
    response = reverb.impulse_response(values_of(reverb, log_t60=[1.6, 0.8, 0.3]))[0]
    hz = torch.fft.rfftfreq(length, 1 / rate)
    # The noise is one draw, of which a narrow band has little.
    for low, high, seconds, rel in [(40, 150, 1.6, 0.2), (850, 1700, 0.8, 0.1), (7000, 14000, 0.3, 0.05)]:
        band = (hz >= low) & (hz < high)
        levels = []
        for start in (0.05, 0.05 + seconds / 2):  # 30 dB apart
            part = response[:, round(start * rate) :][:, :length] * torch.hann_window(length, dtype=torch.float64)
            levels.append(10 * torch.log10(torch.fft.rfft(part)[:, band].abs().square().sum()).item())
        assert 30 * seconds / (levels[0] - levels[1]) == pytest.approx(seconds, rel=rel)


def test_late_reverb_is_bright_or_dark_where_it_says():
    reverb = registered()["late_reverb"]().double()
    values = values_of(reverb, log_t60=0.8, log_colour=0.0, log_width=0.0)
    values["log_colour"] = reverb.specification["log_colour"].from_unit(torch.tensor([[0.0, 0.0, -18.0]]).double())
    spectrum = torch.fft.rfft(reverb.impulse_response(values)[0, 0]).abs().square()
    hz = torch.arange(len(spectrum)) / 2
    bands = [10 * torch.log10(spectrum[(hz > low) & (hz < 2 * low)].mean()) for low in (300, 7500)]
    assert bands[0] - bands[1] == pytest.approx(18, abs=1)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hz", [400.0, 1000.0, 3000.0])
def test_band_splitter_has_the_magnitudes_of_a_linkwitz_riley_crossover(hz, rate):
    splitter = make("band_splitter", rate)
    values = values_of(splitter, frequency_logit=hz)
    bands = [splitter.outlet_response(values, outlet)[0, 0] for outlet in (0, 1)]
    times = (torch.arange(len(bands[0]), dtype=torch.float64) - splitter.before) / rate
    for octaves in (-2, -1, -0.5, 0, 0.5, 1):
        tone = torch.cos(2 * math.pi * hz * 2**octaves * times)
        low, high = ((band * tone).sum() for band in bands)
        expected = 1 / (1 + 2.0 ** (4 * octaves))
        # The window of 68 ms smooths over 30 Hz.
        assert low == pytest.approx(expected, abs=0.004)
        assert low + high == pytest.approx(1, abs=1e-12)


def test_mid_side_splitter_gives_mid_and_side_with_their_gains():
    splitter = make("mid_side_splitter")
    values = values_of(splitter, log_gain=torch.tensor([-6.0, 3.0]))
    x = torch.randn(1, 2, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mid, side = (x[:, 0] + x[:, 1]) / 2 * 10 ** (-6 / 20), (x[:, 0] - x[:, 1]) / 2 * 10 ** (3 / 20)
    torch.testing.assert_close(splitter(x, values), torch.stack((mid, mid), dim=1))
    torch.testing.assert_close(Outlet(splitter, 1)(x, values), torch.stack((side, -side), dim=1))


@pytest.mark.parametrize("colour", ["white", "low"])
@pytest.mark.parametrize("rate", [8000, 30000])
def test_delays_are_heard_where_the_source_comes_back(rate, colour):
    """Whatever the source's spectrum is: the correlation is whitened."""
    delay = make("delay", rate)
    generator = torch.Generator().manual_seed(0)
    source, other = torch.randn(2, 2, 5 * rate, generator=generator)
    if colour == "low":  # falls by 6 dB an octave from 200 Hz on
        hertz = torch.fft.rfftfreq(5 * rate, 1 / rate)
        source = torch.fft.irfft(torch.fft.rfft(source) / (1 + hertz / 200), n=5 * rate)
        other = other * source.square().mean().sqrt()
    true = {0: {0.0712: 0.3, 0.2502: 0.6, 1.93: 0.2}, 1: {0.111: 0.5, 0.999: 0.4}}  # seconds and level, left and right
    mix = source + 0.5 * other
    for channel, echoes in true.items():
        for seconds, level in echoes.items():
            lag = round(seconds * rate)
            mix[channel, lag:] += level * source[channel, :-lag]
    initial = delay.initial_values_from_mix(source, mix)
    declared = delay.specification
    assert {name: value.shape for name, value in initial.items()} == {
        n: torch.Size(p.shape) for n, p in declared.items()
    }
    ms = declared["delay_z"].to_unit(initial["delay_z"].double())[:, 0].view(2, 20)
    levels = declared["log_fir_magnitude"].to_unit(initial["log_fir_magnitude"]).mean(dim=-1).view(2, 20)
    for channel, echoes in true.items():
        loudest = max(max(channel_taps.values()) for channel_taps in true.values())
        for seconds, level in echoes.items():
            tap = int(seconds / 0.1)
            assert ms[channel, tap] == pytest.approx(1000 * round(seconds * rate) / rate, abs=1e-3)
            assert levels[channel, tap] == pytest.approx(20 * math.log10(level / loudest), abs=4)
        silent = [tap for tap in range(20) if tap not in {int(seconds / 0.1) for seconds in echoes}]
        assert levels[channel, silent].max() < -15
    # The response puts them there.
    response = delay.impulse_response({name: value.unsqueeze(0).double() for name, value in initial.items()})[0]
    assert response[0].abs().argmax() == round(0.2502 * rate)
    assert response[1].abs().argmax() == round(0.111 * rate)


@pytest.mark.parametrize("rate", [8000, 30000])
def test_the_shoulder_of_an_echo_at_a_segments_border_is_no_echo(rate):
    """Music is low-passed, so that its correlations have wide peaks; echoes of 200 and 400 ms lie on borders."""
    delay = make("delay", rate)
    source = torch.randn(2, 5 * rate, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfft(source)
    spectrum[:, spectrum.shape[-1] // 4 :] = 0
    source = torch.fft.irfft(spectrum, n=source.shape[-1])
    mix = source.clone()
    for seconds, level in {0.2 - 1 / rate: 0.5, 0.24: 0.2, 0.4: 0.5, 0.36: 0.2}.items():
        lag = round(seconds * rate)
        mix[:, lag:] += level * source[:, :-lag]
    ms = (
        delay.specification["delay_z"]
        .to_unit(delay.initial_values_from_mix(source, mix)["delay_z"].double())[:, 0]
        .view(2, 20)
    )
    for channel in ms:
        expected = {1: 200 - 1000 / rate, 2: 240, 3: 360, 4: 400}
        assert {tap: float(channel[tap]) for tap in expected} == pytest.approx(expected, abs=1e-3)


def test_fader_moves_cost_their_squares():
    fader = make("fader", seconds=8.0, roughness=0.5)
    values = {"log_gain": torch.tensor([[0.0, 1.0, 1.0, -2.0, 0.0], [3.0, 3.0, 3.0, 3.0, 3.0]])}
    assert fader.parameter_penalty(values).item() == pytest.approx(0.5 * (1 + 9 + 4))


@pytest.mark.parametrize("rate", RATES)
def test_faders_draw_straight_lines_in_db_between_the_stated_seconds(rate):
    fader = make("fader", rate, interval=0.5, seconds=2.0)
    gains = values_of(fader, log_gain=[0.0, -12.0, 6.0, -3.0, 3.0])
    level = 20 * torch.log10(fader(torch.ones(1, 2, round(2.5 * rate), dtype=torch.float64), gains)[0])
    for seconds, expected in [
        (0.0, 0.0),
        (0.25, -6.0),
        (0.5, -12.0),
        (0.625, -7.5),
        (1.5, -3.0),
        (2.0, 3.0),
        (2.4, 3.0),
    ]:
        assert level[:, round(seconds * rate)].tolist() == pytest.approx([expected] * 2, abs=1e-6)


def test_sends_are_gains_that_start_at_12_db_less():
    send = make("send")
    x = torch.rand(1, 2, 50, dtype=torch.float64)
    values = values_of(send, log_gain=-6.0)
    torch.testing.assert_close(send(x, values), 10 ** (-6 / 20) * x)
    start = send.sample_initial_values(1, torch.Generator().manual_seed(0), 0.0)
    assert send.specification["log_gain"].to_unit(start["log_gain"]).item() == pytest.approx(-12)


def test_bands_start_where_they_are_said_to():
    for rate, expected in [
        (48000, [60, 180, 500, 1500, 4000, 9000]),
        (30000, [60, 180, 500, 1500, 4000, 9000]),
        (16000, [60, 180, 500, 1500, 4000, 6480]),  # at most at .9 of .45 of the rate
    ]:
        hertz = make("parametric_equalizer", rate).specification["frequency_logit"].to_unit(torch.zeros(1, 6).double())
        assert hertz[0].tolist() == pytest.approx(expected, rel=1e-6)


def test_saturator_is_its_formula_and_stays_finite():
    saturator = make("saturator")
    x = torch.linspace(-1, 1, 101, dtype=torch.float64).expand(1, 2, -1)
    for coordinate in (-4.0, 0.0, 0.7, 2.0):
        bias = torch.tensor(3 * math.tanh(coordinate / 3), dtype=torch.float64)
        for drive in (0.2, 1.0, 6.0):
            expected = (torch.tanh(drive * x + bias) - torch.tanh(bias)) / (drive * (1 - torch.tanh(bias) ** 2))
            values = {"bias": torch.full((1, 1), coordinate), "log_drive": torch.full((1, 1), math.log(drive))}
            output = saturator(x, {name: value.double() for name, value in values.items()})
            torch.testing.assert_close(output, expected, rtol=1e-6, atol=1e-6)
    far = {"bias": torch.full((1, 1), -100.0), "log_drive": torch.full((1, 1), 4.0)}
    assert saturator(x.float(), far).isfinite().all()


def test_silence_has_no_echoes():
    delay = make("delay", 8000)
    initial = delay.initial_values_from_mix(torch.zeros(2, 8000), torch.zeros(2, 8000))
    assert all(value.isfinite().all() for value in initial.values())
