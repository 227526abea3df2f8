"""The settings of a search as dataclasses, with all defaults; YAML files hold only what differs from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from mixgraph.losses import LOSS
from mixgraph.render import BLOCK, check_block


@dataclass(frozen=True)
class RegularizerSettings:
    """The weights and rules of gain staging (paper eq. 5), sparsity (paper eq. 8), octaves and group targets.

    Attributes:
        gain_staging_weight: alpha_g; 0 turns it off.
        gain_staging_types: the processor types that take part; None stands for all that can.
        gain_staging_channel: the channels whose energy is compared: `"mid"` (paper) or `"both"` (the published code).
        gain_staging_unit: `"norm"` compares ln of l2 norms (paper), `"energy"` twice that (the published code).
        sparsity_weight: alpha_p, the factor of the sum of the processors' weights.
        sparsity_ramp_steps: the steps of the pruning phase until the sparsity term has its full weight.
        sparsity_last_stage: whether the sparsity term also acts in the last stage, after which nothing is pruned
            (as in the paper).
        octave_weight: the weight of the distance of levels by octave (`mixgraph.losses.octaves`), which counts 31 Hz as
            much as 1 kHz; trials of pruning go by the match loss alone. 0 turns it off.
        group_weight: the weight of the match loss of each group of subgroups, where `data.group_targets` names stems.
    """

    gain_staging_weight: float = 1e-3
    gain_staging_types: list[str] | None = None
    gain_staging_channel: Literal["mid", "both"] = "mid"
    gain_staging_unit: Literal["norm", "energy"] = "norm"
    sparsity_weight: float = 1e-4
    sparsity_ramp_steps: int = 2000
    sparsity_last_stage: bool = True
    octave_weight: float = 0.0
    group_weight: float = 0.1


@dataclass(frozen=True)
class OptimizerSettings:
    """The settings of AdamW.

    Attributes:
        learning_rate: the rate of parameters and dry/wet logits.
        final_learning_rate: the rate falls to this value along half a cosine over the last stage of a search; None, or
            a value that is not below the rate, keeps the rate as it is.
        rate_factors: factors of the rates of some groups: `dry_wet` (the logits), processors' names and, before those,
            parameters' (`delay.delay_z`). Without one it is 6 for `dry_wet`, 0.01 for `delay.delay_z` where delays
            start from an estimate, and 1 for the others.
        betas: AdamW's decay rates of the moving averages of gradients and of their squares.
        weight_decay: decoupled weight decay.
        keep_moments: whether AdamW's moments are kept from stage to stage; the published code drops them each time.
    """

    learning_rate: float = 0.03
    final_learning_rate: float | None = 0.003
    rate_factors: dict[str, float] = field(default_factory=dict)
    betas: tuple[float, float] = (0.8, 0.97)
    weight_decay: float = 0.0
    keep_moments: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate_factors", {"dry_wet": 6.0, **self.rate_factors})
        rates = [self.learning_rate, *([] if self.final_learning_rate is None else [self.final_learning_rate])]
        if not all(0 <= rate < math.inf for rate in (*rates, *self.rate_factors.values())):
            raise ValueError(
                "learning_rate, final_learning_rate, rate_factors: numbers from 0 are needed, got "
                f"{self.learning_rate}, {self.final_learning_rate} and {self.rate_factors}"
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas: two numbers from 0 to below 1 are needed, got {self.betas}")

    def factors(self, others: Mapping[str, float]) -> dict[str, float]:
        """The factors of the groups that differ from 1: `rate_factors`, or `others` if there are none."""
        return {**others, **self.rate_factors}

    def rate(self, progress: float) -> float:
        """The learning rate after a share of the last stage, before the factors of the groups.

        >>> OptimizerSettings(learning_rate=3.0, final_learning_rate=1.0).rate(0.5)
        2.0
        """
        if self.final_learning_rate is None:
            return self.learning_rate
        fallen = (1 - math.cos(math.pi * min(progress, 1.0))) / 2
        return self.learning_rate - fallen * max(0.0, self.learning_rate - self.final_learning_rate)


@dataclass(frozen=True)
class RenderSettings:
    """How audio is rendered; the settings change time and memory, and results only by rounding.

    Attributes:
        renderer: `"fast"`, or `"reference"`, which trains through the slow oracle, for comparison.
        shortcuts: mono tracks are one channel until a node makes them stereo, and tracks that are silent in a clip or
            block are not rendered.
        schedule: which nodes are processed together, and when (paper appendix C.2): `"auto"` is the shorter of
            `"fixed"`, the chains' own order, and `"beam"`, a search; `"greedy"` takes the type with the most ready
            nodes, `"one_by_one"` one node at a time. `"fixed"` refuses graphs whose chains have no common order.
        block: length of a block in samples when whole songs are rendered. Trials, which render a chain at a time, take
            twice as many.
        capture: takes training steps as CUDA graphs, captured anew in every stage: for NVIDIA GPUs, where a step takes
            as long as launching its operations does. Silent tracks are rendered like all others then.
        trial_memory_gb: GB for outputs and responses that trials keep for each song; what does not fit is made
            again in every trial.
    """

    renderer: Literal["fast", "reference"] = "fast"
    shortcuts: bool = True
    schedule: Literal["auto", "fixed", "beam", "greedy", "one_by_one"] = "auto"
    block: int = BLOCK
    capture: bool = False
    trial_memory_gb: float = 2.0

    def __post_init__(self) -> None:
        check_block(self.block)
        if not self.trial_memory_gb >= 0:
            raise ValueError(f"trial_memory_gb: at least 0 GB, got {self.trial_memory_gb}")


ProcessorOptions = dict[str, dict[str, Any]]

REGULARIZERS, OPTIMIZER, RENDERING = RegularizerSettings(), OptimizerSettings(), RenderSettings()


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Fills in the defaults of settings that are null or left out, so that searches can be compared later.

    Args:
        config: all settings, as `python -m mixgraph fit --print_config` prints them.

    >>> with_defaults({"model": {"loss": None}})["model"]["loss"]["denominator"]
    'target'
    """
    has_class_path = "class_path" in config["model"]  # a class of the user's, whose arguments stand one level deeper
    model = dict(config["model"].get("init_args") or {} if has_class_path else config["model"])
    for name, default in (
        ("loss", LOSS),
        ("regularizers", REGULARIZERS),
        ("optimizer", OPTIMIZER),
        ("rendering", RENDERING),
    ):
        values = asdict(replace(default, **(model.get(name) or {})))
        model[name] = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    return {**config, "model": {**config["model"], "init_args": model} if has_class_path else model}
