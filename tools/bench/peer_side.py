"""The peer's side; imported only where `grafx` is installed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mixgraph.processors import make_processors
from tools.bench.cases import Case, make_graph, make_song, trained_values
from tools.bench.losses import common_losses
from tools.bench.peer import (
    PeerConsole,
    PeerEvaluator,
    PeerLoss,
    PeerSearch,
    PeerTrainer,
    brute_force_round,
    make_segments,
    weight_round,
)
from tools.bench.peer.loss import SAMPLE_RATE
from tools.bench.peer.search import Bound
from tools.bench.side import Answer, Unsupported, search_answer


class _Enough(Exception):
    """Ends a measurement after the requested number of trials."""


class PeerSide:
    """The harness over `grafx`.

    Args:
        case: the case to measure.

    Raises:
        Unsupported: the peer does not support the sample rate, or the clips are not longer than its warm-up.
    """

    def __init__(self, case: Case) -> None:
        if case.sample_rate != SAMPLE_RATE:
            raise Unsupported(f"runs at {SAMPLE_RATE} Hz only")
        self.case = case
        self.length = round(case.clip_seconds * SAMPLE_RATE)
        song = make_song(case)
        graph = make_graph(case, song)
        torch.manual_seed(42)
        self.console = PeerConsole(graph)
        if case.trained:
            parameters, weights, mix = trained_values(case, graph, make_processors(), song)
            song = replace(song, mix=mix)
            self.console.copy_values(parameters, weights)
        self.song, self.loss = song, PeerLoss()
        self.segments = make_segments(song.sources, song.mix, self.length)
        self.trainer = PeerTrainer(self.console, self.loss)

    def step(self) -> Answer:
        phases = self.trainer.step(*self.clip(self.trainer.steps))
        del phases["match"]
        return phases

    def clip(self, step: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """A training example, from anywhere in the song."""
        last = self.song.num_samples - self.length
        if last < 0:
            raise Unsupported("needs songs of at least a clip")
        start = random.Random(f"{seed}/{step}").randint(0, last)
        sources, mix = (x[..., start : start + self.length] for x in (self.song.sources, self.song.mix))
        return sources.contiguous(), mix.contiguous().unsqueeze(0)

    def evaluation(self) -> Answer:
        start = time.perf_counter()
        loss = PeerEvaluator(self.console, self.loss, self.segments).evaluate()
        return {"total": time.perf_counter() - start, "loss": loss}

    def trials(self, sampler: str, early_stop: bool, count: int) -> Answer:
        if early_stop:
            raise Unsupported("no early stop")
        evaluator = PeerEvaluator(self.console, self.loss, self.segments)
        graph = self.console.graph
        seconds: list[float] = []

        def evaluate(removed: Sequence[int]) -> float:
            if len(seconds) > count:
                raise _Enough
            start = time.perf_counter()
            loss = evaluator.evaluate(removed)
            seconds.append(time.perf_counter() - start)
            return loss

        bound = Bound(evaluate(()), 0.01)
        rng = random.Random(self.case.seed)
        weight_of = dict(zip(self.console.nodes, self.console.weights().tolist(), strict=True))
        types = [graph.types[node] for node in graph.processors]
        weights = [weight_of[node] for node in graph.processors]
        try:
            if sampler == "brute_force":
                brute_force_round(len(types), evaluate, bound, rng)
            else:  # a trial costs the same in all rounds of the hybrid sampler
                weight_round(types, weights, evaluate, bound, rng)
        except _Enough:
            pass
        return {"seconds": seconds[1:], "start": seconds[0], "accepted": sum(t.accepted for t in bound.trials)}

    def search(self, console_steps: int, rounds: int, round_steps: int, seed: int) -> Answer:
        run = self.prepared_search(seed)
        counts = [run.console.graph.count()]
        start = time.perf_counter()
        run.run(console_steps, rounds, round_steps)
        total = time.perf_counter() - start
        counts += [of_round.left for of_round in run.rounds]
        times = [{"trials": len(r.trials), "seconds": r.seconds, "training": r.training} for r in run.rounds]
        return (
            search_answer(total, (console_steps, run.console_seconds), counts, times, round_steps, run.steps)
            | {"optimised": "prediction"}
            | common_losses(self.song, peer_renderer(run))
        )

    def prepared_search(self, seed: int, on_stage: Callable[[PeerSearch], None] = lambda search: None) -> PeerSearch:
        """A search of the case's song from a new console.

        Args:
            seed: seeds the initial values, the clips and the order of candidates.
            on_stage: a function to call after every stage, see `PeerSearch`.
        """
        torch.manual_seed(seed)
        return PeerSearch(
            PeerConsole(make_graph(self.case, self.song), self.console.processors),
            self.loss,
            self.segments,
            lambda step: self.clip(step, seed),
            rng=random.Random(f"{seed}/candidates"),
            on_stage=on_stage,
        )


def peer_renderer(search: PeerSearch) -> Callable[[Tensor, int], Tensor]:
    """Makes a function that renders with a search's current graph; see `tools.bench.ours.renderer`."""

    def render(sources: Tensor, first: int) -> Tensor:
        return search.console(sources.contiguous(), grad=False).mix[0]

    return render
