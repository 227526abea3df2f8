"""What a processor is: declared parameters, supports, how a signal goes through it, and how it describes itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from mixgraph.dsp.constants import made_once
from mixgraph.dsp.convolution import convolve
from mixgraph.dsp.fourier import circular_response
from mixgraph.processors.other_rates import SettingsAtRate
from mixgraph.processors.parameter import Parameter, Parameters
from mixgraph.processors.readings import (
    Compared,
    NodeValues,
    Quantity,
    Reading,
    declared_numbers,
    gains_reading,
    response_reading,
    single,
)
from mixgraph.processors.usage import RandomSettings, Usage

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = (
    1000,
    768_000,
)  # Hz; impulse responses are in seconds, so that their memory grows with the rate


class Processor(nn.Module):
    """One type of audio processor; all nodes of the type are processed as a batch.

    A subclass is a file of its own that calls `register`, and declares what the renderer needs: `specification`,
    `linear` and, for linear processors, the supports `before` and `after`. Constants are buffers; trained values
    are passed in, so that one object serves every graph. Input and output are stereo: (nodes, 2, time). Reports,
    comparisons, estimators and synthetic songs take what they need to know of a type from it: `readings`,
    `quantities`, `engineer_settings`, `usage` and the declared parameters.

    Attributes:
        name: names the type in graphs, options and files.
        letter: stands for the type in chains and drawings; small letters belong to this package, and `i`, `m` and `o`
            are input, mix and output in drawings.
        type_id: number of the type in `graph.to_pyg`, from 3 (input, mix and output come first), never changed once
            given: numbers below 1000 belong to this package. None where such graphs are not needed.
        linear: linear and time-invariant: the renderer then only asks for `impulse_response` (or `response`).
        causal: a nonlinear processor must be causal, and carries `state` from block to block.
        identity: the trained coordinates at which the processor does nothing, or None where there are none.
        gain_staged: takes part in gain staging (paper eq. 5).
        channels: `"left_right"` or `"mid_side"`: in which the response of a linear processor is diagonal.
        keeps_mono: equal channels in, equal channels out, so that a mono signal can be processed as one row.
        cuts: the output is weight * wet, without a dry part, so that removing the processor cuts the connection;
            linear processors only.
        timed: its effect depends on the time in the song; for nonlinear processors only, which get the time by
            `state_at`.
        inlets: 2 for a nonlinear processor that listens to a key, see `process_keyed`.
        outlets: several for a linear processor that splits its input, see `outlet_response`. Where the dry/wet weight
            is 0, the first outlet has the input and the others nothing.
        outlet_names: the name of each outlet, for drawings.
        late: a linear processor whose wet sound is echoes or reverberation: what comes at once is the dry sound.
        capturable: its part of a training step never waits for the host, so that a CUDA graph can hold it.
        label: the type's name in words; where it is `""`, the name with spaces is shown.
        paper_type: the type of the paper that does the same job, `""` where it is this one or there is none: a
            truth.json that tells how a mix was made knows the paper's types.
        truth_names: names of this type in a truth.json (the record of how a song with a known mix was made).
        usage: the frequency and places of its use by engineers, for synthetic songs.
    """

    name: ClassVar[str]
    letter: ClassVar[str]
    type_id: ClassVar[int | None] = None
    linear: ClassVar[bool]
    gain_staged: ClassVar[bool] = False
    channels: ClassVar[str] = "left_right"
    keeps_mono: ClassVar[bool] = False
    cuts: ClassVar[bool] = False
    timed: ClassVar[bool] = False
    inlets: ClassVar[int] = 1
    outlets: ClassVar[int] = 1
    outlet_names: ClassVar[tuple[str, ...]] = ()
    identity: ClassVar[Mapping[str, float] | None] = None
    late: ClassVar[bool] = False
    capturable: bool = True
    label: ClassVar[str] = ""
    paper_type: ClassVar[str] = ""
    truth_names: ClassVar[tuple[str, ...]] = ()
    usage: ClassVar[Usage] = Usage()

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__()
        self.sample_rate = check_rate("sample_rate", sample_rate)

    @property
    def specification(self) -> dict[str, Parameter]:
        """The declarations of the parameters by name, in alphabetical order."""
        raise TypeError(f"{type(self).__name__} declares no specification")

    @property
    def before(self) -> int:
        """Samples of look-ahead: how far the response reaches before time zero."""
        return 0

    @property
    def after(self) -> int:
        """Samples that a linear response reaches after time zero."""
        return 0

    def sample_initial_values(
        self, num_nodes: int, generator: torch.Generator | None = None, spread: float = 0.01
    ) -> dict[str, Tensor]:
        """Draws initial values, N(mean, spread^2) in the trained coordinates; (num_nodes, *shape) each."""
        return {
            name: declared.mean + spread * torch.randn(num_nodes, *declared.shape, generator=generator)
            for name, declared in self.specification.items()
        }

    def initial_values_from_mix(self, source: Tensor, mix: Tensor) -> dict[str, Tensor]:
        """Estimates initial values of one node from the mix, in place of those drawn; most processors estimate none.

        Args:
            source: the dry signal that reaches the node, (2, L).
            mix: the whole mix, (2, L).

        Returns:
            name -> (*shape), in the trained coordinates.
        """
        return {}

    def values_for_gains(self, hertz: Tensor, gains: Tensor) -> tuple[dict[str, Tensor], float] | None:
        """Values and a dry/wet weight of one node that acts, dry sound included, nearly as the given gains.

        Args:
            hertz: (bands,), the frequencies of the gains, rising.
            gains: amplitudes, (2, bands): left and right, which a processor that keeps mono takes the mean of.

        Returns:
            name -> (*shape), in the trained coordinates, and the weight; None where a processor cannot act so.
        """
        return None

    def impulse_response(self, parameters: Parameters) -> Tensor:
        """The response of a linear processor, (nodes, 1 or 2, before + 1 + after); time zero at index `before`."""
        raise TypeError(f"{self.name} is not linear: it has no impulse response")

    def response(self, parameters: Parameters, n_fft: int) -> Tensor:
        """The spectrum of the impulse response: (nodes, 1 or 2, n_fft // 2 + 1), or a last axis of 1 if constant."""
        return self.spectrum(self.impulse_response(parameters), n_fft)

    def spectrum(self, impulse_response: Tensor, n_fft: int) -> Tensor:
        """Transforms the result of `impulse_response` to that of `response`."""
        if impulse_response.shape[-1] == 1:
            return impulse_response
        return circular_response(impulse_response, self.before, n_fft)

    def process(self, signal: Tensor, parameters: Parameters, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Computes the wet signal of a nonlinear processor.

        Args:
            signal: (nodes, 2, time); with `keeps_mono` also (nodes, 1, time), for two equal channels.
            parameters: name -> (nodes, *shape).
            state: the state that the call on the previous block returned; None at the start.

        Returns:
            The wet signal, of the shape of the signal, and the state after it, (nodes, ...).
        """
        raise TypeError(f"{self.name} is linear: it is applied through its response")

    def process_keyed(
        self, signal: Tensor, key: Tensor, parameters: Parameters, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Computes the wet signal of a nonlinear processor that listens to another signal (paper eq. 28).

        Args:
            signal: (nodes, 2, time); with `keeps_mono` also (nodes, 1, time), for two equal channels.
            key: the signal that controls the processor, (nodes, 1 or 2, time).
            parameters: name -> (nodes, *shape).
            state: the state that the call on the previous block returned; None at the start.

        Returns:
            The wet signal and the state, as `process` does, which is the same with a silent key.
        """
        raise TypeError(f"{self.name} has one inlet: it listens to its own input")

    def outlet_response(self, parameters: Parameters, outlet: int) -> Tensor:
        """The impulse response from the input of a linear processor to an outlet, as `impulse_response`."""
        raise TypeError(f"{self.name} has one outlet: see impulse_response")

    def state_at(self, position: Tensor) -> Tensor | None:
        """The state of a timed processor before it has seen a signal, at positions in the song, (nodes,) in samples."""
        return None

    def prepare(self, parameters: Parameters, weights: Tensor, length: int) -> Parameters:
        """What a nonlinear processor can make of its settings for many nodes at once, which is cheaper.

        `dry_wet` and `process_keyed` are given what this returns in place of the parameters, or the parameters; `rest`
        is given the parameters.

        Args:
            parameters: name -> (nodes, *shape).
            weights: (nodes,), the dry/wet weights.
            length: samples of the signals: of a block, in renderings that go block by block.

        Returns:
            name -> (nodes, *shape); its rows are repeated where nodes process several clips.
        """
        return parameters

    def dry_wet(
        self, signal: Tensor, parameters: Parameters, weight: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(1 - weight) signal + weight wet (paper eq. 2) of a nonlinear processor.

        Args:
            signal: the dry signal, as in `process`, which gives the same result where the weight is 1.
            parameters: name -> (nodes, *shape), or what `prepare` made of them.
            weight: (nodes,), the dry/wet weights.
            state: the state that the call on the previous block returned; None at the start.

        Returns:
            The mix, of the shape of the signal, and the state after it, (nodes, ...).
        """
        wet, state = self.process(signal, parameters, state)
        return torch.lerp(signal, wet, weight.view(-1, 1, 1)), state

    def rest(self, parameters: Parameters, state: Tensor, samples: int) -> Tensor:
        """The state of a nonlinear processor after so many more samples of digital silence."""
        return self.process(state.new_zeros(state.shape[0], 2, samples), parameters, state)[1]

    def parameter_penalty(self, parameters: Parameters) -> Tensor | None:
        """A penalty that belongs to the parameters alone, summed over nodes; None for most processors."""
        return None

    def readings(self, node: NodeValues) -> tuple[Reading, ...]:
        """Describes the effect of a node's settings, in the order in which users read them.

        By default the response or the gains of a linear processor, the declared parameters of another.
        """
        if not self.linear or self.outlets > 1:
            return declared_numbers(self, node)
        return (response_reading(self, node) if self.after else gains_reading(self, node),)

    def quantities(self, node: NodeValues) -> tuple[Compared, ...]:
        """Returns the quantities whose errors are reported; by default every parameter in its unit, and the weight.

        Settings count as they act, with the dry sound, wherever a type says so.
        """
        declared = self.specification
        values = {name: parameter.to_unit(node.parameters[name])[0] for name, parameter in declared.items()}
        quantities = (Quantity(name, declared[name].unit, value) for name, value in values.items())
        return (*quantities, single("weight", "1", node.weight))

    def engineer_settings(
        self, signal: Tensor, strength: float, draw: RandomSettings
    ) -> tuple[dict[str, Tensor], float]:
        """Settings as an engineer chooses them for a signal.

        Args:
            signal: (2, L), what enters the node.
            strength: 1, or larger for stronger settings.
            draw: the source of random numbers.

        Returns:
            name -> (*shape), in the parameters' units; and the dry/wet weight.
        """
        raise ValueError(
            f"processor {self.name!r}: no rule how to set it. HINT: its class says so in `engineer_settings`"
        )

    def at_sample_rate(self, parameters: Parameters, sample_rate: int) -> SettingsAtRate:
        """The settings, and options of the constructor, with which the type sounds the same at another sample rate.

        Args:
            parameters: name -> (nodes, *shape), at this processor's rate.
            sample_rate: the other rate in Hz.

        Raises:
            ValueError: the class does not say how.
        """
        raise ValueError(
            f"processor {self.name!r}: its settings were found at {self.sample_rate} Hz, and it does not say how they "
            f"are taken to {sample_rate} Hz. HINT: its class says so in `at_sample_rate`, or render at the rate of the "
            "search (--sample-rate search)"
        )

    def forward(self, signal: Tensor, parameters: Parameters) -> Tensor:
        """The wet signal, cut to the length of the input: (nodes, 2, time) to (nodes, 2, time)."""
        if signal.dim() != 3 or signal.shape[1] != 2:
            raise ValueError(f"signal: (nodes, 2, time) is needed, got {tuple(signal.shape)}")
        if not self.linear:
            return self.process(signal, parameters)[0]
        impulse_response = self.impulse_response(parameters)
        wet = to_left_right(convolve(to_basis(signal, self.channels), impulse_response), self.channels)
        return wet[..., self.before : self.before + signal.shape[-1]]


def check_rate(name: str, sample_rate: int) -> int:
    """Returns a sample rate that processors can have.

    Raises:
        ValueError: it is too low or too high; the message begins with the name.
    """
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        allowed = f"at least {MIN_SAMPLE_RATE}, at most {MAX_SAMPLE_RATE}, got {sample_rate}"
        raise ValueError(f"{name}: samples per second, {allowed}")
    return sample_rate


def wet_gains(gains: Tensor) -> tuple[Tensor, float]:
    """Returns wet gains g and a weight w with 1 - w + w g = gains: w is 0.5, or larger where that is not enough.

    Gains count as at least -26 dB, and wet gains go down to -20 dB.
    """
    gains = gains.clamp(min=0.05)
    weight = max(0.5, float((1 - gains.min()) / 0.9))
    weight = min(weight, 0.97)
    return (1 - (1 - gains) / weight).clamp(min=0.1), weight


def to_basis(signal: Tensor, channels: str) -> Tensor:
    """Converts left/right to the channels in which a response is diagonal; mid = (l + r) / 2, side = (l - r) / 2."""
    if channels == "left_right":
        return signal
    left, right = signal.unbind(-2)
    return torch.stack(((left + right) / 2, (left - right) / 2), dim=-2)


def to_left_right(signal: Tensor, channels: str) -> Tensor:
    """The inverse of `to_basis`."""
    if channels == "left_right":
        return signal
    mid, side = signal.unbind(-2)
    return torch.stack((mid + side, mid - side), dim=-2)


def left_right_gains(gains: Tensor) -> Tensor:
    """Turns gains of mid and side, (..., 2, 1), into those from each channel to each, (..., 2, 2)."""
    to_mid_side, back = _rotations(gains.dtype, gains.device)
    return back @ (gains * to_mid_side)


@made_once(keep=64)
def _rotations(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    back = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=dtype, device=device)
    return back / 2, back
