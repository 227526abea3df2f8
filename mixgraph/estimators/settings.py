"""Settings of the estimator, as typed dataclasses: defaults live here, once; YAML files hold only what differs."""

from __future__ import annotations

from dataclasses import dataclass, field

from mixgraph.graph import read_chain
from mixgraph.processors import types_from_letters


@dataclass(frozen=True)
class EstimatorTask:
    """What is estimated from what; features, labels and the network all follow it.

    Attributes:
        sample_rate: in Hz.
        segment_seconds: of audio that is looked at at once; longer songs are looked at in several places.
        track_chain, subgroup_chain: processor letters of the console; without splitters.
    """

    sample_rate: int = 30000
    segment_seconds: float = 6.0
    track_chain: str = "ecnsgdr"
    subgroup_chain: str = "ecnsgdr"

    def __post_init__(self) -> None:
        if not self.segment_seconds >= 0.5:
            raise ValueError(f"segment_seconds: at least 0.5, got {self.segment_seconds}")
        for chain in (self.track_chain, self.subgroup_chain):
            if any(link.branches for link in read_chain(chain)):
                raise ValueError(f"track_chain, subgroup_chain: estimators know serial chains only, got {chain!r}")

    @property
    def types(self) -> tuple[str, ...]:
        """The processor types of the console, in the order of their letters' first use."""
        return tuple(dict.fromkeys(types_from_letters(self.track_chain + self.subgroup_chain)))

    @property
    def num_samples(self) -> int:
        return round(self.segment_seconds * self.sample_rate)


@dataclass
class NetworkSettings:
    """Size of the network.

    Attributes:
        width: of embeddings.
        num_layers: rounds of messages over the console.
        dropout: in updates and heads.
    """

    width: int = 128
    num_layers: int = 3
    dropout: float = 0.3


@dataclass
class EstimatorLosses:
    """Weights of the losses.

    Attributes:
        keep: binary cross-entropy over all processors of the console.
        weight: smooth l1 of the standardised dry/wet logit, over the processors of the true graph.
        parameters: smooth l1 of the standardised code, and cross-entropy of delays, over the same.
        types: processor type -> factor on its parameters' loss; 1 where not named.
        match: of the match loss of the mix that the console makes with weights keep x dry/wet; 0 renders nothing.
            Needs `data.clip_seconds`.
    """

    keep: float = 1.0
    weight: float = 0.5
    parameters: float = 1.0
    types: dict[str, float] = field(default_factory=dict)
    match: float = 0.0


@dataclass
class EstimatorOptimizer:
    """AdamW with a linear warm-up and a cosine to zero.

    Attributes:
        learning_rate: its peak.
        weight_decay: decoupled.
        warm_up_steps: until the peak.
        clip_norm: the highest norm of the gradient.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warm_up_steps: int = 100
    clip_norm: float = 1.0
