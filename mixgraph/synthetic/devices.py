"""Draws effects of `mixgraph.effects`, with settings as mixing engineers choose them, for each processor type.

They are a second opinion on what an equalizer or a reverb is: a network that is trained on both does not only learn to
recognise our own processors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from mixgraph.effects import (
    Band,
    compress,
    equalize,
    feedback_delay,
    gate,
    limit,
    pan,
    reverberate,
    saturate,
    widen,
)
from mixgraph.processors.usage import RandomSettings

_SATURATION_SHARE = 0.25  # of compressors that also saturate
_PING_PONG_SHARE = 0.4
_FRAME_SECONDS = 0.01


@dataclass(frozen=True)
class Device:
    """An effect with its settings.

    Attributes:
        text: the settings in words, for the record of a sample.
        run: from audio (2, samples) to audio of the same shape.
    """

    text: str
    run: Callable[[np.ndarray], np.ndarray]


def draw_device(node_type: str, signal: np.ndarray, sample_rate: int, draw: RandomSettings) -> Device:
    """Draws an effect in the place of a processor.

    Args:
        node_type: the type of the processor; one of `DEVICES`.
        signal: (2, samples), what enters it; thresholds are set by its level.
        sample_rate: in Hz.
        draw: source of all randomness.
    """
    return DEVICES[node_type](signal, sample_rate, draw)


def draw_bus(mix: np.ndarray, sample_rate: int, draw: RandomSettings) -> list[Device]:
    """Draws what stands behind the last sum: often a limiter, sometimes saturation before it, sometimes nothing."""
    peak = float(np.abs(mix).max())
    devices = []
    if draw.uniform(0, 1) < 0.2:
        drive_db = draw.uniform(-6, 0) - _decibels(peak)
        devices.append(Device(f"saturation {drive_db:+.1f} dB", partial(saturate, drive_db=drive_db)))
    if draw.uniform(0, 1) < 0.5:
        ceiling_db = min(0.0, _decibels(peak) - draw.uniform(1, 6))
        release_ms = draw.logarithmic(30, 300)
        text = f"limiter at {ceiling_db:.1f} dB, release {release_ms:.0f} ms"
        devices.append(
            Device(text, partial(limit, sample_rate=sample_rate, ceiling_db=ceiling_db, release_ms=release_ms))
        )
    return devices


def _equalizer(signal: np.ndarray, sample_rate: int, draw: RandomSettings) -> Device:
    """A cut, shelves and one to three peaks; at least one of shelves and peaks."""
    nyquist, bands = 0.45 * sample_rate, []
    if draw.uniform(0, 1) < 0.5:
        bands.append(Band("low_cut", draw.logarithmic(30, 250)))
    if draw.uniform(0, 1) < 0.4:
        bands.append(Band("low_shelf", draw.logarithmic(80, 400), draw.sign() * draw.uniform(3, 9)))
    if draw.uniform(0, 1) < 0.5:
        hertz = min(draw.logarithmic(2500, 10000), nyquist)
        bands.append(Band("high_shelf", hertz, draw.sign() * draw.uniform(3, 9)))
    if draw.uniform(0, 1) < 0.15:
        bands.append(Band("high_cut", min(draw.logarithmic(3000, 12000), nyquist)))
    for _ in range(1 + int(draw.uniform(0, 3))):
        hertz = min(draw.logarithmic(120, 8000), nyquist)
        bands.append(Band("peak", hertz, draw.sign() * draw.uniform(3, 10), draw.logarithmic(0.5, 3)))
    text = ", ".join(f"{band.kind.replace('_', ' ')} {band.hertz:.0f} Hz {band.gain_db:+.1f} dB" for band in bands)
    return Device(text, partial(equalize, bands=bands, sample_rate=sample_rate))


def _compressor(signal: np.ndarray, sample_rate: int, draw: RandomSettings) -> Device:
    """A threshold 4 to 15 dB below the loud parts, with make-up gain half of the time; sometimes saturation."""
    loud = float(np.quantile(_levels_db(signal, sample_rate), 0.9))
    threshold_db = loud - draw.uniform(4, 15)
    ratio, attack_ms, release_ms = draw.logarithmic(2, 10), draw.logarithmic(0.5, 40), draw.logarithmic(30, 400)
    look_ahead_ms = draw.uniform(0, 5) if draw.uniform(0, 1) < 0.3 else 0.0
    makeup_db = draw.uniform(0, 1) * (loud - threshold_db) * (1 - 1 / ratio) if draw.uniform(0, 1) < 0.5 else 0.0
    squash = partial(
        compress,
        sample_rate=sample_rate,
        threshold_db=threshold_db,
        ratio=ratio,
        knee_db=draw.uniform(0, 12),
        attack_ms=attack_ms,
        release_ms=release_ms,
        look_ahead_ms=look_ahead_ms,
        makeup_db=makeup_db,
    )
    text = (
        f"threshold {threshold_db:.1f} dB, ratio {ratio:.1f}, attack {attack_ms:.1f} ms, release {release_ms:.0f} ms, "
        f"look-ahead {look_ahead_ms:.1f} ms, make-up {makeup_db:.1f} dB"
    )
    if draw.uniform(0, 1) >= _SATURATION_SHARE:
        return Device(text, squash)
    drive_db, asymmetry = draw.uniform(0, 8) - loud, draw.uniform(0, 0.4)

    def both(audio: np.ndarray) -> np.ndarray:
        return saturate(squash(audio), drive_db, asymmetry)

    return Device(f"{text}, saturation {drive_db:.1f} dB", both)


def _noisegate(signal: np.ndarray, sample_rate: int, draw: RandomSettings) -> Device:
    """A threshold between the quiet and the loud parts."""
    quiet, loud = np.quantile(_levels_db(signal, sample_rate), (0.1, 0.9))
    threshold_db = float(quiet + draw.uniform(0.25, 0.7) * (loud - quiet))
    range_db, attack_ms, hold_ms = draw.uniform(12, 60), draw.logarithmic(0.2, 5), draw.uniform(0, 60)
    release_ms = draw.logarithmic(20, 300)
    closing = partial(
        gate,
        sample_rate=sample_rate,
        threshold_db=threshold_db,
        range_db=range_db,
        attack_ms=attack_ms,
        hold_ms=hold_ms,
        release_ms=release_ms,
        look_ahead_ms=draw.uniform(0, 2),
    )
    text = (
        f"threshold {threshold_db:.1f} dB, range {range_db:.0f} dB, hold {hold_ms:.0f} ms, release {release_ms:.0f} ms"
    )
    return Device(text, closing)


def _gain_panning(signal: np.ndarray, sample_rate: int, draw: RandomSettings) -> Device:
    return panned(draw.uniform(-9, -2) if draw.uniform(0, 1) < 0.6 else draw.uniform(1, 5), draw)


def panned(gain_db: float, draw: RandomSettings) -> Device:
    """A gain of so many dB, at a drawn position."""
    position = draw.sign() * draw.uniform(0.1, 0.9) if draw.uniform(0, 1) < 0.7 else 0.0
    return Device(f"{gain_db:+.1f} dB, position {position:+.2f}", partial(pan, gain_db=gain_db, position=position))


def _stereo_imager(signal: np.ndarray, sample_rate: int, draw: RandomSettings) -> Device:
    width = draw.uniform(0.1, 0.6) if draw.uniform(0, 1) < 0.5 else draw.uniform(1.4, 2.0)
    return Device(f"width {width:.2f}", partial(widen, width=width))


def _delay(signal: np.ndarray, sample_rate: int, draw: RandomSettings) -> Device:
    """Echoes of 90 to 700 ms, mixed in 4 to 16 dB below the dry sound."""
    seconds, feedback = draw.logarithmic(0.09, 0.7), draw.uniform(0.1, 0.65)
    damping_hz = draw.logarithmic(1500, 10000) if draw.uniform(0, 1) < 0.7 else None
    ping_pong, level_db = draw.uniform(0, 1) < _PING_PONG_SHARE, draw.uniform(-16, -4)
    echo = partial(
        feedback_delay,
        sample_rate=sample_rate,
        seconds=seconds,
        feedback=feedback,
        damping_hz=damping_hz,
        ping_pong=ping_pong,
    )
    damping = "" if damping_hz is None else f", damped from {damping_hz:.0f} Hz"
    sides = ", from side to side" if ping_pong else ""
    text = f"{1000 * seconds:.1f} ms, feedback {feedback:.2f}{damping}{sides}, {level_db:.1f} dB"
    return Device(text, partial(_sent, effect=echo, level=10 ** (level_db / 20)))


def _reverb(signal: np.ndarray, sample_rate: int, draw: RandomSettings) -> Device:
    """A room or hall of 0.3 to 3 seconds, mixed in 3 to 17 dB below the dry sound."""
    t60, size, pre_delay_ms = draw.logarithmic(0.3, 3), draw.uniform(0.5, 1.6), draw.uniform(0, 50)
    high_t60, level_db = t60 * draw.uniform(0.2, 0.8), draw.uniform(-17, -3)
    room = partial(
        reverberate, sample_rate=sample_rate, t60=t60, high_t60=high_t60, size=size, pre_delay_ms=pre_delay_ms
    )
    text = (
        f"T60 {t60:.2f} s, high {high_t60:.2f} s, size {size:.2f}, pre-delay {pre_delay_ms:.0f} ms, {level_db:.1f} dB"
    )
    return Device(text, partial(_sent, effect=room, level=10 ** (level_db / 20)))


DEVICES: Mapping[str, Callable[[np.ndarray, int, RandomSettings], Device]] = {
    "equalizer": _equalizer,
    "compressor": _compressor,
    "noisegate": _noisegate,
    "stereo_imager": _stereo_imager,
    "gain_panning": _gain_panning,
    "delay": _delay,
    "reverb": _reverb,
}
"""Processor type -> draws an effect that does the same job."""


def _sent(audio: np.ndarray, effect: Callable[[np.ndarray], np.ndarray], level: float) -> np.ndarray:
    return audio + level * effect(audio)


def _decibels(amplitude: float) -> float:
    return 20 * math.log10(max(amplitude, 1e-6))


def _levels_db(signal: np.ndarray, sample_rate: int) -> np.ndarray:
    """Peaks of frames of 10 ms, in dBFS, of those above -80 dBFS; one of -80 where there are none."""
    frame = max(1, round(_FRAME_SECONDS * sample_rate))
    peaks = np.abs(signal[:, : signal.shape[1] // frame * frame]).max(axis=0).reshape(-1, frame).max(axis=1)
    levels = 20 * np.log10(np.maximum(peaks, 1e-4))
    audible = levels[levels > -80]
    return audible if audible.size else np.array([-80.0])
