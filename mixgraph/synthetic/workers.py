"""Makes many samples with several processes, and yields them in order."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from mixgraph.losses import MatchLoss, make_match_loss
from mixgraph.processors import Processors, make_processors
from mixgraph.synthetic.corpus import Corpus, load_corpus
from mixgraph.synthetic.prior import GraphPrior, learn_prior
from mixgraph.synthetic.sample import GeneratedSample, make_sample
from mixgraph.synthetic.settings import GenerationSettings
from mixgraph.system.threads import one_thread

_AHEAD = 4  # samples that each process makes in advance


@dataclass(frozen=True)
class Plan:
    """Everything that a process needs to make samples; see `load_corpus`, `learn_prior` and `GenerationSettings`.

    `corpus_seed` seeds which track is in which split, and songs of instruments; the seed of the settings by default.
    """

    songs: tuple[Path, ...]
    settings: GenerationSettings
    results: tuple[Path, ...] = ()
    test_songs: tuple[str, ...] = ()
    cache_dir: Path = Path(".mixgraph_cache")
    rule_share: float = 0.3
    jitter: float = 0.3
    num_instrument_songs: int = 0
    corpus_seed: int | None = None


@dataclass(frozen=True, eq=False)
class _Maker:
    corpus: Corpus
    prior: GraphPrior
    settings: GenerationSettings
    processors: Processors
    match: MatchLoss

    @classmethod
    def of(cls, plan: Plan) -> _Maker:
        rate = plan.settings.sample_rate
        chains = plan.settings.track_chain, plan.settings.subgroup_chain
        return cls(
            load_corpus(
                plan.songs,
                rate,
                plan.cache_dir,
                plan.test_songs,
                seed=plan.settings.seed if plan.corpus_seed is None else plan.corpus_seed,
                num_instrument_songs=plan.num_instrument_songs,
            ),
            learn_prior(plan.results, rate, *chains, rule_share=plan.rule_share, jitter=plan.jitter),
            plan.settings,
            make_processors(rate),
            make_match_loss(rate),
        )

    def make(self, split: str, index: int) -> GeneratedSample:
        return make_sample(self.corpus, self.prior, self.settings, self.processors, self.match, split, index)


_maker: _Maker | None = None  # of a worker process


def generate(plan: Plan, counts: Mapping[str, int], num_workers: int = 1) -> Iterator[GeneratedSample]:
    """Yields the samples of each split in order; they do not depend on the number of processes.

    Args:
        plan: the songs and settings of the samples.
        counts: split -> its number of samples.
        num_workers: the number of processes; 1 makes the samples in this process.

    Raises:
        ValueError: raised by `load_corpus`, `learn_prior` or `make_sample`; see there.
    """
    requested = [(split, index) for split, count in counts.items() for index in range(count)]
    here = _Maker.of(plan)  # also decodes the songs, once, before other processes map them
    if num_workers <= 1:
        for split, index in requested:
            with one_thread():
                sample = here.make(split, index)
            yield sample
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, context, _begin, (plan,)) as pool:
        yield from _in_order(pool, requested, num_workers * _AHEAD)


def _in_order(pool: ProcessPoolExecutor, requested: Sequence[tuple[str, int]], most: int) -> Iterator[GeneratedSample]:
    """Yields results in order, with at most `most` in memory."""
    waiting: list[Future[GeneratedSample]] = []
    try:
        for split, index in requested:
            waiting.append(pool.submit(_make, split, index))
            if len(waiting) >= most:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    finally:
        for future in waiting:
            future.cancel()


def _begin(plan: Plan) -> None:
    global _maker
    torch.set_num_threads(1)
    _maker = _Maker.of(plan)


def _make(split: str, index: int) -> GeneratedSample:
    assert _maker is not None
    return _maker.make(split, index)
