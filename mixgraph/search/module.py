"""The LightningModule of a mixing console: parameters, dry/wet weights, losses, sparsity ramp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from mixgraph.graph import MixGraph, batch, build_console
from mixgraph.graph.console import SingleTrackSubgroups
from mixgraph.graph.records import graph_from_dict, graph_to_dict
from mixgraph.graph.values import GraphValues
from mixgraph.losses import (
    LOSS,
    LossSettings,
    gain_staging,
    make_match_loss,
    octave_distance,
    sparsity,
    sparsity_ramp,
)
from mixgraph.names import shown_name
from mixgraph.processors import make_processors
from mixgraph.render import (
    GraphParameters,
    Rendering,
    RenderPlan,
    StagedChannel,
    lookahead,
    render_oracle,
    render_plan,
)
from mixgraph.search.captured import check_capture
from mixgraph.search.captured_training import CapturedTraining
from mixgraph.search.checkpoint import read_state, saved_values, write_state
from mixgraph.search.checks import (
    check_chains,
    check_estimated_checkpoint,
    check_estimator_file,
    check_lengths,
    check_rate_factors,
    check_songs_of_graph,
    check_trainer,
    staged_types,
)
from mixgraph.search.group_targets import GroupTargets
from mixgraph.search.initial_levels import init_from_levels
from mixgraph.search.optimizer import parameter_groups, set_rate
from mixgraph.search.plans import PlanCache
from mixgraph.search.resuming import (
    check_settings,
    constructor_settings,
    graph_digest,
    prepare_to_resume,
    song_record,
    steps_into_stage,
)
from mixgraph.search.settings import (
    OPTIMIZER,
    REGULARIZERS,
    RENDERING,
    OptimizerSettings,
    ProcessorOptions,
    RegularizerSettings,
    RenderSettings,
)
from mixgraph.search.statistics import graph_statistics
from mixgraph.search.whole_songs import WholeSongs
from mixgraph.songs.song import Song
from mixgraph.songs.training_clips import Clip


class ConsoleModule(CapturedTraining, WholeSongs):
    """Trains the parameters and dry/wet weights of a mixing graph to match a mix (paper sections 2.3 and 3.3).

    It starts as the mixing consoles of the songs in its Trainer's datamodule (or as the graph given to `build`),
    and `prune` shrinks it. Several songs are one disconnected graph: they share the steps, and nothing else. Each has
    the initial values and the loss that it has alone, and the names of its logged values end in `/SONG`.

    Args:
        track_chain: processor letters of every track's chain, in order; see `build_console` for splitters.
        subgroup_chain: processor letters of every subgroup's chain.
        master_chain: processor letters of the chain behind the sum of all subgroups; empty for none.
        returns: name of each return bus, to which every track sends -> processor letters of the bus's chain.
        sidechains: name of a track or subgroup, whose chain ends with a sidechain compressor -> name of the track or
            subgroup that is the compressor's key.
        single_track_subgroups: `"bare"` gives a subgroup of one track no chain beside that of the track, which nothing
            can tell apart; `"chain"` gives it one as any other.
        sample_rate: sample rate of songs and processors, in Hz.
        warm_up_seconds: the start of every clip that is rendered but not compared.
        seed: seeds the initial values.
        initial_values: `"heard"` estimates them from the mix where a processor can (delays, which then learn a hundred
            times slower unless `rate_factors` says otherwise), see `Processor.initial_values_from_mix`; `"fitted"`
            also fits the tracks' gains and equalizers to it, see `fit_initial_levels`; `"estimated"` also takes what
            an estimator says of every processor, see `init_from_estimate`, and tells where it does not know; `"drawn"`
            draws all of them.
        estimated_checkpoint: another estimator (.safetensors, or .ckpt of fit --config estimator.yaml) than mixgraph's
            own, for `"estimated"`.
        processors: processor name -> constructor options that differ from the defaults.
        loss: settings of the match loss.
        regularizers: settings of gain staging and sparsity.
        optimizer: settings of AdamW.
        rendering: the renderer and its shortcuts.
    """

    def __init__(
        self,
        track_chain: str = "ecnsgdr",
        subgroup_chain: str = "ecnsgdr",
        master_chain: str = "",
        returns: dict[str, str] | None = None,
        sidechains: dict[str, str] | None = None,
        single_track_subgroups: SingleTrackSubgroups = "chain",
        sample_rate: int = 30000,
        warm_up_seconds: float = 1.0,
        seed: int = 42,
        initial_values: Literal["estimated", "fitted", "heard", "drawn"] = "heard",
        estimated_checkpoint: str | None = None,
        processors: ProcessorOptions | None = None,
        loss: LossSettings | None = LOSS,
        regularizers: RegularizerSettings | None = REGULARIZERS,
        optimizer: OptimizerSettings | None = OPTIMIZER,
        rendering: RenderSettings | None = RENDERING,
    ) -> None:
        loss, regularizers = loss or LOSS, regularizers or REGULARIZERS
        optimizer, rendering = optimizer or OPTIMIZER, rendering or RENDERING
        settings = constructor_settings(locals())
        super().__init__()
        self.settings = settings
        self.track_chain, self.subgroup_chain, self.master_chain = track_chain, subgroup_chain, master_chain
        self.returns = dict(returns or {})
        self.sidechains = {shown_name(name): shown_name(key_name) for name, key_name in (sidechains or {}).items()}
        check_chains(track_chain, subgroup_chain, master_chain, returns, sidechains)
        self.single_track_subgroups = single_track_subgroups
        self.sample_rate = sample_rate
        self.warm_up = round(warm_up_seconds * sample_rate)
        self.seed, self.initial_values = seed, initial_values
        check_estimated_checkpoint(initial_values, estimated_checkpoint)
        self.estimated_checkpoint = estimated_checkpoint
        self.processor_options: ProcessorOptions = dict(processors or {})
        self.loss_settings, self.regularizers = loss, regularizers
        self.optimizer_settings, self.rendering = optimizer, rendering
        self.processors = make_processors(sample_rate, self.processor_options)
        self.staged_types = staged_types(self.processors, regularizers.gain_staging_types)
        check_rate_factors(self.processors, optimizer.rate_factors)
        slow = {"delay.delay_z": 0.01} if initial_values != "drawn" else {}
        self.rate_factors = self.optimizer_settings.factors(slow)
        self.match = make_match_loss(sample_rate, loss)
        self.pruning_steps = 0
        self.prune_phase = self.last_stage = False
        self.skips_stage = False  # set by pruning: what is left of the stage is not trained
        self._plans = PlanCache()
        self._drawn = False  # whether all values are still those that were drawn
        self._estimates_are_due = False  # at the start of a fit, unless a checkpoint has brought other values
        self.origin = ""  # digest of the graph that was given to build or load; nothing where chains made it
        self._stage_steps: int | None = None  # steps trained of the stage in which a checkpoint was saved
        self.loudest: Tensor | None = None  # of `SongTarget`, (songs, resolutions)
        self.group_targets: GroupTargets | None = None

    def build(self, graph: MixGraph) -> ConsoleModule:
        """Takes a graph with initial values from the module's seed, see `TrainedGraph.sample_initial_values`.

        The constructor's chains, returns and sidechains, which make a graph where none is given, are without effect
        then. Values that start from the mix (`initial_values`) are set once the module gets its songs.
        """
        self.sample_initial_values(graph, self.processors, self.seed)
        self.origin, self._drawn = graph_digest(graph), True
        return self

    def load(self, graph: MixGraph, parameters: Mapping[str, Mapping[str, Tensor]], weights: Tensor) -> None:
        """Takes a graph with given values; chains, returns, sidechains, seed and initial values are without effect."""
        super().load(graph, parameters, weights)
        self.origin, self._drawn = graph_digest(graph, parameters, weights), False
        self._estimates_are_due = False

    def _console(self, subgroups: Mapping[str, Sequence[str]], name: str) -> MixGraph:
        chains = self.track_chain, self.subgroup_chain, name, self.master_chain
        return build_console(subgroups, *chains, self.returns, self.sidechains, self.single_track_subgroups)

    def prune(self, keep: Sequence[int]) -> None:
        """Removes all processors but `keep` (node numbers), from the Trainer's optimizer too."""
        self.shrink(keep, self.trainer.optimizers if self._trainer is not None else ())

    # Training.

    def setup(self, stage: str) -> None:
        check_trainer(self.trainer)
        if self._graph is None:
            self.build(batch([self._console(song.subgroups, song.name) for song in self._songs()]))
            self.origin = ""
        check_songs_of_graph(self.graph, self._songs())
        check_lengths(self._songs(), self.match.min_samples, self.sample_rate)
        self.group_targets = self._groups(self._songs())
        if self._drawn and self.initial_values != "drawn":
            self.init_from_mix(self._songs(), self.processors)
            if self.initial_values == "fitted":
                for song in self._songs():
                    init_from_levels(self, song, self.processors, self.render)
            self._drawn, self._estimates_are_due = False, self.initial_values == "estimated"

    def _init_from_estimates(self) -> None:
        from mixgraph.estimators import load_estimator  # loads what no other search needs
        from mixgraph.search.initial_estimate import init_from_estimate, trained_on

        check_estimator_file(self.estimated_checkpoint)
        estimator = load_estimator(self.estimated_checkpoint)
        changed = [name for name, options in self.processor_options.items() if options]
        for song in self._songs():
            if trained_on(estimator, song.name):
                rank_zero_info(
                    f"{song.name}: the estimator was trained on tracks of this song, so that its search says nothing "
                    "about others."
                )
            if notes := init_from_estimate(self, song, self.processors, estimator, changed):
                rank_zero_info(notes)
        self._estimates_are_due = False

    def on_train_start(self) -> None:
        """Sets the optimizer's rates and betas to the settings, and how it computes to the device.

        A checkpoint may have restored other ones.
        """
        steps = int(self.trainer.num_training_batches)
        if self._stage_steps not in (None, steps):
            raise ValueError(
                f"data.steps_per_stage, time.budget: the checkpoint was taken inside a stage of {self._stage_steps} "
                f"steps, got {steps}. HINT: as before, or go on from a checkpoint from the end of a stage"
            )
        settings = self.optimizer_settings
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"], group["capturable"] = self._rate(group, settings.learning_rate), False
                group["betas"], group["weight_decay"] = tuple(settings.betas), settings.weight_decay
                group["fused"], group["foreach"] = self._fused, not self._fused
        if self.rendering.capture:
            check_capture(self.device, self.graph, self.processors, self.rendering.renderer)
        self._start_stage(self.trainer.fit_loop.batch_idx + 1)

    def _rate(self, group: Mapping[str, Any], rate: float) -> float:
        return rate * self.rate_factors.get(group["name"], 1.0)

    def on_fit_start(self) -> None:
        super().on_fit_start()
        if self._estimates_are_due:
            self._init_from_estimates()
        loudest = [level for song in self._songs() if (level := self.target(song).loudest) is not None]
        self.loudest = torch.stack(loudest) if loudest else None
        if self.group_targets is not None and self.loss_settings.silence_floor:
            self.group_targets.measure(self.match)

    def _groups(self, songs: Sequence[Song]) -> GroupTargets | None:
        """Returns the auxiliary targets of songs; None where there are none, or where they have no weight."""
        if self.regularizers.group_weight == 0 or not any(song.groups for song in songs):
            return None
        groups = GroupTargets(songs)
        groups.split(self.graph)  # refuses a graph whose groups share processors
        return groups

    def _songs(self) -> tuple[Song, ...]:
        songs: tuple[Song, ...] = self.trainer.datamodule.songs  # type: ignore[attr-defined]
        return songs

    @property
    def lookahead(self) -> int:
        """Samples of the sources after the end of a clip that still reach its mix."""
        return lookahead(self.graph, self.processors)

    def plan(self, samples: int, mono: Sequence[int] = (), silent: Sequence[int] = ()) -> RenderPlan:
        """The plan for clips of `samples` rendered samples, look-ahead not counted; see `make_plan`."""
        return self._plans.plan(
            self.graph, self.processors, samples + self.lookahead, mono, silent, self.rendering.schedule
        )

    @property
    def sparsity_pressure(self) -> float:
        """The coefficient of the sparsity term in the next step."""
        settings = self.regularizers
        pressed = self.prune_phase and (settings.sparsity_last_stage or not self.last_stage)
        ramp = sparsity_ramp(self.pruning_steps, settings.sparsity_ramp_steps) if pressed else 0.0
        return settings.sparsity_weight * ramp

    def losses(self, clip: Clip, pressure: float | Tensor | None = None) -> dict[str, Tensor]:
        """Computes all terms of the objective on one clip; `loss` is their weighted sum (paper eq. 8).

        Further terms, where they are asked for: `match/octaves`, the distance of levels by octave, and `match/groups`,
        the match losses of groups that have targets.

        Args:
            clip: the clip to render and to compare.
            pressure: the coefficient of the sparsity term; None stands for `sparsity_pressure`.
        """
        settings = self.regularizers
        staged = settings.gain_staging_weight > 0
        parameters, weights = self.parameters_by_type(), self.weights
        rendering = self._render_clip(clip, parameters, weights, settings.gain_staging_channel if staged else None)
        groups, outputs = self.group_targets, rendering.mix[..., self.warm_up :]
        mixes = outputs if groups is None else groups.mixes(self.graph, outputs)
        terms = self.compare(mixes, clip.targets[..., self.warm_up :])
        staging = gain_staging(rendering.energies, rendering.num_samples, self.staged_types, like=weights)
        if settings.gain_staging_unit == "energy":
            staging = 2 * staging
        penalties = [self.processors[t].parameter_penalty(values) for t, values in parameters.items()]
        losses = {
            **{
                f"match/{name}": values.squeeze(0) if len(values) == 1 else values.sum()
                for name, values in terms.items()
            },
            "gain_staging": staging,
            "parameter_penalty": reduce(torch.add, [p for p in penalties if p is not None] or [weights.new_zeros(())]),
            "sparsity": sparsity(weights),
        }
        losses |= {
            f"match/full{suffix}": loss for suffix, loss in zip(self.metric_suffixes(), terms["full"], strict=True)
        }
        pressure = self.sparsity_pressure if pressure is None else pressure
        staged_loss = torch.add(losses["match/full"], losses["gain_staging"], alpha=settings.gain_staging_weight)
        losses["loss"] = staged_loss + losses["parameter_penalty"] + pressure * losses["sparsity"]
        if settings.octave_weight > 0:
            levels = octave_distance(mixes, clip.targets[..., self.warm_up :], self.sample_rate)
            losses["match/octaves"] = levels.sum()
            losses["loss"] = losses["loss"] + settings.octave_weight * losses["match/octaves"]
        if groups is not None and clip.group_targets is not None:
            targets = clip.group_targets[..., self.warm_up :]
            losses["match/groups"] = groups.loss(self.graph, self.match, outputs, targets)
            losses["loss"] = losses["loss"] + settings.group_weight * losses["match/groups"]
        return losses

    def compare(self, mixes: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Compares clips of mixes with their targets, (songs, 2, L) both; another loss takes the place of this one.

        Returns:
            `full`, the loss of each song, (songs,), and parts of it to be logged.
        """
        terms = self.match(mixes, targets, self.loudest)
        return {"full": terms.full, "lr": terms.lr, "mid": terms.mid, "side": terms.side}

    def _render_clip(
        self, clip: Clip, parameters: GraphParameters, weights: Tensor, staged_channel: StagedChannel | None
    ) -> Rendering:
        samples, groups, starts = clip.targets.shape[-1], self.group_targets, clip.starts
        graph = self.graph if groups is None else groups.split(self.graph).graph
        if groups is not None:
            starts = groups.starts(self.graph, starts)
        values = GraphValues(graph, parameters, weights)
        if self.rendering.renderer == "reference":
            return render_oracle(
                values,
                self.processors,
                clip.sources,
                length=samples,
                staged_channel=staged_channel,
                starts=starts,
            )
        mono, silent = (clip.mono, clip.silent) if self.rendering.shortcuts else ((), ())
        if groups is None:
            plan = self.plan(samples, mono, silent)
        else:
            block, method = samples + self.lookahead, self.rendering.schedule
            plan = groups.plan(self.graph, self.processors, block, mono, silent, method)
        return render_plan(plan, values, self.processors, clip.sources, staged_channel=staged_channel, starts=starts)

    def training_step(self, batch: Clip, batch_idx: int) -> Tensor:
        losses = self.step_terms(batch, self.sparsity_pressure)
        if self.prune_phase:
            self.pruning_steps += 1
        logged = {name: value.detach() for name, value in losses.items() if name != "loss"}
        self.log_dict(logged, on_step=True, on_epoch=False, batch_size=1)
        self.watched_loss = losses["loss"].detach()
        return losses["loss"]

    def _start_stage(self, step: int) -> None:
        """Prepares a stage, or the rest of it when a search resumes at `step` inside it."""
        self.last_stage = self.trainer.current_epoch + 1 == self.trainer.max_epochs
        self.watch_from(step)
        self.capture_steps(self.rendering.capture)

    def on_train_epoch_start(self) -> None:
        self._start_stage(0)
        if not self.optimizer_settings.keep_moments:
            for optimizer in self.trainer.optimizers:
                optimizer.state.clear()

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.log_dict(self.statistics(), batch_size=1)

    def statistics(self) -> dict[str, float]:
        """Mean weights and shares of the processors that are left, see `graph_statistics`."""
        weights = self.weights.detach().tolist()
        return graph_statistics(self.graph, weights, self.initial_counts, self.metric_suffixes())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        settings = self.optimizer_settings
        groups = parameter_groups(self.dry_wet_logits, self.values, self.rate_factors)
        for group in groups:
            group["lr"] = self._rate(group, settings.learning_rate)
        together = {"fused": self._fused, "foreach": not self._fused}
        return torch.optim.AdamW(groups, betas=settings.betas, weight_decay=settings.weight_decay, **together)

    @property
    def _fused(self) -> bool:
        # The values of a group together: fused, one operation, which torch has for GPUs; on a CPU it rounds differently
        # where rows end, so that its results would depend on what else was in the tensor.
        return self.dry_wet_logits.is_cuda

    def on_train_batch_start(self, batch: Clip, batch_idx: int) -> int | None:
        """Sets the rate of the last stage; -1, which skips the stage, where there is nothing to train."""
        if not self.graph.processors or self.skips_stage:
            return -1
        settings = self.optimizer_settings
        if settings.final_learning_rate is not None and self.last_stage:
            rate = settings.rate(batch_idx / self.trainer.num_training_batches)
            for optimizer in self.trainer.optimizers:
                for group in optimizer.param_groups:
                    set_rate(group, self._rate(group, rate))
        return None

    # Checkpoints carry the graph, so that they load after pruning.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        searched = self._trainer is not None
        state = {
            "consoles": [graph_to_dict(console) for console in self.consoles],
            "pruning_steps": self.pruning_steps,
            "prune_phase": self.prune_phase,
            "last_stage": self.last_stage,
            "stage_steps": int(self.trainer.num_training_batches) if searched and not self.skips_stage else 0,
        }
        write_state(checkpoint, self.graph, state | self._comparable())

    def _comparable(self) -> dict[str, Any]:
        """What a resumed search must have in common with the search of its checkpoint, see `prepare_to_resume`."""
        data = None if self._trainer is None else self.trainer.datamodule  # type: ignore[attr-defined]
        return {
            "origin": self.origin,
            "groups": [group["name"] for group in self.configure_optimizers().param_groups],
            "settings": {"model": self.settings, "data": getattr(data, "settings", {})},
            "songs": [] if data is None else [song_record(song) for song in data.songs],
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved = read_state(checkpoint)
        for name in ("sample_rate", "processors"):
            check_settings("model", {name: saved["settings"]["model"][name]}, {name: self.settings[name]})
        now = self._comparable()
        values = saved_values(checkpoint)
        self.load(values.graph, values.parameters, values.weights)
        self.origin = saved["origin"]
        if self._trainer is not None:
            check_songs_of_graph(self.graph, self._songs())
            if self.trainer.training:
                changes = prepare_to_resume(checkpoint, saved, now, self.trainer.max_epochs or 0)
                self._stage_steps = saved["stage_steps"] if steps_into_stage(checkpoint) else None
                if changes:
                    rank_zero_info(f"From the checkpoint on: {', '.join(changes)}.")
        self.consoles = [graph_from_dict(console, "checkpoint: console") for console in saved["consoles"]]
        self.pruning_steps, self.prune_phase = saved["pruning_steps"], saved["prune_phase"]
