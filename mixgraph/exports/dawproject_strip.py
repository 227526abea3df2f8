"""A chain of a found graph as the strip of a DAWproject mixer channel: built-in devices, volume, pan, automation."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch

from mixgraph.exports.report import ExportReport
from mixgraph.processors.dynamics import ENERGY_FLOOR, DynamicRangeProcessor
from mixgraph.processors.readings import (
    Automation,
    Bands,
    Gains,
    Response,
    blend,
    frequency_response,
    is_wet_only,
    to_db,
)
from mixgraph.report.bands import fit_bands, fit_hertz
from mixgraph.report.settings import NodeSettings

MOST_VOLUME = 2.0
"""The fader's end in DAWs that read the format, +6 dB."""
_LEAST_GAIN = 1e-6  # -120 dB: what is below counts as silence
_PAST_DB = 12.0  # how far past the threshold a compressor's dry and wet sound are told by one ratio
_FLOOR_DB = 10 * math.log10(ENERGY_FLOOR)
_BAND_TYPES = {"low shelf": "lowShelf", "bell": "bell", "high shelf": "highShelf"}
_PRINTED = "the format has no such device; it is in the printed stem"


@dataclass(frozen=True)
class EqBand:
    """A band of an equalizer: its type in the format, Hz, dB and Q."""

    type: str
    hertz: float
    gain_db: float
    q: float


@dataclass(frozen=True)
class EqualizerDevice:
    """The format's equalizer: bands in series, then a gain in dB."""

    name: str
    bands: tuple[EqBand, ...] = ()
    output_gain_db: float = 0.0


@dataclass(frozen=True)
class DynamicsDevice:
    """The format's compressor or noise gate.

    Attributes:
        name: what users see.
        tag: `Compressor` or `NoiseGate`.
        threshold_db: at the input of the device.
        amount: 100 (1 - 1 / R) percent of a ratio R, the unit in which the format's first users write it.
        attack_seconds, release_seconds: time constants.
        output_gain_db: make-up gain of a compressor.
        range_db: the most that a gate turns down; minus infinity where there is no bound.
    """

    name: str
    tag: str
    threshold_db: float
    amount: float
    attack_seconds: float
    release_seconds: float
    output_gain_db: float = 0.0
    range_db: float = -math.inf


Device = EqualizerDevice | DynamicsDevice


@dataclass(frozen=True)
class Strip:
    """What a mixer channel does: devices, then volume and balance.

    Attributes:
        devices: in the signal's order.
        left, right: the channels' gains at the fader.
        automation: the fader's moves in dB on top of the gains, (seconds, dB) pairs; none where it stays.
        is_whole: whether every processor of the chain is in the strip, exactly or nearly.
    """

    devices: tuple[Device, ...] = ()
    left: float = 1.0
    right: float = 1.0
    automation: tuple[tuple[float, float], ...] = ()
    is_whole: bool = True

    @property
    def volume(self) -> float:
        """The gain of the louder channel."""
        return max(self.left, self.right)

    @property
    def pan(self) -> float:
        """The balance: 0 left, 0.5 in the middle, 1 right. The louder channel keeps its level (a linear balance)."""
        if self.volume < _LEAST_GAIN:
            return 0.5
        return 0.5 * self.right / self.left if self.left >= self.right else 1 - 0.5 * self.left / self.right


def read_strip(settings: Sequence[NodeSettings], parted: Collection[int], report: ExportReport) -> Strip:
    """Reads the strip of a chain, and reports what is approximated and left out.

    Gains go to the fader, wherever they are in the chain: thresholds of later devices are moved instead, which is the
    same for a gain that both channels have.

    Args:
        settings: the processors of the chain in the signal's order, without sends.
        parted: nodes of the graph between a splitter and where its outlets meet.
        report: takes what is approximated and left out.
    """
    strip = Strip()
    for node in settings:
        place = f"{node.place}: {node.name}"
        kinds = {type(reading): reading for reading in node.readings}
        processor = node.processor
        if node.node in parted or processor.inlets > 1 or processor.outlets > 1:
            why = "a mixer channel has no parallel paths and no key" if processor.inlets == 1 else "no device has a key"
            report.left_out(place, f"{why}; it is in the printed stem")
            strip = replace(strip, is_whole=False)
        elif isinstance(processor, DynamicRangeProcessor):
            strip = _with_dynamics(strip, node, processor, place, report)
        elif isinstance(gains := kinds.get(Gains), Gains) and set(gains.names) <= {"gain", "left", "right"}:
            strip = _with_gains(strip, gains, place, report)
        elif isinstance(moves := kinds.get(Automation), Automation) and not strip.automation:
            points = zip(moves.seconds.tolist(), moves.gains_db.tolist(), strict=True)
            strip = replace(strip, automation=tuple(points))
            report.approximated(place, "as automation of the volume, in lines that are straight in amplitude, not dB")
        elif Response in kinds and len(node.processor.impulse_response(node.values.parameters)[0]) == 1:
            strip = _with_equalizer(strip, node, kinds.get(Bands), place, report)
        else:
            report.left_out(place, _PRINTED)
            strip = replace(strip, is_whole=False)
    return _within_fader(strip)


def _with_gains(strip: Strip, gains: Gains, place: str, report: ExportReport) -> Strip:
    left_db, right_db = gains.levels_db if len(gains.levels_db) == 2 else gains.levels_db * 2
    if abs(left_db - right_db) > 0.01:
        report.approximated(
            place,
            f"left {left_db:+.2f} dB, right {right_db:+.2f} dB as a volume and a linear balance; a DAW that pans by "
            "another law differs",
        )
    return replace(strip, left=strip.left * 10 ** (left_db / 20), right=strip.right * 10 ** (right_db / 20))


def _with_equalizer(strip: Strip, node: NodeSettings, bands: object, place: str, report: ExportReport) -> Strip:
    """Adds an equalizer: with the bands that were found, or with bands fitted to its curve, dry sound included."""
    if isinstance(bands, Bands) and is_wet_only(node.values.weight):
        types = ("lowShelf", *["bell"] * (len(bands.hertz) - 2), "highShelf")
        settings = zip(types, bands.hertz, bands.gains_db, bands.q, strict=True)
        device = EqualizerDevice(node.name, tuple(EqBand(*band) for band in settings))
        report.approximated(place, "by the same bands; DAWs differ in what their shelves call Q")
        return replace(strip, devices=(*strip.devices, device))
    processor, rate = node.processor, node.processor.sample_rate
    wet = frequency_response(processor, node.values.parameters, torch.from_numpy(fit_hertz(rate)))[0]
    fit = fit_bands(to_db(blend(processor, wet, node.values.weight)).numpy(), rate)
    fitted = tuple(EqBand(_BAND_TYPES[band.kind], band.hertz, band.gain_db, band.q) for band in fit.bands)
    report.approximated(
        place,
        f"by {len(fitted)} bands with an error of {fit.rms_error_db:.2f} dB (root mean square), at most "
        f"{fit.third_octave_error_db:.2f} dB in the mean of a third of an octave; bands turn the phase",
    )
    return replace(strip, devices=(*strip.devices, EqualizerDevice(node.name, fitted, fit.gain_db)))


def _with_dynamics(
    strip: Strip, node: NodeSettings, processor: DynamicRangeProcessor, place: str, report: ExportReport
) -> Strip:
    """Adds a compressor or a gate; its threshold is lower by the gain that has been moved behind it."""
    numbers, weight = node.numbers(), node.values.weight
    is_gate = processor.direction < 0
    threshold, ratio = numbers["threshold_db"], numbers["ratio"]
    if threshold is None and is_gate:
        return strip  # it never acts
    if is_gate and ratio is not None and ratio < 1:
        report.left_out(place, "it turns up what is below its threshold, which no gate does; it is in the printed stem")
        return replace(strip, is_whole=False)
    if threshold is None:
        threshold = _FLOOR_DB + node.values.offset_db
    moved = 10 * math.log10(max((strip.left**2 + strip.right**2) / 2, _LEAST_GAIN**2))
    attack, release = (
        numbers[key if key in numbers else "time_constant_ms"] / 1000 for key in ("attack_ms", "release_ms")
    )
    knee, words = numbers["knee_db"], "noise gate" if is_gate else "compressor"
    if is_gate:
        amount, lowest = _amount(ratio), decibels(1 - weight) if weight < 1 else -math.inf
        device = DynamicsDevice(node.name, "NoiseGate", threshold - moved, amount, attack, release, range_db=lowest)
        wet = "" if is_wet_only(weight) else f", the dry sound as a range of {lowest:.1f} dB"
    else:
        amount = _amount(ratio)
        fall = decibels(1 - weight + weight * 10 ** (-_PAST_DB * amount / 2000))
        amount = 100 * min(1.0, max(0.0, -fall / _PAST_DB))
        device = DynamicsDevice(
            node.name,
            "Compressor",
            threshold - moved,
            amount,
            attack,
            release,
            output_gain_db=numbers.get("make_up_db", 0.0),
        )
        wet = "" if is_wet_only(weight) else f", with the dry sound at {_PAST_DB:g} dB past the threshold"
    report.approximated(
        place,
        f"as a {words} of ratio {_ratio_text(amount)}{wet}; without the knee of {knee:.1f} dB, and with the DAW's "
        "detector in place of a smoothed energy",
    )
    if abs(decibels(strip.left) - decibels(strip.right)) > 0.01 or strip.automation:
        report.approximated(place, "the panning or the fader before it is behind it here")
    return replace(strip, devices=(*strip.devices, device))


def _within_fader(strip: Strip) -> Strip:
    """Puts what the fader cannot reach into the output gain of an equalizer without bands."""
    excess = max([strip.volume, *(strip.volume * 10 ** (db / 20) for _, db in strip.automation)]) / MOST_VOLUME
    if excess <= 1:
        return strip
    gain = EqualizerDevice("gain", output_gain_db=decibels(excess))
    return replace(strip, devices=(*strip.devices, gain), left=strip.left / excess, right=strip.right / excess)


def _amount(ratio: float | None) -> float:
    """Returns 100 (1 - 1 / R) percent within 0 to 100; a ratio of None is infinite, a negative one counts as such."""
    return 100.0 if ratio is None or ratio < 0 else 100 * max(0.0, 1 - 1 / max(ratio, 1.0))


def _ratio_text(amount: float) -> str:
    return "∞:1" if amount >= 99.5 else f"{1 / (1 - amount / 100):.2f}:1"


def decibels(gain: float) -> float:
    """Returns 20 log10 of a gain, at least -120 dB."""
    return 20 * math.log10(max(gain, _LEAST_GAIN))
