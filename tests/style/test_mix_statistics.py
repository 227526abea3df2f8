"""Statistics of mixes, by what physics and standards say of test signals."""

import math

import pytest
import torch
from torch import Tensor

from mixgraph.songs.loudness import integrated_loudness
from mixgraph.style import StatisticsWeights, mix_statistics, statistics_distance
from mixgraph.style.mix_statistics import MixStatistics, octave_hertz, third_hertz

RATE = 30000


def noise(seconds: float, seed: int = 0, rate: int = RATE, width: float = 0.5) -> Tensor:
    """Pink noise, decorrelated: its side is `width` times its mid in amplitude."""
    generator = torch.Generator().manual_seed(seed)
    length = round(seconds * rate)
    spectra = torch.fft.rfft(torch.randn(2, length, generator=generator, dtype=torch.float64))
    spectra[:, 1:] /= torch.arange(1, spectra.shape[-1]).sqrt()
    spectra[:, 0] = 0
    mid, side = torch.fft.irfft(spectra, n=length)
    mid, side = mid / mid.std(), width * side / side.std()
    return (0.05 * torch.stack((mid + side, mid - side))).float()


def close(a: MixStatistics, b: MixStatistics, within: float, but: tuple[str, ...] = ()) -> None:
    distances = statistics_distance(a, b).parts
    assert {n: float(d) for n, d in distances.items() if d > within and n not in but} == {}


def test_a_gain_moves_the_loudness_and_nothing_else() -> None:
    mix = noise(4.0)
    before, after = mix_statistics(mix, RATE), mix_statistics(mix * 10 ** (6 / 20), RATE)
    assert float(after.loudness_lufs - before.loudness_lufs) == pytest.approx(6, abs=1e-4)
    close(before, after, 1e-4, but=("loudness_lufs",))


def test_pink_noise_is_flat_and_as_wide_as_it_was_made() -> None:
    measured = mix_statistics(noise(12.0), RATE)
    mid, side = measured.spectrum_mid_db, measured.spectrum_side_db
    assert third_hertz(len(mid))[-1] == pytest.approx(10079, abs=1)  # the next one ends above 0.47 of the rate
    share = 10 * math.log10(0.8 / len(mid))  # mid has 4/5 of the power
    assert mid[6:].tolist() == pytest.approx([share] * (len(mid) - 6), abs=0.7)
    assert float(mid.mean()) == pytest.approx(share, abs=0.2)
    assert float((side - mid)[6:].mean()) == pytest.approx(-6.02, abs=0.2)
    assert octave_hertz(len(measured.width_db)) == pytest.approx([31.25 * 2**n for n in range(9)])
    assert measured.width_db[3:].tolist() == pytest.approx([-6.0] * 6, abs=0.5)


def test_a_sine_has_the_loudness_of_the_standards() -> None:
    """EBU Tech 3341, test 1: a sine of 1 kHz that peaks at -23 dBFS in both channels has -23.0 LUFS.

    It follows from BS.1770: 997 Hz that peak at 0 dBFS in one channel have -3.01 LUFS.
    """
    time = torch.arange(5 * 48000, dtype=torch.float64) / 48000
    sine = (10 ** (-23 / 20) * torch.sin(2 * math.pi * 997 * time)).float()
    both, one = torch.stack((sine, sine)), torch.stack((sine, 0 * sine))
    measured = mix_statistics(both, 48000)
    assert float(measured.loudness_lufs) == pytest.approx(-23.0, abs=0.05)
    assert float(mix_statistics(one, 48000).loudness_lufs) == pytest.approx(-26.01, abs=0.05)
    assert float(measured.loudness_range_lu) == pytest.approx(0, abs=0.01)
    assert float(measured.crest_db[5]) == pytest.approx(3.01, abs=0.25)  # it starts and ends
    assert float(measured.width_db[5]) == pytest.approx(-30, abs=0.01)
    assert float(measured.spectrum_mid_db[16]) == pytest.approx(0, abs=0.01)


def test_the_loudness_range_is_that_of_two_steady_parts() -> None:
    """EBU Tech 3342, test 1: 20 s at -20 LUFS, then 20 s at -30 LUFS have a range of 10 LU; here at a rate of 8 kHz."""
    rate = 8000
    time = torch.arange(20 * rate) / rate
    sine = torch.sin(2 * math.pi * 1000 * time)
    mix = torch.cat((10 ** (-20 / 20) * sine, 10 ** (-30 / 20) * sine)).expand(2, -1)
    assert float(mix_statistics(mix, rate).loudness_range_lu) == pytest.approx(10, abs=0.5)


def test_silence_around_a_mix_changes_nothing_but_gates_do_not_hear() -> None:
    rate = 8000
    rise = torch.linspace(0, 1, rate)
    mix = noise(6.0, rate=rate) * torch.cat((rise, torch.ones(4 * rate), rise.flip(0)))
    quiet = torch.zeros(2, 5 * rate // 2)
    first, later = mix_statistics(mix, rate), mix_statistics(torch.cat((quiet, mix, quiet[:, 1000:]), -1), rate)
    close(first, later, 0.3, but=("loudness_range_lu",))
    assert float(statistics_distance(first, later).parts["spectrum_mid_db"]) < 0.1
    # The loudness that songs are brought to is measured with filters of another design.
    assert float(first.loudness_lufs) == pytest.approx(integrated_loudness(mix, rate), abs=0.15)


def test_the_length_of_steady_noise_does_not_matter() -> None:
    long = noise(24.0, 1, 8000)
    short, whole = (mix_statistics(mix, 8000) for mix in (long[:, : 6 * 8000], long))
    for name, distance in statistics_distance(short, whole).parts.items():
        assert float(distance) < 0.7, name


def test_every_statistic_has_a_gradient_even_of_silence() -> None:
    mixes = noise(3.5), torch.zeros(2, 4 * RATE), torch.cat((torch.zeros(2, RATE), noise(1.0, width=0.0)), -1)
    for mix in mixes:
        audio = mix.clone().requires_grad_()
        for name, value in mix_statistics(audio, RATE).by_name().items():
            (gradient,) = torch.autograd.grad(value.sum(), audio, retain_graph=True)
            assert bool(gradient.isfinite().all()), name
            assert not (mix[0] != mix[1]).any() or bool(gradient.any()), name
    with pytest.raises(ValueError, match="at least 12000 samples"):
        mix_statistics(torch.zeros(2, 11999), RATE)


def test_a_step_along_the_gradient_brings_a_mix_nearer() -> None:
    start, target = noise(1.0), mix_statistics(noise(1.0, 1, width=0.2) * 2, RATE)
    gains = torch.zeros(2, requires_grad=True)

    def distance() -> Tensor:
        mid, side = start.sum(0) / 2, (start[0] - start[1]) / 2
        mid, side = mid * gains[0].exp(), side * gains[1].exp()
        return statistics_distance(mix_statistics(torch.stack((mid + side, mid - side)), RATE), target).full

    before = distance()
    before.backward()
    with torch.no_grad():
        gains -= 0.05 * gains.grad / gains.grad.norm()
        assert float(distance()) < float(before.detach())
    assert gains[0] > 0 > gains[1]  # louder, and narrower


def test_weights_choose_what_counts_and_rates_need_not_be_equal() -> None:
    low, high = mix_statistics(noise(4.0, rate=RATE), RATE), mix_statistics(noise(4.0, rate=44100), 44100)
    loud = StatisticsWeights(0, 0, 2, 0, 0, 0)
    difference = abs(float(low.loudness_lufs - high.loudness_lufs))
    assert float(statistics_distance(low, high, loud).full) == pytest.approx(2 * difference, abs=1e-4)
    assert float(statistics_distance(low, low).full) == 0
    assert len(low.plus(high, -1.0).spectrum_mid_db) == len(low.spectrum_mid_db) < len(high.spectrum_mid_db)
    with pytest.raises(ValueError, match="not all 0"):
        StatisticsWeights(0, 0, 0, 0, 0, 0)
