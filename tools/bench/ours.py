"""Our side: the console module, its evaluator and its search, as the command line runs them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from callbacks.iterative_pruning import IterativePruning, song_evaluator
from datamodules import SongData
from mixgraph.graph import GraphValues
from mixgraph.pruning import RoundResult, SamplerSettings, SongEvaluator, TrialLoss, prune_round
from mixgraph.render import Rendering, make_plan, render_oracle, render_plan, render_song
from mixgraph.render.schedule import Method
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule
from mixgraph.songs.training_clips import Clip, ClipReader
from tools.bench.cases import WARM_UP_SECONDS, Case, make_graph, make_song, trained_values
from tools.bench.clock import StageClock, synchronize
from tools.bench.losses import common_losses
from tools.bench.recipe import HYBRID_PERIOD
from tools.bench.side import REFERENCE, Answer, search_answer


class OurSide:
    """mixgraph with its defaults.

    Args:
        case: the case to measure.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        song = make_song(case)
        graph = make_graph(case, song)
        module = ConsoleModule(sample_rate=case.sample_rate, warm_up_seconds=WARM_UP_SECONDS)
        if case.trained:
            parameters, weights, mix = trained_values(case, graph, module.processors, song)
            song = replace(song, mix=mix)
            module.load(graph, parameters, weights)
        else:
            module.build(graph)
        self.song, self.module = song, module
        module.loudest = module.target(song).loudest
        module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]  # there is no Trainer
        plan = module.plan(1)
        scored = round(case.scored_seconds * case.sample_rate)
        self.clips = ClipReader(song, module.warm_up, scored, plan.lookahead, case.seed)
        self.optimizer = module.configure_optimizers()
        self.steps = 0
        self._renderings: dict[tuple[str, str], Callable[[], Rendering]] = {}

    def step(self) -> Answer:
        clip = self.clips(self.steps)
        self.steps += 1
        with _timed(self.module.match) as match_seconds:
            start = time.perf_counter()
            loss = self.module.losses(clip)["loss"]
            rendered = time.perf_counter()
        self.optimizer.zero_grad()
        loss.backward()
        differentiated = time.perf_counter()
        self.optimizer.step()
        end = time.perf_counter()
        return {
            "total": end - start,
            "forward": rendered - start - sum(match_seconds),
            "loss": sum(match_seconds),
            "backward": differentiated - rendered,
            "optimizer": end - differentiated,
        }

    def evaluation(self) -> Answer:
        start = time.perf_counter()
        score = self.module.score(self.song)
        return {"total": time.perf_counter() - start, "loss": score.loss["full"]}

    def rendering(self, method: str, device: str) -> Answer:
        """Renders a clip without gradients: by a schedule, or by the slow renderer. Plans are not timed.

        Of one thread of a CPU the seconds are those of the processor, which other work on the machine does not change.

        Args:
            method: a schedule, or `REFERENCE`.
            device: `cpu` or `cuda`.
        """
        place, key = torch.device(device), (method, device)
        if key not in self._renderings:
            self._renderings[key] = clip_renderer(self.module.to(place), self.clips(0), method)
            self._renderings[key]()
        clock = time.process_time if place.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
        synchronize(place)
        start = clock()
        self._renderings[key]()
        synchronize(place)
        return {"total": clock() - start}

    def trials(self, sampler: str, early_stop: bool, count: int) -> Answer:
        seconds: list[float] = []
        started, accepted = 0.0, 0
        # The hybrid sampler's rounds are of two kinds.
        parts = [(0, -(-count // 2)), (HYBRID_PERIOD - 1, count // 2)] if sampler == "hybrid" else [(0, count)]
        for round_index, share in parts:
            if share:
                evaluator, result = self._round(sampler, round_index, early_stop, share)
                started = evaluator.seconds[0]
                seconds += evaluator.seconds[1:]
                accepted += sum(trial.accepted for trial in result.trials)
        return {"seconds": seconds, "start": started, "accepted": accepted}

    def _round(self, sampler: str, index: int, early_stop: bool, count: int) -> tuple[TimedEvaluator, RoundResult]:
        evaluator = TimedEvaluator(song_evaluator(self.module, self.song), early_stop)
        graph = self.module.graph
        result = prune_round(
            evaluator,
            SamplerSettings(sampler, period=HYBRID_PERIOD).make(),
            index,
            [graph.types[i] for i in graph.processors],
            self.module.weights.detach().tolist(),
            random.Random(self.case.seed),
            None,
            0.01,
            should_stop=lambda: len(evaluator.seconds) > count,
        )
        return evaluator, result

    def search(self, console_steps: int, rounds: int, round_steps: int, seed: int) -> Answer:
        case = self.case
        module = ConsoleModule(sample_rate=case.sample_rate, warm_up_seconds=WARM_UP_SECONDS, seed=seed)
        data = SongData(
            case.song,
            sample_rate=case.sample_rate,
            steps_per_stage=round_steps,
            scored_seconds=case.scored_seconds,
            seed=seed,
            loudness_lufs=None,
            cache_dir=None,
        )
        data.setup("fit")  # reads the song before the clock starts, as for the peer
        stages = console_steps // round_steps
        pruning = IterativePruning(stages, rounds, "hybrid", leave_one_out=False, seed=seed)
        clock = StageClock()
        start = time.perf_counter()
        search(module, data, [pruning, clock], pruning.num_stages, "cpu", enable_progress_bar=False)
        total = time.perf_counter() - start
        trials = [row["trials"] for row in pruning.trace if row["kind"] == "round"]
        times = [
            {"trials": count, "seconds": before, "training": training}
            for count, before, training in zip(trials, clock.before[stages:], clock.training[stages:], strict=True)
        ]
        console = console_steps, sum(clock.training[:stages])
        counts = clock.counts[stages - 1 :]

        return (
            search_answer(total, console, counts, times, round_steps, module.trainer.global_step)
            | {"optimised": module.loss_settings.denominator}
            | common_losses(self.song, renderer(module))
        )


def clip_renderer(module: ConsoleModule, clip: Clip, method: str) -> Callable[[], Rendering]:
    """Makes a function that renders a clip of values without gradients, on the device of the module.

    Args:
        module: a console with its graph.
        clip: the clip.
        method: a schedule, or `REFERENCE` for the slow renderer.
    """
    device, samples = module.weights.device, clip.targets.shape[-1]
    parameters = {t: {n: v.detach() for n, v in of_type.items()} for t, of_type in module.parameters_by_type().items()}
    values = GraphValues(module.graph, parameters, module.weights.detach())
    sources, starts = clip.sources.to(device), None if clip.starts is None else clip.starts.to(device)
    if method == REFERENCE:
        return partial(render_oracle, values, module.processors, sources, length=samples, starts=starts)
    block = samples + module.lookahead
    plan = make_plan(module.graph, module.processors, block, cast(Method, method), mono=clip.mono, silent=clip.silent)
    return partial(render_plan, plan, values, module.processors, sources, starts=starts)


def renderer(module: ConsoleModule, level: float = 1.0) -> Callable[[Tensor, int], Tensor]:
    """Makes a function that renders sources at the level of their files.

    Args:
        module: the module, whose current values are used at each call.
        level: the factor that its songs were multiplied by before the training.

    Returns:
        The function; it takes sources (K, 2, T) and the sample that they begin at, and returns the mix (2, T).
    """

    def render(sources: Tensor, first: int) -> Tensor:
        values = module.parameters_by_type()
        mix = render_song(module.graph, module.processors, sources * level, values, module.weights, first=first)
        return mix[0] / level

    return render


class TimedEvaluator:
    """An evaluator that measures the time of every evaluation, including the acceptance that follows it.

    Args:
        evaluator: the evaluator whose time is measured.
        early_stop: pass the bound on, so that evaluations can stop early.
    """

    def __init__(self, evaluator: SongEvaluator, early_stop: bool) -> None:
        self.evaluator, self.early_stop = evaluator, early_stop
        self.seconds: list[float] = []

    def evaluate(
        self, removed: Collection[int], bound: float | None = None, ceilings: Sequence[float] | None = None
    ) -> TrialLoss:
        start = time.perf_counter()
        loss = self.evaluator.evaluate(removed, bound if self.early_stop else None, ceilings)
        self.seconds.append(time.perf_counter() - start)
        return loss

    def windows(self) -> list[float]:
        return self.evaluator.windows()

    def accept(self, removed: Collection[int]) -> None:
        start = time.perf_counter()
        self.evaluator.accept(removed)
        self.seconds[-1] += time.perf_counter() - start


@contextmanager
def _timed(module: torch.nn.Module) -> Iterator[list[float]]:
    """The seconds of each forward call of a module."""
    starts: list[float] = []
    seconds: list[float] = []

    def before(*_: Any) -> None:
        starts.append(time.perf_counter())

    def after(*_: Any) -> None:
        seconds.append(time.perf_counter() - starts.pop())

    handles = [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    try:
        yield seconds
    finally:
        for handle in handles:
            handle.remove()
