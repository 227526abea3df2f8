"""The LightningModule of a mixing console: parameters, dry/wet weights, losses, sparsity ramp."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from mixgraph.graph import MixGraph, batch, build_console
from mixgraph.graph.io import graph_from_json, graph_to_json
from mixgraph.graph.values import GraphValues
from mixgraph.losses import MatchLoss, SongScore, SongTarget, clip_score, gain_staging, sparsity, sparsity_ramp
from mixgraph.names import did_you_mean, shown_name
from mixgraph.processors import make_processors
from mixgraph.render import (
    GraphParameters,
    Rendering,
    RenderPlan,
    StagedChannel,
    lookahead,
    make_plan,
    render_oracle,
    render_plan,
    render_song,
)
from mixgraph.search.finite_training import FiniteTraining
from mixgraph.search.initial_levels import init_from_levels
from mixgraph.search.resuming import (
    check_settings,
    constructor_settings,
    graph_digest,
    prepare_to_resume,
    song_record,
    steps_into_stage,
)
from mixgraph.search.settings import (
    LOSS,
    OPTIMIZER,
    REGULARIZERS,
    RENDERING,
    LossSettings,
    OptimizerSettings,
    ProcessorOptions,
    RegularizerSettings,
    RenderSettings,
)
from mixgraph.songs.song import Song
from mixgraph.songs.training_clips import Clip

CHECKPOINT_KEY = "mixgraph"
_MAX_PLANS = 256  # one for each set of tracks that is silent in a clip


def check_trainer(trainer: Trainer) -> None:
    """Refuses a Trainer that no search runs with.

    Raises:
        ValueError: it has several devices, or another precision than float32.
    """
    if trainer.world_size > 1 or not isinstance(trainer.strategy, SingleDeviceStrategy):
        raise ValueError(
            f"a search runs on a single device, got {trainer.world_size} with {type(trainer.strategy).__name__}; set "
            "trainer.devices=1 and search several songs side by side"
        )
    if trainer.precision != "32-true":
        raise ValueError(
            f"trainer.precision: a search computes in 32-true, got {trainer.precision}. HINT: leave it out"
        )


class ConsoleModule(FiniteTraining):
    """Trains the parameters and dry/wet weights of a mixing graph to match a mix (paper sections 2.3 and 3.3).

    Starts as the mixing consoles of the songs that its Trainer's datamodule holds (or as the graph given to `build`),
    and shrinks by `prune`. Several songs are one disconnected graph: they share the steps, and nothing else. Each has
    the initial values and the loss that it has alone, and what is logged of it ends in `/SONG`.

    Args:
        track_chain: processor letters of every track's chain, in order; see `build_console` for splitters.
        subgroup_chain: processor letters of every subgroup's chain.
        master_chain: processor letters of the chain that the sum of all subgroups goes through; none where empty.
        returns: name of each return bus, to which every track sends -> processor letters of its chain.
        sidechains: name of a track or subgroup, whose chain ends with a sidechain compressor -> whom that hears.
        sample_rate: in Hz.
        warm_up_seconds: at the start of every clip, rendered but not compared.
        seed: of the initial values.
        initial_values: `"heard"` estimates them from the mix where a processor can (delays, which then learn a hundred
            times slower unless `rate_factors` says otherwise), see `Processor.initial_values_from_mix`; `"fitted"`
            also fits the tracks' gains and equalizers to it, see `fit_initial_levels`; `"drawn"` draws all of them.
        processors: processor name -> constructor options that differ from the defaults.
        loss: of the match.
        regularizers: gain staging and sparsity.
        optimizer: AdamW.
        rendering: which renderer, with which shortcuts.
    """

    def __init__(
        self,
        track_chain: str = "ecnsgdr",
        subgroup_chain: str = "ecnsgdr",
        master_chain: str = "",
        returns: dict[str, str] | None = None,
        sidechains: dict[str, str] | None = None,
        sample_rate: int = 30000,
        warm_up_seconds: float = 1.0,
        seed: int = 42,
        initial_values: Literal["fitted", "heard", "drawn"] = "heard",
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
        self.sidechains = {shown_name(one): shown_name(other) for one, other in (sidechains or {}).items()}
        named = dict.fromkeys(name for pair in self.sidechains.items() for name in pair) or [""]
        # What is wrong is refused at once, on names that a song may have.
        build_console({name: [name] for name in named}, track_chain, subgroup_chain, "", master_chain, {}, sidechains)
        build_console({"": [""]}, "", "", returns=returns)
        self.sample_rate = sample_rate
        self.warm_up = round(warm_up_seconds * sample_rate)
        self.seed, self.initial_values = seed, initial_values
        self.processor_options: ProcessorOptions = dict(processors or {})
        self.loss_settings, self.regularizers = loss, regularizers
        self.optimizer_settings, self.rendering = optimizer, rendering
        self.processors = make_processors(sample_rate, self.processor_options)
        staged = {name for name, processor in self.processors.items() if processor.gain_staged}
        chosen = self.regularizers.gain_staging_types
        self.staged_types = staged if chosen is None else set(chosen)
        if not self.staged_types <= staged:
            unknown = self.staged_types - staged
            raise ValueError(f"gain_staging_types: some of {sorted(staged)}, got {sorted(unknown)}")
        known = {"dry_wet", *self.processors}
        known |= {f"{t}.{name}" for t in self.processors for name in self.processors[t].specification}
        unknown = set(self.optimizer_settings.rate_factors) - known
        if unknown:
            types = ", ".join(self.processors)
            raise ValueError(
                f"rate_factors: some of dry_wet, {types}, or their parameters (delay.delay_z), got {sorted(unknown)}."
                f"{did_you_mean(min(unknown), known)}"
            )
        heard = {"delay.delay_z": 0.01} if initial_values != "drawn" else {}
        self.rate_factors = self.optimizer_settings.factors(heard)
        self.match = MatchLoss(sample_rate, denominator=loss.denominator, floor_gradient=loss.floor_gradient)
        self.pruning_steps = 0
        self.prune_phase = self.last_stage = False
        self._plans: dict[tuple[int, tuple[int, ...], tuple[int, ...]], RenderPlan] = {}
        self._planned: MixGraph | None = None
        self._targets: WeakKeyDictionary[Song, SongTarget] = WeakKeyDictionary()
        self._drawn = False  # whether all values are as they were drawn
        self.origin = ""  # digest of the graph that was given to build or load; nothing where chains made it
        self._stage_steps: int | None = None  # of a stage that a checkpoint was taken inside of
        self.loudest: Tensor | None = None  # of `SongTarget`, (songs, resolutions)

    def build(self, graph: MixGraph) -> ConsoleModule:
        """Takes a graph with initial values from the module's seed, see `TrainedGraph.sample_initial_values`.

        The constructor's chains, returns and sidechains, which make a graph where none is given, are without effect
        then. Where values start from what is heard (`initial_values`), they do when the module meets its songs.
        """
        self.sample_initial_values(graph, self.processors, self.seed)
        self.origin, self._drawn = graph_digest(graph), True
        return self

    def load(self, graph: MixGraph, parameters: Mapping[str, Mapping[str, Tensor]], weights: Tensor) -> None:
        """Takes a graph with given values; chains, returns, sidechains, seed and initial values are without effect."""
        super().load(graph, parameters, weights)
        self.origin, self._drawn = graph_digest(graph, parameters, weights), False

    def _console(self, subgroups: Mapping[str, Sequence[str]], name: str) -> MixGraph:
        chains = self.track_chain, self.subgroup_chain, name, self.master_chain
        return build_console(subgroups, *chains, self.returns, self.sidechains)

    def prune(self, keep: Sequence[int]) -> None:
        """Removes all processors but `keep` (node numbers), from the Trainer's optimizer too."""
        self.shrink(keep, self.trainer.optimizers if self._trainer is not None else ())

    def metric_suffixes(self) -> list[str]:
        """What follows the names of a song's logged values, song by song: `/SONG`, and nothing where there is one."""
        return [f"/{name}" for name in self.song_names] if self.graph.num_songs > 1 else [""]

    # Training.

    def setup(self, stage: str) -> None:
        check_trainer(self.trainer)
        if self._graph is None:
            self.build(batch([self._console(song.subgroups, song.name) for song in self._songs()]))
            self.origin = ""
        self._check_songs()
        self._check_lengths()
        if self._drawn and self.initial_values != "drawn":
            self.init_from_mix(self._songs(), self.processors)
            if self.initial_values == "fitted":
                for song in self._songs():
                    init_from_levels(self, song, self.processors, self.render)
            self._drawn = False
        if stage == "fit" and not self.graph.processors:
            raise ValueError(
                "track_chain, subgroup_chain, master_chain: all are empty, so there is nothing to train; give a letter "
                "(`validate` measures the dry sum)"
            )

    def on_train_start(self) -> None:
        """A search that goes on brings its optimizer's state; rates and betas are those of the settings."""
        steps = int(self.trainer.num_training_batches)
        if self._stage_steps not in (None, steps):
            raise ValueError(
                f"data.steps_per_stage, time.budget: the checkpoint was taken inside a stage of {self._stage_steps} "
                f"steps, got {steps}. HINT: as before, or go on from a checkpoint from the end of a stage"
            )
        self._start_stage(self.trainer.fit_loop.batch_idx + 1)
        settings = self.optimizer_settings
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self._rate(group, settings.learning_rate)
                group["betas"], group["weight_decay"] = tuple(settings.betas), settings.weight_decay

    def _rate(self, group: Mapping[str, Any], rate: float) -> float:
        return rate * self.rate_factors.get(group["name"], 1.0)

    def on_fit_start(self) -> None:
        super().on_fit_start()
        loudest = [level for song in self._songs() if (level := self.target(song).loudest) is not None]
        self.loudest = torch.stack(loudest) if loudest else None

    def _songs(self) -> tuple[Song, ...]:
        songs: tuple[Song, ...] = self.trainer.datamodule.songs  # type: ignore[attr-defined]
        return songs

    def _check_songs(self) -> None:
        """Refuses songs and tracks that are not those of the graph, in their order.

        A graph of one song serves any song with its tracks, see `song_number`.
        """
        needed, got = self.song_names, [song.name for song in self._songs()]
        if needed != got and (len(needed) > 1 or len(got) > 1):
            raise ValueError(f"data.path: the graph is of {', '.join(needed)} (in this order), got {', '.join(got)}")
        needed = [shown_name(self.graph.names[i]) for i in self.graph.inputs]
        got = [name for song in self._songs() for name in song.tracks]
        if needed != got:
            raise ValueError(
                f"data.path: the graph is of the tracks {', '.join(needed)} (in this order, by subgroup), got "
                f"{', '.join(got)}. HINT: a found graph and a checkpoint go with the song that they were found on"
            )

    def _check_lengths(self) -> None:
        least = self.match.min_samples
        short = [f"{song.name} ({song.num_samples})" for song in self._songs() if song.num_samples < least]
        if short:
            raise ValueError(
                f"data.path: the match loss needs a mix of {least} samples or more ({least / self.sample_rate:.3f} s), "
                f"got {', '.join(short)}"
            )

    @property
    def lookahead(self) -> int:
        """Samples of the sources after the end of a clip that still reach its mix."""
        return lookahead(self.graph, self.processors)

    def plan(self, samples: int, mono: Sequence[int] = (), silent: Sequence[int] = ()) -> RenderPlan:
        """The plan for clips of `samples` rendered samples, look-ahead not counted; see `make_plan`."""
        key = (samples, tuple(mono), tuple(silent))
        if self._planned is not self.graph or len(self._plans) >= _MAX_PLANS:
            self._plans, self._planned = {}, self.graph
        if key not in self._plans:
            block = samples + self.lookahead
            self._plans[key] = make_plan(self.graph, self.processors, block, mono=mono, silent=silent)
        return self._plans[key]

    def losses(self, clip: Clip) -> dict[str, Tensor]:
        """All terms of the objective on one clip; `loss` is their weighted sum (paper eq. 8)."""
        settings = self.regularizers
        staged = settings.gain_staging_weight > 0
        parameters, weights = self.parameters_by_type(), self.weights
        rendering = self._render_clip(clip, parameters, weights, settings.gain_staging_channel if staged else None)
        terms = self.match(rendering.mix[..., self.warm_up :], clip.targets[..., self.warm_up :], self.loudest)
        staging = gain_staging(rendering.energies, rendering.num_samples, self.staged_types, like=weights)
        if settings.gain_staging_unit == "energy":
            staging = 2 * staging
        radius = [self.processors[t].parameter_penalty(values) for t, values in parameters.items()]
        found = {
            "match/full": terms.full.sum(),
            "match/lr": terms.lr.sum(),
            "match/mid": terms.mid.sum(),
            "match/side": terms.side.sum(),
            "gain_staging": staging,
            "parameter_penalty": torch.stack([r for r in radius if r is not None] or [weights.new_zeros(())]).sum(),
            "sparsity": sparsity(weights),
        }
        found |= {f"match/full{suffix}": loss for suffix, loss in zip(self.metric_suffixes(), terms.full, strict=True)}
        pressed = self.prune_phase and (settings.sparsity_last_stage or not self.last_stage)
        pressure = sparsity_ramp(self.pruning_steps, settings.sparsity_ramp_steps) if pressed else 0.0
        found["loss"] = (
            found["match/full"]
            + settings.gain_staging_weight * found["gain_staging"]
            + found["parameter_penalty"]
            + settings.sparsity_weight * pressure * found["sparsity"]
        )
        return found

    def _render_clip(
        self, clip: Clip, parameters: GraphParameters, weights: Tensor, staged_channel: StagedChannel | None
    ) -> Rendering:
        samples, values = clip.targets.shape[-1], GraphValues(self.graph, parameters, weights)
        if self.rendering.renderer == "reference":
            return render_oracle(
                values,
                self.processors,
                clip.sources,
                length=samples,
                staged_channel=staged_channel,
                starts=clip.starts,
            )
        plan = self.plan(samples, clip.mono, clip.silent) if self.rendering.shortcuts else self.plan(samples)
        return render_plan(
            plan, values, self.processors, clip.sources, staged_channel=staged_channel, starts=clip.starts
        )

    def training_step(self, batch: Clip, batch_idx: int) -> Tensor:
        found = self.losses(batch)
        if self.prune_phase:
            self.pruning_steps += 1
        logged = {name: value.detach() for name, value in found.items() if name != "loss"}
        self.log_dict(logged, on_step=True, on_epoch=False, batch_size=1)
        self.watched_loss = found["loss"].detach()
        return found["loss"]

    def _start_stage(self, step: int) -> None:
        """What each stage starts with, and a search that goes on at a step inside of one."""
        self.last_stage = self.trainer.current_epoch + 1 == self.trainer.max_epochs
        self.watch_from(step)

    def on_train_epoch_start(self) -> None:
        self._start_stage(0)
        if not self.optimizer_settings.keep_moments:
            for optimizer in self.trainer.optimizers:
                optimizer.state.clear()

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.log_dict(self.statistics())

    def statistics(self) -> dict[str, float]:
        """weight/{type}: mean dry/wet weight of what is left; ratio/{type}: left over initial count.

        Of all songs together, and, where there are several, of each.
        """
        graph = self.graph
        left: list[list[tuple[str, float]]] = [[] for _ in self.initial_counts]
        for node, weight in zip(graph.processors, self.weights.detach().tolist(), strict=True):
            left[graph.songs[node]].append((graph.types[node], weight))
        found = _statistics(list(chain(*left)), sum(map(Counter, self.initial_counts), Counter()))
        for own, initial, suffix in zip(left, self.initial_counts, self.metric_suffixes(), strict=True):
            found |= {name + suffix: value for name, value in _statistics(own, initial).items()}
        return found

    def configure_optimizers(self) -> torch.optim.Optimizer:
        settings = self.optimizer_settings
        by_name: dict[str, list[torch.nn.Parameter]] = {"dry_wet": [self.dry_wet_logits]}
        for node_type, values in self.values.items():
            for name, value in values.named_parameters():
                own = f"{node_type}.{name}"
                by_name.setdefault(own if own in self.rate_factors else node_type, []).append(value)
        groups: list[dict[str, Any]] = [{"params": values, "name": name} for name, values in by_name.items()]
        for group in groups:
            group["lr"] = self._rate(group, settings.learning_rate)
        return torch.optim.AdamW(groups, betas=settings.betas, weight_decay=settings.weight_decay)

    def on_train_batch_start(self, batch: Clip, batch_idx: int) -> None:
        settings = self.optimizer_settings
        if settings.final_learning_rate is not None and self.last_stage:
            rate = settings.rate(batch_idx / self.trainer.num_training_batches)
            for optimizer in self.trainer.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self._rate(group, rate)

    # Whole songs.

    def target(self, song: Song) -> SongTarget:
        """The windows of a song's mix as features, kept as long as the song, up to its memory limit."""
        found = self._targets.get(song)
        if found is None or found.device != next(self.match.buffers()).device:
            floor = self.loss_settings.silence_floor
            found = self._targets[song] = SongTarget(self.match, song.mix, floor, max_bytes=song.memory_limit)
        return found

    @torch.no_grad()
    def render(self, song: Song, block: int | None = None) -> Tensor:
        """The mix that the graph makes of a song, at the song's length: (2, L), on the CPU."""
        return self._render_sources(song, song.sources, block or self.rendering.block).cpu()

    def _render_sources(self, song: Song, sources: Tensor, block: int, first: int = 0) -> Tensor:
        part = self.part(song)
        mono = song.mono_rows if self.rendering.shortcuts else ()
        return render_song(part.graph, self.processors, sources, part.parameters, part.weights, block, mono, first)[0]

    def score(self, song: Song) -> SongScore:
        """The whole-song match loss by our protocol: true history, every second counts."""
        return self.target(song).score(self.render(song))

    def paper_score(self, song: Song) -> SongScore:
        """The loss by the paper's protocol; see `losses.clip_score`."""

        def render(sources: Tensor, first: int) -> Tensor:
            return self._render_sources(song, sources, self.rendering.block, first)

        return clip_score(self.match, render, song.sources, song.mix)

    def validation_step(self, batch: Song, batch_idx: int) -> None:
        self._log_score(batch, "song", self.score(batch).loss)

    def test_step(self, batch: Song, batch_idx: int) -> None:
        for prefix, score in (("song", self.score(batch)), ("paper", self.paper_score(batch))):
            self._log_score(batch, prefix, score.loss)
            self._log_score(batch, f"{prefix}_prediction_norm", score.loss_prediction)

    def _log_score(self, song: Song, prefix: str, losses: Mapping[str, float]) -> None:
        """Logs the mean over the songs, which Lightning takes, and, where there are several, each one's losses."""
        for suffix in dict.fromkeys(("", self.metric_suffixes()[self.song_number(song)])):
            self.log_dict({f"{prefix}/{name}{suffix}": value for name, value in losses.items()}, batch_size=1)

    def predict_step(self, batch: Song, batch_idx: int) -> Tensor:
        return self.render(batch)

    # Checkpoints carry the graph, so that they load after pruning.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        searched = self._trainer is not None
        checkpoint[CHECKPOINT_KEY] = json.dumps(
            {
                "graph": json.loads(graph_to_json(self.graph)),
                "initial_counts": self.initial_counts,
                "pruning_steps": self.pruning_steps,
                "prune_phase": self.prune_phase,
                "last_stage": self.last_stage,
                "stage_steps": int(self.trainer.num_training_batches) if searched else 0,
                **self._comparable(),
            }
        )

    def _comparable(self) -> dict[str, Any]:
        """What a search that goes on must have in common with that of its checkpoint, see `prepare_to_resume`."""
        data = None if self._trainer is None else self.trainer.datamodule  # type: ignore[attr-defined]
        return {
            "origin": self.origin,
            "groups": [group["name"] for group in self.configure_optimizers().param_groups],
            "settings": {"model": self.settings, "data": getattr(data, "settings", {})},
            "songs": [] if data is None else [song_record(song) for song in data.songs],
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if CHECKPOINT_KEY not in checkpoint:
            raise ValueError(f"checkpoint: {CHECKPOINT_KEY!r} is missing; it was not made by a ConsoleModule")
        saved = json.loads(checkpoint[CHECKPOINT_KEY])
        if "origin" not in saved:
            raise ValueError("checkpoint: it was made by an earlier version of mixgraph. HINT: search anew")
        for name in ("sample_rate", "processors"):
            check_settings("model", {name: saved["settings"]["model"][name]}, {name: self.settings[name]})
        graph = graph_from_json(json.dumps(saved["graph"]))
        now, state = self._comparable(), checkpoint["state_dict"]
        values: dict[str, dict[str, Tensor]] = {}
        for key, value in state.items():
            if key.startswith("values."):
                _, node_type, name = key.split(".", 2)
                values.setdefault(node_type, {})[name] = value
        self.load(graph, values, torch.sigmoid(state["dry_wet_logits"]))
        self.origin = saved["origin"]
        if self._trainer is not None:
            self._check_songs()
            if self.trainer.training:
                told = prepare_to_resume(checkpoint, saved, now, self.trainer.max_epochs or 0)
                self._stage_steps = saved["stage_steps"] if steps_into_stage(checkpoint) else None
                if told:
                    rank_zero_info(f"From the checkpoint on: {', '.join(told)}.")
        self.initial_counts = saved["initial_counts"]
        self.pruning_steps, self.prune_phase = saved["pruning_steps"], saved["prune_phase"]

    def _settings(self) -> dict[str, Any]:
        data = getattr(self.trainer.datamodule, "settings", {}) if self._trainer is not None else {}  # type: ignore[attr-defined]
        return {"model": self.settings, "data": data}


def _statistics(left: Sequence[tuple[str, float]], initial: Mapping[str, int]) -> dict[str, float]:
    found = {}
    for node_type, count in initial.items():
        weights = [weight for own, weight in left if own == node_type]
        found[f"weight/{node_type}"] = sum(weights) / len(weights) if weights else 0.0
        found[f"ratio/{node_type}"] = len(weights) / count
    return found | {"num_processors": float(len(left))}
