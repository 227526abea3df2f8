"""SongEvaluator: cached trials equal rendering the pruned graph from scratch."""

import pytest
import torch

from mixgraph.graph import batch, build_console, prune
from mixgraph.losses import SongTarget, make_match_loss
from mixgraph.processors import make_processors
from mixgraph.pruning import SongEvaluator, TrialLoss
from mixgraph.pruning.evaluator import segments
from mixgraph.render import render_song

RATE = 8000
PROCESSORS = make_processors(RATE)
GRAPH = build_console({"a": ["x", "y"], "b": ["z"]})


def setup(seed=0, length=40_000):
    generator = torch.Generator().manual_seed(seed)
    parameters = {t: PROCESSORS[t].sample_initial_values(n, generator, 0.5) for t, n in GRAPH.count().items()}
    weights = torch.rand(len(GRAPH.processors), generator=generator)
    sources = torch.rand(3, 2, length, generator=generator) - 0.5
    target = SongTarget(make_match_loss(RATE), sources.sum(0) * 0.4)
    return parameters, weights, sources, target


def evaluator(seed=0, length=40_000, **options):
    parameters, weights, sources, target = setup(seed, length)
    return SongEvaluator(GRAPH, PROCESSORS, parameters, weights, sources, target, **options)


def from_scratch(removed, seed=0):
    parameters, weights, sources, target = setup(seed)
    keep = [node for i, node in enumerate(GRAPH.processors) if i not in removed]
    pruned, index = prune(GRAPH, keep)
    left = {t: {n: v[list(index.rows[t])] for n, v in parameters[t].items()} for t in pruned.count()}
    mix = render_song(pruned, PROCESSORS, sources, left, weights[list(index.processors)])[0]
    return target.bounded_loss(mix)[0], mix


@pytest.mark.parametrize("removed", [(), (0,), (3, 4), (20,), tuple(range(35)), (1, 9, 22, 30)])
def test_trial_equals_rendering_the_pruned_graph(removed) -> None:
    loss = evaluator().evaluate(removed).loss
    assert loss == pytest.approx(from_scratch(removed)[0], rel=2e-5)  # float32 rounding of the audio


RETURNS = build_console({"a": ["x", "y"], "b": ["z"]}, "ec", "g", "", "c", {"room": "er", "echo": "d"})


def of_returns(removed=()):
    generator = torch.Generator().manual_seed(5)
    parameters = {t: PROCESSORS[t].sample_initial_values(n, generator, 0.5) for t, n in RETURNS.count().items()}
    weights = torch.rand(len(RETURNS.processors), generator=generator)
    sources = torch.rand(3, 2, 40_000, generator=generator) - 0.5
    target = SongTarget(make_match_loss(RATE), sources.sum(0) * 0.4)
    if not removed:
        return SongEvaluator(RETURNS, PROCESSORS, parameters, weights, sources, target)
    pruned, index = prune(RETURNS, [node for i, node in enumerate(RETURNS.processors) if i not in removed])
    left = {t: {n: v[list(index.rows[t])] for n, v in parameters[t].items()} for t in pruned.count()}
    return target.bounded_loss(render_song(pruned, PROCESSORS, sources, left, weights[list(index.processors)])[0])[0]


def test_trials_of_sends_cut() -> None:
    song_evaluator = of_returns()
    sends = [i for i, node in enumerate(RETURNS.processors) if RETURNS.types[node] == "send"]
    room, echo = sends[:3], sends[3:]
    for removed in ([sends[0]], room, room[1:] + echo, [*sends, 0, 8]):
        assert song_evaluator.evaluate(removed).loss == pytest.approx(of_returns(removed), rel=2e-5)
    # Nothing is heard of what works on a return that nothing is sent to.
    bus = [i for i, node in enumerate(RETURNS.processors) if RETURNS.label(node).startswith("return room")]
    assert len(bus) == 2
    song_evaluator.accept(room)
    assert (
        song_evaluator.evaluate(bus).loss
        == song_evaluator.evaluate(()).loss
        == pytest.approx(of_returns(room), rel=2e-5)
    )


SPLIT = build_console(
    {"a": ["x", "y"], "b": ["z"]}, "et(c,sg)b(,d)", "b(c,b(e,g))n", "", "t(,e)", sidechains={"b": "a", "y": "x"}
)


def of_split(removed=(), quiet=False):
    generator = torch.Generator().manual_seed(5)
    parameters = {t: PROCESSORS[t].sample_initial_values(n, generator, 0.5) for t, n in SPLIT.count().items()}
    weights = torch.rand(len(SPLIT.processors), generator=generator)
    sources = torch.rand(3, 2, 40_000, generator=generator) - 0.5
    if quiet:  # what is turned down falls silent before its key does, and wakes up after it
        sources[1, :, 3000:30_000] = 0
        sources[0, :, 20_000:35_000] = 0
    target = SongTarget(make_match_loss(RATE), sources.sum(0) * 0.4)
    if not removed:
        return SongEvaluator(SPLIT, PROCESSORS, parameters, weights, sources, target, block=5000)
    pruned, index = prune(SPLIT, [node for i, node in enumerate(SPLIT.processors) if i not in removed])
    left = {t: {n: v[list(index.rows[t])] for n, v in parameters[t].items()} for t in pruned.count()}
    return target.bounded_loss(render_song(pruned, PROCESSORS, sources, left, weights[list(index.processors)])[0])[0]


@pytest.mark.parametrize("quiet", [False, True])
def test_trials_of_splitters_and_sidechains(quiet) -> None:
    song_evaluator = of_split(quiet=quiet)
    by_type: dict[str, list[int]] = {}
    for i, node in enumerate(SPLIT.processors):
        by_type.setdefault(SPLIT.types[node], []).append(i)
    splitters = by_type["mid_side_splitter"] + by_type["band_splitter"]
    removals = [[splitters[0]], splitters, by_type["sidechain_compressor"], by_type["compressor"], [*splitters[::2], 2]]
    for removed in removals:
        assert song_evaluator.evaluate(removed).loss == pytest.approx(of_split(removed, quiet), rel=2e-5)
    song_evaluator.accept(removals[0])
    both = [*removals[0], *removals[2]]
    assert song_evaluator.evaluate(removals[2]).loss == pytest.approx(of_split(both, quiet), rel=2e-5)


def test_trials_know_the_time_after_silence() -> None:
    """A fader that wakes up late has the gain of its time, behind a chain with look-ahead too."""
    processors = make_processors(RATE, {"fader": {"interval": 0.5}})
    graph = build_console({"a": ["x", "y"]}, "ef", "ef")
    generator = torch.Generator().manual_seed(5)
    parameters = {t: processors[t].sample_initial_values(n, generator, 0.5) for t, n in graph.count().items()}
    weights = torch.rand(len(graph.processors), generator=generator)
    sources = torch.zeros(2, 2, 80_000)
    sources[..., 60_000:] = torch.rand(2, 2, 20_000, generator=generator) - 0.5
    sources[0, :, :50] = 0.5
    target = SongTarget(make_match_loss(RATE), sources.sum(0))
    song_evaluator = SongEvaluator(graph, processors, parameters, weights, sources, target, block=8192)
    song_evaluator.evaluate((0,))
    mix = render_song(graph, processors, sources, parameters, weights)[0]
    assert mix[:, 60_000:].abs().max() > 0.1
    assert torch.allclose(song_evaluator.mix(), mix, atol=1e-5)


def test_accepted_removals_stay_and_trials_leave_no_trace() -> None:
    cached = evaluator()
    cached.evaluate(())
    for i in (0, 8, 33):
        cached.evaluate((i,))
    cached.accept((4, 21))
    cached.evaluate((9,))
    cached.accept((9,))
    assert cached.evaluate(()).loss == pytest.approx(from_scratch((4, 21, 9))[0], rel=2e-5)
    assert torch.allclose(cached.mix(), from_scratch((4, 9, 21))[1], atol=1e-5)


def test_verdicts_do_not_depend_on_what_is_cached() -> None:
    """A trial gives the same float whatever was evaluated before it, with or without cached responses."""
    fresh = {i: evaluator().evaluate((i,)).loss for i in (0, 6, 16, 34)}
    used = evaluator()
    used.evaluate(())
    for i in range(0, 35, 2):
        loss = used.evaluate((i,)).loss
        if i in fresh:
            assert loss == fresh[i]


def test_early_stop_is_a_lower_bound_with_the_same_verdict() -> None:
    longer = 12 * 22_400  # windows of 2.8 s, which are scored four at a time
    whole = evaluator(length=longer).evaluate((2,)).loss
    for share, stops in ((0.1, True), (0.25, True), (0.99, False), (1.0, False)):  # each by one that knows nothing yet
        trial = evaluator(length=longer).evaluate((2,), bound=share * whole)
        assert trial.stopped == stops
        assert trial.loss == whole if not stops else share * whole < trial.loss < whole


def test_no_variant_is_rendered_twice() -> None:
    song_evaluator = evaluator()
    first = [song_evaluator.evaluate((i,)) for i in (2, 5)]
    song_evaluator._variant = None  # whoever renders fails
    assert [song_evaluator.evaluate((i,)) for i in (2, 5)] == first
    assert (
        song_evaluator.evaluate((2,), bound=first[0].loss / 2) == first[0]
    )  # known to its end: no lower bound is needed
    del song_evaluator._variant
    song_evaluator.accept((2,))
    assert song_evaluator.evaluate(()) == first[0]
    assert torch.equal(song_evaluator.mix(), evaluator_without((2,)).mix())


def evaluator_without(removed):
    song_evaluator = evaluator()
    song_evaluator.accept(removed)
    return song_evaluator


def test_windows_and_their_ceilings() -> None:
    song_evaluator = evaluator()
    before = song_evaluator.windows()
    assert song_evaluator.evaluate(()).loss == pytest.approx(
        sum(map(float.__mul__, before, song_evaluator.target.weights)), rel=1e-6
    )
    song_evaluator.accept((2,))
    after = song_evaluator.windows()
    whole = song_evaluator.evaluate(()).loss
    other = evaluator()
    assert other.evaluate((2,), ceilings=after) == TrialLoss(whole)  # at the ceiling is not above it
    low = list(after)
    low[-1] -= 1e-6
    assert other.evaluate((2,), ceilings=low).stopped  # the last window, too
    assert other.evaluate((2,), bound=whole, ceilings=after) == TrialLoss(whole)


def test_block_size_changes_rounding_only() -> None:
    assert evaluator(block=10_001).evaluate((5,)).loss == pytest.approx(evaluator().evaluate((5,)).loss, rel=2e-5)


def test_segments_are_the_chains_of_a_console_cut_behind_the_dynamics() -> None:
    parts = segments(GRAPH, PROCESSORS)
    letters = ["".join(PROCESSORS[t].letter if t in PROCESSORS else t[0] for t in types_of(s)) for s in parts]
    assert letters == ["iecn", "iecn", "iecn", "sgdr", "sgdr", "sgdr", "mecn", "mecn", "sgdr", "sgdr", "o"]
    assert sorted(n for s in parts for n in s.nodes) == list(range(len(GRAPH)))
    assert [s.sources for s in parts] == [(), (), (), (0,), (1,), (2,), (3, 4), (5,), (6,), (7,), (8, 9)]


def types_of(segment):
    return [GRAPH.types[node] for node in segment.nodes]


def test_one_song_only() -> None:
    parameters, weights, sources, target = setup()
    with pytest.raises(ValueError, match="one song is needed, got 2"):
        SongEvaluator(batch([GRAPH, GRAPH]), PROCESSORS, parameters, weights, sources, target)


def gappy(length=200_000):
    """A mono track, one that plays at the start and at the end, and one that is never heard."""
    parameters, weights, sources, _ = setup(length=length)
    sources[0] = sources[0, :1]
    sources[1, :, 15_000:165_000] = 0
    sources[2] = 0
    parameters = {t: dict(v) for t, v in parameters.items()}
    for t in ("compressor", "noisegate"):  # envelopes of seconds, so that they last through the gap
        parameters[t]["smoothing_logit"] = parameters[t]["smoothing_logit"] + 4
    return parameters, weights, sources, SongTarget(make_match_loss(RATE), sources.sum(0) * 0.4)


@pytest.mark.parametrize("removed", [(), (8,), (9, 10), tuple(range(14))])
def test_mono_and_silence_change_rounding_only(removed) -> None:
    parameters, weights, sources, target = gappy()
    song_evaluator = SongEvaluator(GRAPH, PROCESSORS, parameters, weights, sources, target, 10_000, mono=(0, 2))
    loss = song_evaluator.evaluate(removed).loss
    song_evaluator.accept(removed)
    keep = [node for i, node in enumerate(GRAPH.processors) if i not in removed]
    pruned, index = prune(GRAPH, keep)
    left = {t: {n: v[list(index.rows[t])] for n, v in parameters[t].items()} for t in pruned.count()}
    mix = render_song(pruned, PROCESSORS, sources, left, weights[list(index.processors)])[0]
    assert loss == pytest.approx(target.bounded_loss(mix)[0], rel=2e-5)
    assert torch.allclose(song_evaluator.mix(), mix, atol=1e-5)
    streams = song_evaluator._variant(song_evaluator.removed)
    silent = [sum(piece is None for piece in streams[i].pieces) for i in range(3)]
    assert silent[0] == 0
    assert silent[1] >= 10  # of 20 blocks
    assert silent[2] == len(streams[2].pieces)


def test_a_subgroup_that_becomes_mono_or_stereo_has_its_own_responses() -> None:
    parameters, weights, sources, target = setup()
    values = (GRAPH, PROCESSORS, parameters, weights, sources, target, 20_000, (0, 1, 2))
    sources[:] = sources[:, :1]
    # Without what makes it stereo, the track of subgroup b is mono, and so is the subgroup.
    makers = tuple(
        i
        for i, node in enumerate(GRAPH.processors)
        if GRAPH.label(node).startswith("track z") and GRAPH.types[node] in ("gain_panning", "delay", "reverb")
    )
    used = SongEvaluator(*values)
    for removed in ((), makers, (), makers[1:], makers):
        assert used.evaluate(removed).loss == SongEvaluator(*values).evaluate(removed).loss
    used = SongEvaluator(*values)
    for removed in (makers, (), makers):  # the other way round
        assert used.evaluate(removed).loss == SongEvaluator(*values).evaluate(removed).loss


@pytest.mark.long
def test_what_is_kept_and_tried_stays_within_the_memory() -> None:
    """Whatever a trial removes: one processor, or one of every chain."""
    plenty = evaluator(block=7000)
    for outputs in (3, 7):
        memory = round(outputs * (plenty.span + 7000) * 8 / 0.75)
        song_evaluator = evaluator(block=7000, cache_bytes=memory)
        assert 0 < len(song_evaluator.kept) < 7
        for removed in ((), (0,), tuple(range(0, 35, 5))):
            assert song_evaluator.evaluate(removed).loss == plenty.evaluate(removed).loss
            streams = {
                id(s): s
                for s in (*song_evaluator._streams.values(), *(song_evaluator._tried or (0, {}))[1].values())
                if s.keep
            }
            pieces = [piece for s in streams.values() for piece in s.pieces if piece is not None]
            assert sum(piece.numel() * 4 for piece in pieces) <= 0.75 * memory
        song_evaluator.accept((0, 5, 10, 15, 20, 25, 30))
        again = evaluator(block=7000)
        again.accept((0, 5, 10, 15, 20, 25, 30))
        assert song_evaluator.evaluate((2,)).loss == again.evaluate((2,)).loss


def test_scores_of_a_variant_are_those_of_its_mix() -> None:
    song_evaluator = evaluator(block=7000)
    song_evaluator.accept((3, 9))
    assert song_evaluator.score() == song_evaluator.target.score(song_evaluator.mix())


@pytest.mark.parametrize("cache_bytes", [0, 1_000_000])
def test_little_memory_gives_the_same_floats(cache_bytes) -> None:
    plenty, little = evaluator(block=7000), evaluator(block=7000, cache_bytes=cache_bytes)
    assert len(little.kept) < len(plenty.kept) == 10
    for removed in ((), (20, 21)):
        assert little.evaluate(removed).loss == plenty.evaluate(removed).loss
    for song_evaluator in (little, plenty):
        song_evaluator.accept((20,))
    assert little.evaluate((3,)).loss == plenty.evaluate((3,)).loss
    assert torch.equal(little.mix(), plenty.mix())
    if cache_bytes == 0:
        assert not little._streams
        assert not little.responses.spectra
        streams = little._variant(little.removed)
        little.target.bounded_loss(little._reader(streams))
        kept_pieces = [sum(piece is not None for piece in stream.pieces) for stream in streams.values()]
        assert max(kept_pieces) <= 2  # what has been passed is forgotten


def test_a_stopped_trial_renders_no_further() -> None:
    parameters, weights, sources, target = setup(length=400_000)
    song_evaluator = SongEvaluator(GRAPH, PROCESSORS, parameters, weights, sources, target, 20_000)
    whole = song_evaluator.evaluate(()).loss
    outcome = song_evaluator.evaluate((0,), bound=whole / 1000)
    assert outcome.stopped
    _, streams = song_evaluator._tried
    assert len(streams[0].pieces) < 20 / 2
    assert song_evaluator.evaluate((0,)).loss == evaluate_alone((0,), parameters, weights, sources, target)


def evaluate_alone(removed, parameters, weights, sources, target):
    return SongEvaluator(GRAPH, PROCESSORS, parameters, weights, sources, target, 20_000).evaluate(removed).loss


def test_what_was_tried_is_not_rendered_again_when_accepted() -> None:
    song_evaluator = evaluator()
    song_evaluator.evaluate(())
    song_evaluator.evaluate((0,))
    tried = song_evaluator._tried[1]
    song_evaluator.accept((0,))
    assert song_evaluator._variant(song_evaluator.removed)[0] is tried[0]
