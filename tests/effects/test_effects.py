"""Effects as other software has them: responses, time constants, decays and ceilings."""

import math

import numpy as np
import pytest
from scipy.signal import freqz

from mixgraph.effects import (
    Band,
    compress,
    equalize,
    feedback_delay,
    gate,
    limit,
    pan,
    response_db,
    reverberate,
    saturate,
    widen,
)
from mixgraph.effects.equalizer import sections

RATE = 30000


def tone(hertz: float, seconds: float, amplitude: float = 1.0) -> np.ndarray:
    wave = amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)
    return np.stack((wave, wave))


def level_db(audio: np.ndarray) -> float:
    return 10 * math.log10(float(np.square(audio).mean()))


@pytest.mark.parametrize("gain_db", [-9.0, 6.0])
@pytest.mark.parametrize("hertz", [80.0, 1000.0, 9000.0])
def test_bands_have_their_gain(hertz: float, gain_db: float) -> None:
    assert response_db([Band("peak", hertz, gain_db, 2.0)], [hertz], RATE)[0] == pytest.approx(gain_db, abs=0.01)
    ends = np.array([1e-3, RATE / 2 - 1e-3])
    for kind, gains in (("low_shelf", (gain_db, 0)), ("high_shelf", (0, gain_db))):
        band = Band(kind, hertz, gain_db)
        assert response_db([band], ends, RATE) == pytest.approx(gains, abs=0.01)
        assert response_db([band], [hertz], RATE)[0] == pytest.approx(gain_db / 2, abs=0.01)
    for kind in ("low_cut", "high_cut"):
        assert response_db([Band(kind, hertz)], [hertz], RATE)[0] == pytest.approx(10 * math.log10(0.5), abs=0.01)


def test_audio_is_filtered_by_the_response() -> None:
    bands = [Band("low_cut", 60), Band("peak", 1500, 8, 1.5), Band("high_shelf", 6000, -5)]
    impulse = np.zeros((2, RATE))
    impulse[:, 0] = 1
    hertz, response = freqz(equalize(impulse, bands, RATE)[0], worN=2048, fs=RATE)
    above = hertz > 20  # the impulse response is cut after a second
    expected = response_db(bands, hertz[above], RATE)
    assert 20 * np.log10(np.abs(response[above])) == pytest.approx(expected, abs=1e-3)
    poles = np.abs(np.concatenate([np.roots(row[3:]) for row in sections(bands, RATE)]))
    assert (poles < 1).all()


def test_bands_are_checked() -> None:
    with pytest.raises(ValueError, match="a frequency between 0 and 15000 Hz and a q above 0 are needed, got 15000 Hz"):
        equalize(np.ones((1, 4)), [Band("peak", 15000, 3)], RATE)
    with pytest.raises(ValueError, match="high_cut is needed, got 'notch'"):
        equalize(np.ones((1, 4)), [Band("notch", 100, 3)], RATE)


def test_a_compressor_has_its_curve_and_time_constants() -> None:
    loud, quiet = 10 ** (-6 / 20), 10 ** (-40 / 20)
    steps = np.concatenate((np.full(RATE, quiet), np.full(RATE, loud), np.full(RATE, quiet)))[None].repeat(2, axis=0)
    out = compress(steps, RATE, -26, 4, knee_db=0, attack_ms=10, release_ms=80)
    reduction = -20 * np.log10(out[0] / steps[0])
    assert reduction[RATE - 1] == 0
    full = 20 * (1 - 1 / 4)
    assert reduction[2 * RATE - 1] == pytest.approx(full, abs=1e-6)
    attack, release = 10 * RATE // 1000, 80 * RATE // 1000
    assert reduction[RATE + attack - 1] == pytest.approx(full * (1 - math.exp(-1)), abs=1e-9)
    assert reduction[2 * RATE + release - 1] == pytest.approx(full * math.exp(-1), abs=1e-5)
    ahead = compress(steps, RATE, -26, 4, knee_db=0, attack_ms=10, release_ms=80, look_ahead_ms=3)
    lead = 3 * RATE // 1000
    gain, gain_ahead = out[0] / steps[0], ahead[0] / steps[0]
    assert gain_ahead[:-lead] == pytest.approx(gain[lead:], abs=1e-12)
    # In the middle of the knee an eighth of it is taken off, times the slope.
    middle = compress(np.full((1, RATE), 10 ** (-26 / 20)), RATE, -26, 4, knee_db=8, attack_ms=1)
    assert 20 * math.log10(middle[0, -1]) == pytest.approx(-26 - 0.75 * 1.0, abs=1e-6)
    with pytest.raises(ValueError, match=r"ratio: at least 1 is needed, got 0\.5; attack_ms: at least 0"):
        compress(steps, RATE, -20, 0.5, attack_ms=-1)


def test_both_channels_share_one_gain() -> None:
    audio = np.stack((np.full(RATE, 0.5), np.full(RATE, 0.01)))
    for out in (compress(audio, RATE, -30, 3), gate(audio, RATE, -20), limit(audio, RATE, -12)):
        gains = out / audio
        assert gains[0] == pytest.approx(gains[1], rel=1e-12)


def test_a_gate_opens_holds_and_closes() -> None:
    loud, between, quiet = (10 ** (db / 20) for db in (-10, -31, -50))
    levels = np.concatenate([np.full(RATE // 2, level) for level in (quiet, between, loud, between, quiet)])
    out = gate(levels[None], RATE, -30, range_db=40, attack_ms=2, hold_ms=50, release_ms=60, hysteresis_db=3)
    reduction = -20 * np.log10(out[0] / levels)
    half = RATE // 2
    assert reduction[2 * half - 1] == 40  # not open yet: the threshold is above
    assert reduction[2 * half + 2 * RATE // 1000 - 1] == pytest.approx(40 * math.exp(-1), abs=1e-9)
    assert reduction[4 * half - 1] < 1e-6  # still open: the hysteresis is below
    held = 50 * RATE // 1000
    assert reduction[4 * half + held - 1] < 1e-6
    assert reduction[4 * half + held + 60 * RATE // 1000 - 1] == pytest.approx(40 * (1 - math.exp(-1)), abs=1e-6)
    ahead = gate(levels[None], RATE, -30, look_ahead_ms=5)[0] / levels
    assert ahead[2 * half - 1] > ahead[2 * half - 5 * RATE // 1000 - 1]
    with pytest.raises(ValueError, match="range_db: at least 0 is needed, got -1"):
        gate(levels[None], RATE, -30, range_db=-1)


@pytest.mark.parametrize("ping_pong", [False, True])
def test_echoes_come_at_exact_samples(ping_pong: bool) -> None:
    audio = np.zeros((2, RATE))
    audio[:, 0] = 1.0
    seconds, feedback = 0.1234, 0.5
    out = feedback_delay(audio, RATE, seconds, feedback, ping_pong=ping_pong)
    delay = round(seconds * RATE)
    expected = np.zeros_like(out)
    for number, place in enumerate(range(delay, RATE, delay)):
        sides = [number % 2] if ping_pong else [0, 1]
        expected[sides, place] = feedback**number
    assert out == pytest.approx(expected, abs=1e-15)


def test_echoes_are_damped_and_checked() -> None:
    audio = np.zeros((2, RATE))
    audio[:, 0] = 1.0
    first = feedback_delay(audio, RATE, 0.2, 0.0, damping_hz=2000)[0, round(0.2 * RATE) :]
    hertz, response = freqz(first, worN=4096, fs=RATE)
    magnitudes = 20 * np.log10(np.abs(response))
    assert magnitudes[0] == pytest.approx(0, abs=1e-9)
    assert np.interp(2000, hertz, magnitudes) == pytest.approx(-3, abs=0.3)  # of the analogue filter it is made after
    with pytest.raises(ValueError, match="feedback: 0 to below 1"):
        feedback_delay(audio, RATE, 0.2, 1.0)
    with pytest.raises(ValueError, match=r"\(2, samples\) is needed, got \(1, 30000\)"):
        feedback_delay(audio[:1], RATE, 0.2)
    with pytest.raises(ValueError, match="damping_hz: above 0 is needed, got 0"):
        feedback_delay(audio, RATE, 0.2, damping_hz=0.0)


def decay_seconds(response: np.ndarray, hertz: float | None = None) -> float:
    """T60 by backward integration (Schroeder) from -5 to -35 dB, of all sound or of an octave around a frequency."""
    if hertz is not None:
        edges = [Band("low_cut", hertz / math.sqrt(2)), Band("high_cut", min(hertz * math.sqrt(2), 0.49 * RATE))]
        response = equalize(response, edges * 3, RATE)
    left = np.square(response).sum(axis=0)[::-1].cumsum()[::-1]
    decay = 10 * np.log10(np.maximum(left / left[0], 1e-12))
    inside = np.flatnonzero((decay < -5) & (decay > -35))
    return float(-60 / np.polyfit(inside / RATE, decay[inside], 1)[0])


@pytest.mark.parametrize(("t60", "size"), [(0.4, 0.5), (1.5, 1.0), (3.0, 1.6)])
def test_a_reverb_decays_in_its_time(t60: float, size: float) -> None:
    impulse = np.zeros((2, round(1.5 * t60 * RATE)))
    impulse[:, 0] = 1
    response = reverberate(impulse, RATE, t60, size=size, pre_delay_ms=20)
    assert decay_seconds(response) == pytest.approx(t60, rel=0.05)
    first = np.flatnonzero(np.abs(response).max(axis=0) > 1e-9)[0]
    assert first == pytest.approx((20 + 23.3 * size) / 1000 * RATE, abs=2)  # after the pre-delay, the shortest line
    correlation = np.corrcoef(response)[0, 1]
    assert abs(correlation) < 0.3


def test_high_frequencies_decay_sooner() -> None:
    impulse = np.zeros((2, 3 * RATE))
    impulse[:, 0] = 1
    response = reverberate(impulse, RATE, 2.0, 0.5)
    assert decay_seconds(response, 100) == pytest.approx(2.0, rel=0.05)
    assert decay_seconds(response, 14000) == pytest.approx(0.5, rel=0.1)  # an octave below half the rate has more
    energy = np.square(reverberate(impulse, RATE, 1.0)).sum(axis=1)
    assert 10 * np.log10(energy) == pytest.approx([0, 0], abs=3)  # one impulse on each side
    with pytest.raises(ValueError, match="0 < high_t60 <= t60"):
        reverberate(impulse, RATE, 1.0, 2.0)


def test_saturation_leaves_quiet_sounds_and_makes_the_harmonics_of_tanh() -> None:
    quiet = tone(1000, 0.2, 1e-4)
    inner = slice(RATE // 50, -RATE // 50)  # the edges are those of the resampling filter
    assert saturate(quiet, 12)[:, inner] == pytest.approx(quiet[:, inner], rel=2e-3, abs=1e-7)
    amplitude = 0.2
    for asymmetry, even in ((0.0, False), (0.4, True)):
        out = saturate(tone(1000, 1.2, amplitude), 6, asymmetry)[0, RATE // 10 : RATE // 10 + RATE]
        lines = 2 * np.abs(np.fft.rfft(out))[[1000, 2000, 3000]] / RATE
        assert (lines[1] > 0.01 * lines[0]) == even
        if not even:  # tanh(x) = x - x^3 / 3 + ...: a third harmonic of (drive amplitude)^2 / 12
            assert lines[2] / lines[0] == pytest.approx((10 ** (6 / 20) * amplitude) ** 2 / 12, rel=0.1)
    folded = saturate(tone(7000, 1.2, 0.9), 20)[0, RATE // 10 : RATE // 10 + RATE]
    spectrum = np.abs(np.fft.rfft(folded))
    assert (
        spectrum[RATE - 21000] < 1e-2 * spectrum[7000]
    )  # the third harmonic, beyond half the rate, does not fold back


def test_a_limiter_never_passes_its_ceiling() -> None:
    noise = np.random.default_rng(0).standard_normal((2, 2 * RATE)) * np.linspace(0.05, 3, 2 * RATE)
    for look_ahead_ms, release_ms in ((0, 0), (2, 100), (5, 1)):
        out = limit(noise, RATE, -1.0, look_ahead_ms, release_ms)
        assert np.abs(out).max() <= 10 ** (-1 / 20) * (1 + 1e-12)
        assert np.abs(out).max() > 0.8
    quiet = 0.1 * noise / np.abs(noise).max()
    assert limit(quiet, RATE, -1.0) == pytest.approx(quiet, abs=1e-15)
    with pytest.raises(ValueError, match="ceiling_db: at most 0"):
        limit(noise, RATE, 1.0)


def test_a_limiter_recovers_with_its_release() -> None:
    audio = np.full((1, RATE), 0.25)
    audio[0, 1000] = 4.0
    gain = limit(audio, RATE, 0.0, look_ahead_ms=0, release_ms=50)[0] / audio[0]
    after = 50 * RATE // 1000
    assert gain[1000] == pytest.approx(0.25)
    assert 1 - gain[1000 + after] == pytest.approx(0.75 * math.exp(-1), rel=1e-6)


def test_pan_keeps_the_power_and_width_the_middle() -> None:
    audio = tone(300, 0.1)
    for position in (-1.0, -0.3, 0.0, 0.8):
        assert level_db(pan(audio, -6, position)) == pytest.approx(level_db(audio) - 6, abs=1e-9)
    assert np.abs(pan(audio, 0, -1)[1]).max() < 1e-12
    with pytest.raises(ValueError, match=r"position: -1 to 1 is needed, got 1\.5"):
        pan(audio, 0, 1.5)
    both = np.stack((tone(300, 0.1)[0], tone(500, 0.1)[0]))
    wide = widen(both, 2.0)
    assert wide.sum(axis=0) == pytest.approx(both.sum(axis=0), abs=1e-12)
    assert wide[0] - wide[1] == pytest.approx(2 * (both[0] - both[1]), abs=1e-12)
