"""The settings of the estimator as dataclasses, with all defaults; YAML files hold only what differs from them."""

from __future__ import annotations

from dataclasses import dataclass, field

from mixgraph.graph import read_chain
from mixgraph.processors import types_from_letters

MOST_LAYERS = 100


@dataclass(frozen=True)
class EstimatorTask:
    """The audio that an estimator takes and the console that it predicts on; features, labels and network depend on it.

    Attributes:
        sample_rate: the sample rate in Hz.
        segment_seconds: the length of audio that the network takes; a longer song gives several segments.
        track_chain, subgroup_chain: the letters of the console's processors; splitters are not allowed.
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
    """The size of the network.

    Attributes:
        width: the size of embeddings.
        num_layers: the number of rounds of messages over the console.
        dropout: the dropout in the layers' updates and in the heads.
        questions: whether the network also answers without the song's own mix: with a reference, or with nothing. It
            is trained to by `data.reference_share` and `data.nothing_share`.
    """

    width: int = 128
    num_layers: int = 3
    dropout: float = 0.3
    questions: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.num_layers <= MOST_LAYERS:
            raise ValueError(f"num_layers: 0 to {MOST_LAYERS}, got {self.num_layers}")


@dataclass
class EstimatorLosses:
    """The weights of the losses.

    Attributes:
        keep: weight of the binary cross-entropy of keeping, over all processors of the console.
        weight: weight of the smooth L1 loss of the standardised dry/wet logit, over the true graph's processors.
        parameters: weight of the smooth L1 loss of the standardised code and the cross-entropy of delays.
        types: processor type -> factor on its parameters' loss; 1 for types that are not listed.
        match: weight of the match loss of the mix, rendered with weights keep x dry/wet; 0 renders nothing.
            Needs `data.clip_seconds`.
    """

    keep: float = 1.0
    weight: float = 0.5
    parameters: float = 1.0
    types: dict[str, float] = field(default_factory=dict)
    match: float = 0.0


@dataclass
class EstimatorOptimizer:
    """The settings of AdamW, with a linear warm-up and a cosine decay to zero.

    Attributes:
        learning_rate: the peak of the learning rate.
        weight_decay: decoupled weight decay.
        warm_up_steps: the number of steps until the peak.
        clip_norm: the norm to which larger gradients are clipped.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warm_up_steps: int = 100
    clip_norm: float = 1.0
