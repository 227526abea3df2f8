"""The LightningModule of the estimator: standardised answers, losses, the threshold, checkpoints."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

from mixgraph.checkpoints import kind_of, read_checkpoint
from mixgraph.estimators.coding import likely_position, make_codes, position_bins
from mixgraph.estimators.examples import label_key
from mixgraph.estimators.network import Answers, EstimatorNetwork
from mixgraph.estimators.questions import Question
from mixgraph.estimators.settings import EstimatorLosses, EstimatorOptimizer, EstimatorTask, NetworkSettings
from mixgraph.estimators.statistics import TrainingStatistics, weight_logit
from mixgraph.graph import batch as batch_graphs
from mixgraph.graph.values import GraphValues
from mixgraph.losses import make_match_loss
from mixgraph.processors import make_processors
from mixgraph.render import render

CHECKPOINT_KEY = "mixgraph_estimator"
VERSION = 1
"""To be raised whenever the network's inputs or answers change; files of other versions are refused."""
_RANGE = 4.0  # predicted codes are cut to this many spreads
_THRESHOLDS = 99
_FLAT = 0.005  # of F1; about half its standard error on a hundred songs


@dataclass(frozen=True, eq=False)
class ConsoleEstimate:
    """The estimate for the consoles of a batch, in the processors' coordinates.

    Attributes:
        keep: probability that each processor is in the graph, (processors,).
        weights: dry/wet weights, (processors,).
        parameters: type -> name -> (nodes of the type, *shape), in trained coordinates.
    """

    keep: Tensor
    weights: Tensor
    parameters: dict[str, dict[str, Tensor]]


class EstimatorModule(L.LightningModule):
    """Predicts from tracks and mix which processors of the console are used, and how they are set.

    Codes and dry/wet logits are predicted standardised by the training set's mean and spread, which are buffers, as is
    the threshold on the probability of keeping a processor: the one with the best F1 on the validation set.

    Args:
        task: the audio that the estimator takes and the console that it predicts on.
        network: the size of the network.
        losses: the weights of the losses.
        optimizer: the settings of AdamW.
    """

    def __init__(
        self,
        task: EstimatorTask | None = None,
        network: NetworkSettings | None = None,
        losses: EstimatorLosses | None = None,
        optimizer: EstimatorOptimizer | None = None,
    ) -> None:
        super().__init__()
        self.task = task or EstimatorTask()
        self.network_settings = network or NetworkSettings()
        self.losses = losses or EstimatorLosses()
        self.optimizer_settings = optimizer or EstimatorOptimizer()
        self.processors = make_processors(self.task.sample_rate)
        if unknown := set(self.losses.types) - set(self.task.types):
            raise ValueError(f"losses.types: some of {', '.join(self.task.types)}, got {', '.join(sorted(unknown))}")
        self.codes = make_codes(self.processors, self.task.types)
        self.code_modules = nn.ModuleDict(self.codes)  # constants move with the module
        settings = self.network_settings
        self.network = EstimatorNetwork(self.codes, **asdict(settings), sample_rate=self.task.sample_rate)
        self.match = make_match_loss(self.task.sample_rate) if self.losses.match > 0 else None
        for t, code in self.codes.items():
            self.register_buffer(f"mean_{t}", torch.zeros(code.size))
            self.register_buffer(f"spread_{t}", torch.ones(code.size))
            if settings.questions:
                self.register_buffer(f"residual_{t}", torch.ones(len(Question), code.size))
        self.weight_mean: Tensor
        self.weight_spread: Tensor
        self.threshold: Tensor
        self.register_buffer("weight_mean", torch.zeros(len(self.network.vocabulary)))
        self.register_buffer("weight_spread", torch.ones(len(self.network.vocabulary)))
        self.register_buffer("threshold", torch.tensor(0.5))
        self.other_thresholds: Tensor
        if settings.questions:
            self.register_buffer("other_thresholds", torch.full((len(Question) - 1,), 0.5))
        self.slots: dict[tuple[str, int], tuple[int, int]] = {}
        self.about: dict[str, Any] = {}  # facts on the training of weights that were read from a file
        self.initial_seed = torch.initial_seed()  # of `seed_everything`
        self._validation = {question: _Validation() for question in Question}

    @property
    def questions(self) -> tuple[Question, ...]:
        """The questions that it answers."""
        return tuple(Question) if self.network_settings.questions else (Question.OWN_MIX,)

    def threshold_of(self, question: Question) -> Tensor:
        """The threshold on the probability of keeping a processor with the best F1 for a question."""
        return self.threshold if question == Question.OWN_MIX else self.other_thresholds[question - 1]

    def standardise(self, statistics: TrainingStatistics) -> None:
        """Takes over a training set's means, spreads and keep rates (see `TrainingStatistics`)."""
        self.slots = dict(statistics.slots)
        self.network.cue_mean.copy_(statistics.cue_mean)
        self.network.cue_spread.copy_(statistics.cue_spread)
        for t, code in self.codes.items():
            self.get_buffer(f"mean_{t}").copy_(statistics.code_mean[t][: code.size])
            self.get_buffer(f"spread_{t}").copy_(statistics.code_spread[t][: code.size])
            at = self.network.vocabulary[t]
            self.weight_mean[at], self.weight_spread[at] = statistics.weight_mean[t], statistics.weight_spread[t]

    def on_train_epoch_start(self) -> None:
        torch.manual_seed(self.initial_seed + self.trainer.current_epoch)  # a resumed training continues its dropout

    def setup(self, stage: str) -> None:
        if stage == "fit":  # a checkpoint that is loaded later replaces them
            shares = [getattr(self.trainer.datamodule, f"{name}_share", 0.0) for name in ("reference", "nothing")]  # type: ignore[attr-defined]
            if any(shares) and not self.network_settings.questions:
                raise ValueError("network.questions: true is needed with data.reference_share or data.nothing_share")
            if any(shares) and self.match is not None:  # clips have the level of the mix, and these questions another
                raise ValueError("losses.match: 0 is needed with data.reference_share or data.nothing_share")
            self.standardise(self.trainer.datamodule.statistics())  # type: ignore[attr-defined]

    def forward(self, data: Data) -> ConsoleEstimate:
        """Predicts for an example or a batch of them; processors are in node order, song after song."""
        return self.estimate(data, self.network(data))

    def estimate(self, data: Data, answers: Answers) -> ConsoleEstimate:
        """Converts answers to the processors' coordinates; differentiable except for the positions of delays."""
        node_types = data.x[data.processor_index]
        logits = answers.weight * self.weight_spread[node_types] + self.weight_mean[node_types]
        parameters = {}
        for t, code in self.codes.items():
            numbers = answers.codes[t].clamp(-_RANGE, _RANGE)
            numbers = numbers * self.get_buffer(f"spread_{t}") + self.get_buffer(f"mean_{t}")
            if t in answers.positions:
                numbers = torch.cat((numbers, likely_position(answers.positions[t])), dim=1)
            if len(numbers):
                parameters[t] = code.decode(numbers)
        return ConsoleEstimate(torch.sigmoid(answers.keep), torch.sigmoid(logits), parameters)

    # Training.

    def losses_of(self, data: Data, answers: Answers) -> dict[str, Tensor]:
        """Computes all terms of the loss; `loss` is their weighted sum. Weights and settings count where known."""
        node_types = data.x[data.processor_index]
        kept = data.known > 0
        count = kept.sum().clamp(min=1)
        weight_labels = (weight_logit(data.weight) - self.weight_mean[node_types]) / self.weight_spread[node_types]
        losses = {
            "keep": F.binary_cross_entropy_with_logits(answers.keep, data.keep),
            "weight": F.smooth_l1_loss(answers.weight[kept], weight_labels[kept], reduction="sum") / count,
        }
        parameters = answers.keep.new_zeros(())
        for t, code in self.codes.items():
            kept_nodes = kept[node_types == self.network.vocabulary[t]]
            if not kept_nodes.any():
                continue
            labels = data[label_key(t)][kept_nodes]
            standard = (labels[:, : code.size] - self.get_buffer(f"mean_{t}")) / self.get_buffer(f"spread_{t}")
            mean = F.smooth_l1_loss(answers.codes[t][kept_nodes], standard)
            if t in answers.positions:
                entropy = F.cross_entropy(
                    answers.positions[t][kept_nodes].flatten(0, 1),
                    position_bins(labels[:, code.size :]).flatten(),
                    reduction="none",
                )
                losses["positions"] = (entropy * code.position_weights(labels).flatten()).mean()
                mean = mean + losses["positions"]
            losses[f"parameters/{t}"] = mean
            parameters = parameters + self.losses.types.get(t, 1.0) * mean * kept_nodes.sum() / count
        losses["parameters"] = parameters
        if self.match is not None:
            losses["match"] = self.match_loss(data, self.estimate(data, answers))
        weights = asdict(self.losses)
        losses["loss"] = torch.stack(
            [weights[name] * losses[name] for name in ("keep", "weight", "parameters", "match") if name in losses]
        ).sum()
        return losses

    def match_loss(self, data: Data, estimate: ConsoleEstimate) -> Tensor:
        """The match loss of the clips' mixes, rendered with weights keep x dry/wet, as the mean over songs."""
        if self.match is None or "clip_tracks" not in data:
            raise ValueError("losses.match: needs audio; set data.clip_seconds above losses' warm-up, e.g. to 3")
        graphs = data.graph if isinstance(data.graph, list) else [data.graph]
        weights = estimate.keep * estimate.weights
        values = GraphValues(batch_graphs(graphs), estimate.parameters, weights)
        mix = render(values, self.processors, data.clip_tracks).mix
        warm_up = mix.shape[-1] // 4
        return self.match(mix[..., warm_up:], data.clip_mix[..., warm_up:]).full.mean()

    def training_step(self, batch: Data, batch_idx: int) -> Tensor:
        losses = self.losses_of(batch, self.network(batch))
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()}, batch_size=batch.num_graphs)
        return losses["loss"]

    def on_validation_epoch_start(self) -> None:
        self._validation = {question: _Validation() for question in Question}

    def validation_step(self, batch: Data, batch_idx: int, dataloader_idx: int = 0) -> None:
        question, count = Question(int(batch.question[0])), batch.num_graphs
        answers = self.network(batch)
        losses = self.losses_of(batch, answers)
        self._note(question, batch, answers)
        prefix = _prefix(question)
        self.log(f"{prefix}loss", losses["loss"], batch_size=count, prog_bar=not question, add_dataloader_idx=False)
        parts = {f"{prefix}{name}": value for name, value in losses.items() if name != "loss"}
        self.log_dict(parts, batch_size=count, add_dataloader_idx=False)

    def _note(self, question: Question, data: Data, answers: Answers) -> None:
        """Keeps what a batch says of the threshold and of the spread of settings around those that are predicted."""
        noted = self._validation[question]
        noted.keep.append(torch.sigmoid(answers.keep))
        noted.labels.append(data.keep)
        node_types = data.x[data.processor_index]
        for t, code in self.codes.items():
            kept = (data.known > 0)[node_types == self.network.vocabulary[t]]
            labels = data[label_key(t)][kept][:, : code.size]
            standard = (labels - self.get_buffer(f"mean_{t}")) / self.get_buffer(f"spread_{t}")
            noted.residuals.setdefault(t, []).append(answers.codes[t][kept].clamp(-_RANGE, _RANGE) - standard)

    def on_validation_epoch_end(self) -> None:
        for question in self.questions:
            noted = self._validation[question]
            threshold, f1 = best_threshold(torch.cat(noted.keep), torch.cat(noted.labels))
            if not self.trainer.sanity_checking:
                self.threshold_of(question).fill_(threshold)
                if self.network_settings.questions:
                    for t, parts in noted.residuals.items():
                        if len(residuals := torch.cat(parts)):
                            self.get_buffer(f"residual_{t}")[question] = residuals.square().mean(dim=0).sqrt()
            self.log(f"{_prefix(question)}f1", f1, prog_bar=not question)
        self._validation = {question: _Validation() for question in Question}

    def configure_optimizers(self) -> Any:
        settings = self.optimizer_settings
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        warm_up = min(settings.warm_up_steps, steps // 10 + 1)

        def factor(step: int) -> float:
            if step < warm_up:
                return (step + 1) / warm_up
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm_up) / max(1, steps - warm_up))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        norm = gradient_clip_val or self.optimizer_settings.clip_norm
        self.clip_gradients(optimizer, gradient_clip_val=norm, gradient_clip_algorithm="norm")

    # Checkpoints hold the constructor's arguments.

    def saved_settings(self) -> dict[str, Any]:
        """Everything that a file of the estimator holds beside tensors, as JSON values; see `module_of`."""
        return {
            "version": VERSION,
            "task": asdict(self.task),
            "network": asdict(self.network_settings),
            "slots": [[*slot, *counts] for slot, counts in self.slots.items()],
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[CHECKPOINT_KEY] = json.dumps(self.saved_settings())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved = _saved(checkpoint)
        self.slots = {(t, level): (kept, of) for t, level, kept, of in saved["slots"]}


@dataclass
class _Validation:
    """What validation batches say of one question: probabilities of keeping, labels, residuals of settings by type."""

    keep: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)
    residuals: dict[str, list[Tensor]] = field(default_factory=dict)


def _prefix(question: Question) -> str:
    return "validation/" if question == Question.OWN_MIX else f"validation/{question.name.lower()}/"


def load_checkpoint(path: str | Path) -> EstimatorModule:
    """Loads an `EstimatorModule` from a checkpoint, without unpickling code, to the CPU, in evaluation mode.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged, or holds no checkpoint of an `EstimatorModule` of this version.
    """
    checkpoint = read_checkpoint(path)
    if CHECKPOINT_KEY not in checkpoint:
        raise ValueError(f"{path}: an estimator is needed, got the checkpoint of {kind_of(checkpoint)}")
    return module_of(_saved(checkpoint), checkpoint["state_dict"], str(path))


def module_of(saved: dict[str, Any], tensors: dict[str, Tensor], where: str) -> EstimatorModule:
    """Makes an estimator, in evaluation mode, of what a file holds.

    Args:
        saved: see `EstimatorModule.saved_settings`.
        tensors: the state of the module.
        where: the file, for error messages.

    Raises:
        ValueError: another version, processors that are not known, or tensors of other names or shapes.
    """
    hint = "HINT: train it anew, or leave it out to take the one that comes with mixgraph"
    version = saved.get("version", 1)
    if version != VERSION:
        raise ValueError(f"{where}: an estimator of version {VERSION} is needed, got version {version}. {hint}")
    try:
        task, network = EstimatorTask(**saved["task"]), NetworkSettings(**saved["network"])
        if network.width > max((min(tensor.shape) for tensor in tensors.values() if tensor.dim() == 2), default=0):
            raise ValueError(f"a width of {network.width}, which no matrix has")  # before it takes memory
        module = EstimatorModule(task, network)
        module.load_state_dict(tensors)
        module.slots = {(t, level): (kept, of) for t, level, kept, of in saved["slots"]}
    except MemoryError:
        raise
    except Exception as error:  # whatever hostile settings and tensors lead to, their file has to be named
        reason = (" ".join(str(error).split()) or type(error).__name__)[:300]
        raise ValueError(f"{where}: does not fit this version of mixgraph ({reason}). {hint}") from error
    module.about = saved.get("about", {})
    return module.eval()


def _saved(checkpoint: dict[str, Any]) -> dict[str, Any]:
    if CHECKPOINT_KEY not in checkpoint:
        raise ValueError(f"checkpoint: {CHECKPOINT_KEY!r} is missing; it was not made by an EstimatorModule")
    saved: dict[str, Any] = json.loads(checkpoint[CHECKPOINT_KEY])
    return saved


def best_threshold(keep: Tensor, labels: Tensor) -> tuple[float, float]:
    """Finds the threshold on probabilities (processors,) that gives the best F1 against labels 0 or 1; and that F1.

    F1 is flat around its best, flatter than a validation set can tell: of all thresholds within _FLAT of the best F1
    the highest is taken, which keeps fewest processors. F1 is 0 where no label is 1 or nothing is kept.
    """
    thresholds = torch.linspace(0.01, 0.99, _THRESHOLDS, device=keep.device)
    kept = keep.unsqueeze(0) > thresholds.unsqueeze(1)
    matched = (kept & (labels > 0)).sum(dim=1)
    f1 = 2 * matched / (kept.sum(dim=1) + (labels > 0).sum()).clamp(min=1)
    highest = int((f1 >= f1.max() - _FLAT).nonzero()[-1, 0])
    return float(thresholds[highest]), float(f1[highest])
