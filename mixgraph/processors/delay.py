"""Multitap delay with learnt delays (paper B.7)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.dsp.convolution import cross_spectrum
from mixgraph.dsp.fir import hann, normalize_energy, zero_phase_fir
from mixgraph.dsp.impulses import delayed_filters, hard_delay, unit_gradient
from mixgraph.processors.base import Processor, check_rate
from mixgraph.processors.other_rates import REACH, SettingsAtRate, filters_at_rate
from mixgraph.processors.parameter import Parameter, Parameters, chosen, decibels
from mixgraph.processors.readings import (
    Compared,
    NodeValues,
    Reading,
    Taps,
    is_wet_only,
    single,
    to_db,
    wet_against_dry,
)
from mixgraph.processors.registry import register
from mixgraph.processors.usage import RandomSettings, Usage

_SEGMENTS = 20
_CHANNELS = 2
_HIGH_PASS_HZ, _DIRECT_SECONDS, _PEAK_SECONDS = 60.0, 0.03, 0.001
_SPECTRUM_FLOOR, _SILENCE = 1e-9, 1e-30
_ECHO_FLOOR_DB = -36.0  # level of the taps that an engineer does not use
_RADIUS, _LOWEST_DB = 0.9, -24.0  # radius, and lowest level, of taps that are estimated from a mix


@register
class MultitapDelay(Processor):
    """Two seconds of echoes, wet only: one filtered tap every 100 ms in each channel (paper eq. 24-26).

    By default it is normalised to unit energy, mean of both channels. The gradient of the delays is a surrogate's,
    scaled to modulus 1 for every tap, so that they move at the same speed however quiet the effect is.

    The trained coordinate `delay_z` is a point p of the plane; the paper's z = p tanh(|p|) / |p| is in the unit disk.

    Args:
        sample_rate: sample rate of the audio, in Hz.
        window: window of the tap filters, see `Equalizer`.
        truncate: cut each tap's filter at the borders of its segment (as published).
        radius_weight: strength of the pull of z to the unit circle: 0.01 in the paper, 1 in the published code.
        found_at: the rate at which the settings were found, where it is another one: delays are those, to parts of a
            sample, and so are levels up to what was heard there; above it each tap is flat.
        normalize: scale the response to unit energy, as published. Eq. 24 does not: raising all log magnitudes by 1
            multiplies the wet sound by e. A search then starts at unit energy.
        gradient: the coordinate whose gradient eq. 26 modifies. `"plane"`, as published: the data term has modulus 1 at
            p, and the second one is the gradient of radius_weight / 2 (1 - |z|)^2 by p, radius_weight (|z| - 1)
            sech^2(|p|). `"disk"`: both terms are those of eq. 26 at z, and move p as they stand.
    """

    name = "delay"
    letter = "d"
    type_id = 4
    linear = True
    gain_staged = True
    late = True
    label = "multitap delay"
    truth_names = ("delay", "Delay")
    usage = Usage(track_rate=0.15, subgroup_rate=0.1, needs="echoes", on_subgroups=False)

    def __init__(
        self,
        sample_rate: int = 30000,
        window: str = "symmetric",
        truncate: bool = False,
        radius_weight: float = 0.01,
        found_at: int | None = None,
        normalize: bool = True,
        gradient: Literal["plane", "disk"] = "plane",
    ) -> None:
        super().__init__(sample_rate)
        self.normalize = normalize
        self.in_disk = chosen("gradient", gradient, ("plane", "disk")) == "disk"
        self.found_at = check_rate("found_at", found_at or sample_rate)
        self.segment = 2 * round(0.05 * self.found_at)
        self.num_bins = round(20 * self.found_at / 30000)
        self.reach = 0
        if self.found_at != sample_rate:
            self.reach = math.ceil((self.num_bins + REACH) * sample_rate / self.found_at)
        self.truncate = truncate
        self.radius_weight = radius_weight
        self.window: Tensor
        taps = hann(2 * self.num_bins - 1, periodic=chosen("window", window, ("symmetric", "periodic")) == "periodic")
        self.register_buffer("window", taps.float(), persistent=False)

    @property
    def specification(self) -> dict[str, Parameter]:
        taps = _CHANNELS * _SEGMENTS
        ms = 1000 / self.found_at
        start = torch.arange(taps).remainder(_SEGMENTS) * self.segment

        def to_ms(z: Tensor) -> Tensor:
            """Converts complex numbers to the delay from the dry sound in ms, and the radius."""
            delay = (hard_delay(z, self.segment) + start.to(z.device)) * ms
            return torch.stack((delay.to(z.dtype), torch.tanh(z.norm(dim=-1))), dim=-1)

        def from_ms(value: Tensor) -> Tensor:
            samples = value[..., 0] / ms - start.to(value.device)
            radius = torch.atanh(value[..., 1].clamp(max=1 - 1e-6))
            angle = -2 * math.pi * samples / self.segment
            return torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), dim=-1)

        return {
            "delay_z": Parameter(
                (taps, 2),
                "ms, radius",
                0,
                2000,
                to_ms,
                from_ms,
                "delay of each tap, left first",
                positions=True,
                left_right=True,
            ),
            "log_fir_magnitude": replace(
                decibels((taps, self.num_bins), -24, 24, "magnitude of each tap's filter"),
                left_right=True,
                common_level="energy" if self.normalize else "",
                mean=0.0 if self.normalize else -math.log(_SEGMENTS) / 2,
            ),
        }

    def initial_values_from_mix(self, source: Tensor, mix: Tensor) -> dict[str, Tensor]:
        """Sets delays to the echoes of the source in the mix: each segment's largest peak of the whitened correlation.

        Whitened by both spectra (PHAT). A peak is as large as all within 1 ms. The levels of the taps are as high as
        the correlations. What comes back within 30 ms is taken for direct sound.
        """
        span = _SEGMENTS * self.segment
        cross, source_power, mix_power, n_fft = cross_spectrum(source, mix, span)
        product = source_power * mix_power
        weights = (product + _SPECTRUM_FLOOR * product.amax(dim=-1, keepdim=True) + _SILENCE).rsqrt()
        weights[:, : round(_HIGH_PASS_HZ * n_fft / self.sample_rate)] = 0
        echoes = torch.fft.irfft(cross * weights, n=n_fft)[:, 1 : span + 1].flip(-1).abs()  # at lags 0, 1, ...
        echoes[:, : round(_DIRECT_SECONDS * self.sample_rate)] = 0
        # The shoulder of a peak beyond a segment's border is no echo of its own.
        reach = round(_PEAK_SECONDS * self.sample_rate)
        around = F.max_pool1d(echoes.unsqueeze(0), 2 * reach + 1, 1, reach).squeeze(0)
        echoes = echoes.where(echoes == around, 0)
        peaks, inside = echoes.unflatten(-1, (_SEGMENTS, self.segment)).max(dim=-1)
        first = torch.arange(_SEGMENTS, device=mix.device) * self.segment
        ms = (first + inside) * (1000 / self.sample_rate)
        delays = torch.stack((ms.flatten(), torch.full_like(ms.flatten(), _RADIUS)), dim=-1)
        declared = self.specification
        level = (peaks / peaks.amax().clamp(min=_SILENCE)).clamp(min=10 ** (_LOWEST_DB / 20)).log()
        if not self.normalize:
            level = level - torch.log(level.mul(2).exp().sum() / _CHANNELS) / 2  # unit energy
        return {
            "delay_z": declared["delay_z"].from_unit(delays).float(),
            "log_fir_magnitude": level.flatten().unsqueeze(-1).expand(-1, self.num_bins).float().clone(),
        }

    @property
    def before(self) -> int:
        return self.reach

    @property
    def after(self) -> int:
        if self.found_at == self.sample_rate:
            return _SEGMENTS * self.segment - 1
        return math.ceil(_SEGMENTS * self.segment * self.sample_rate / self.found_at) + self.reach

    def at_sample_rate(self, parameters: Parameters, sample_rate: int) -> SettingsAtRate:
        return SettingsAtRate(parameters, {"found_at": self.found_at})

    def impulse_response(self, parameters: Parameters) -> Tensor:
        point = parameters["delay_z"]
        if self.in_disk:
            z = unit_gradient(point + (_to_disk(point) - point).detach())
        else:
            z = _to_disk(unit_gradient(point))
        log_magnitude = parameters["log_fir_magnitude"]
        filters = zero_phase_fir(log_magnitude, self.window.to(log_magnitude.dtype))
        nodes = z.shape[0]
        rows = nodes * _CHANNELS
        response = delayed_filters(
            z.reshape(rows, _SEGMENTS, 2), filters.view(rows, _SEGMENTS, -1), self.segment, self.truncate
        )
        response = response.view(nodes, _CHANNELS, -1)
        if self.found_at == self.sample_rate:
            return normalize_energy(response) if self.normalize else response
        moved = self._at_other_rate(hard_delay(z, self.segment), filters).view(nodes, _CHANNELS, -1)
        if not self.normalize:
            return moved
        return moved * torch.rsqrt(response.square().sum(dim=(1, 2), keepdim=True) / _CHANNELS + 1e-12)

    def _at_other_rate(self, delays: Tensor, filters: Tensor) -> Tensor:
        """Returns the response of taps at this rate, see `filters_at_rate`, not normalised.

        Args:
            delays: of the taps in their segments, in samples of the rate that they were found at, (nodes, taps).
            filters: of the taps, zero-phase, (nodes, taps, 2 num_bins - 1).

        Returns:
            (nodes * channels, before + 1 + after).
        """
        nodes, ratio = filters.shape[0], self.sample_rate / self.found_at
        first = torch.arange(_SEGMENTS, device=filters.device).repeat(_CHANNELS) * self.segment
        place = first + delays
        taps = place.unsqueeze(-1) + torch.arange(1 - self.num_bins, self.num_bins, device=filters.device)
        low, high = (
            (first, first + self.segment) if self.truncate else (0 * first, 0 * first + _SEGMENTS * self.segment)
        )
        kept = filters * ((taps >= low.unsqueeze(-1)) & (taps < high.unsqueeze(-1)))
        centre = torch.round(place * ratio)
        shift = (place * ratio - centre).flatten()
        rows = kept.flatten(0, 1), self.num_bins - 1, self.found_at, self.sample_rate, self.reach
        moved = filters_at_rate(*rows, shift).view(nodes * _CHANNELS, -1)
        index = centre.long().unsqueeze(-1) + torch.arange(2 * self.reach + 1, device=filters.device)
        response = filters.new_zeros(nodes * _CHANNELS, self.before + 1 + self.after)
        return response.scatter_add_(1, index.view(nodes * _CHANNELS, -1), moved)

    def parameter_penalty(self, parameters: Parameters) -> Tensor:
        """The pull of z to the unit circle, whose gradient is the second term of paper eq. 26.

        At z it is radius_weight / 2 times the sum of (1 - |z|)^2, whose gradient by p, the trained coordinate, has the
        factor sech^2(|p|) more. With `gradient="disk"` it is radius_weight times the sum of ln(1 + exp(-2 |p|)), whose
        gradient by p is radius_weight (tanh(|p|) - 1) = radius_weight (|z| - 1) outwards, as eq. 26 says.
        """
        modulus = parameters["delay_z"].norm(dim=-1)
        if self.in_disk:
            return self.radius_weight * F.softplus(-2 * modulus).sum()
        return self.radius_weight / 2 * (1 - torch.tanh(modulus)).square().sum()

    def tap_levels_db(self, parameters: Parameters, weight: float) -> Tensor:
        """Returns the level of each tap of one node, (taps,): relative to the output, or to the dry sound if any."""
        log_magnitude = parameters["log_fir_magnitude"][0]
        energy = zero_phase_fir(log_magnitude, self.window.to(log_magnitude)).square().sum(dim=-1)
        # Where responses are normalised, the mean of both channels has unit energy.
        share = torch.sqrt(energy / (energy.sum() / 2) if self.normalize else energy)
        return to_db(share * wet_against_dry(weight))

    def readings(self, node: NodeValues) -> tuple[Reading, ...]:
        """Reads the taps, those of the left channel first."""
        return (self._taps(node),)

    def quantities(self, node: NodeValues) -> tuple[Compared, ...]:
        """Returns the taps and the dry/wet weight."""
        return self._taps(node), single("weight", "1", node.weight)

    def _taps(self, node: NodeValues) -> Taps:
        delays = self.specification["delay_z"].to_unit(node.parameters["delay_z"])[0, :, 0].tolist()
        levels = self.tap_levels_db(node.parameters, node.weight).tolist()
        channels = ("left",) * _SEGMENTS + ("right",) * _SEGMENTS
        return Taps(channels, tuple(delays), tuple(levels), is_wet_only(node.weight))

    def engineer_settings(
        self, signal: Tensor, strength: float, draw: RandomSettings
    ) -> tuple[dict[str, Tensor], float]:
        """The first echoes are the loud ones: on each side two of the segments between 0.1 and 0.8 seconds."""
        taps = _CHANNELS * _SEGMENTS
        segment_ms = 100.0
        inside = torch.tensor([draw.uniform(0.1, 0.9) for _ in range(taps)], dtype=torch.float64)
        first = torch.arange(taps, dtype=torch.float64).remainder(_SEGMENTS)
        levels = torch.full((taps, self.num_bins), _ECHO_FLOOR_DB, dtype=torch.float64)
        damping = torch.linspace(0, 1, self.num_bins, dtype=torch.float64)
        for side in range(_CHANNELS):
            for tap in draw.choose(2, of=7):
                levels[side * _SEGMENTS + 1 + tap] = draw.uniform(-4, 0) - draw.uniform(0, 8) * damping
        units = {
            "delay_z": torch.stack(((first + inside) * segment_ms, torch.full((taps,), 0.9)), dim=-1),
            "log_fir_magnitude": levels,
        }
        if not self.normalize:
            levels -= 10 * torch.log10((10 ** (levels / 10)).mean(dim=-1).sum() / _CHANNELS)  # about unit energy
        return units, draw.effect_weight(strength)


def _to_disk(point: Tensor) -> Tensor:
    """Returns z = p tanh(|p|) / |p| of points of the plane, (..., 2): real and imaginary parts."""
    modulus = point.norm(dim=-1, keepdim=True)
    return point * (torch.tanh(modulus) / (modulus + 1e-7))
