"""Candidate samplers against synthetic accept rules: the sequences of paper and published code, their ends."""

import random
from collections import Counter

import pytest

from mixgraph.pruning import BruteForce, DryWet, Hybrid, Sampler, SamplerSettings


def run(sampler, types, weights, accept, round_index=0, seed=0):
    """Plays a round; `accept` gets the candidates. Returns the list of (candidates, verdict)."""
    trials = sampler.trials(round_index, types, weights, random.Random(seed))
    played = []
    proposal = next(trials, None)
    while proposal is not None:
        assert proposal.candidates or proposal.measure, "an empty trial"
        verdict = accept(proposal.candidates)
        if proposal.candidates:
            played.append((proposal.candidates, verdict))
        assert len(played) < 10_000
        try:
            proposal = trials.send(0.0 if verdict else None)
        except StopIteration:
            break
    return played


def sizes(count, accept=lambda _: False, rule="reference"):
    return [len(c) for c, _ in run(DryWet(rule), ["equalizer"] * count, [i / count for i in range(count)], accept)]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [1]), (5, [1]), (10, [1]), (11, [1, 1]), (12, [1, 1]), (15, [2, 1]), (20, [2, 1]), (25, [2, 1, 1]),
        (30, [3, 2, 1]), (50, [5, 2, 1, 1]), (100, [10, 5, 2, 1, 1]),
    ],
)  # fmt: skip
def test_reference_rule_when_all_fails(count: int, expected: list[int]) -> None:
    assert sizes(count) == expected


@pytest.mark.parametrize("count", [1, 2, 9, 10])
def test_reference_rule_tries_few_nodes_once_even_when_it_succeeds(count: int) -> None:
    assert sizes(count, lambda _: True) == [1]


def test_reference_rule_finds_55_of_100_in_11_trials() -> None:
    played = run(DryWet("reference"), ["e"] * 100, [i / 100 for i in range(100)], lambda c: max(c) < 55)
    assert sum(len(c) for c, ok in played if ok) == 55
    assert len(played) == 11


def test_reference_rule_finds_12_of_13_at_25_in_8_trials() -> None:
    played = run(DryWet("reference"), ["e"] * 25, [i / 25 for i in range(25)], lambda c: max(c) < 13)
    assert sum(len(c) for c, ok in played if ok) == 12
    assert len(played) == 8


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, [1]), (9, [1]), (10, [1]), (20, [2, 1]), (30, [3, 1]), (50, [5, 2, 1]), (100, [10, 5, 2, 1])],
)
def test_paper_rule_when_all_fails(count: int, expected: list[int]) -> None:
    """Sizes are floor(N_t r_t), r_t halved at each failure; a single node's failure ends the type (Algorithm 3)."""
    assert sizes(count, rule="paper") == expected


@pytest.mark.parametrize("count", [1, 3, 9, 10, 11, 37, 100])
def test_paper_rule_removes_everything_when_all_succeeds(count: int) -> None:
    tried = sizes(count, lambda _: True, "paper")
    assert sum(tried) == count
    assert max(tried) == max(1, count // 10)


def test_paper_rule_takes_smallest_weights_first() -> None:
    weights = [0.5, 0.1, 0.9, 0.3]
    played = run(DryWet(), ["c"] * 4, weights, lambda _: True)
    assert [c for c, _ in played] == [(1,), (3,), (0,), (2,)]


def test_dry_wet_candidates_are_of_one_type() -> None:
    types = ["equalizer"] * 30 + ["reverb"] * 20 + ["delay"]
    weights = [random.Random(1).random() for _ in types]
    for rule in ("paper", "reference"):
        for candidates, _ in run(DryWet(rule), types, weights, lambda c: sum(c) % 3 == 0):
            assert len({types[i] for i in candidates}) == 1


@pytest.mark.parametrize("rule", ["paper", "reference"])
@pytest.mark.parametrize("seed", range(20))
def test_dry_wet_ends_and_never_tries_what_is_removed(rule: str, seed: int) -> None:
    rng = random.Random(seed)
    types = [rng.choice(["e", "c", "n", "g"]) for _ in range(rng.randrange(1, 120))]
    weights = [rng.random() for _ in types]
    removed: set[int] = set()

    def accept(candidates):
        assert not removed & set(candidates)
        if rng.random() < 0.6:
            removed.update(candidates)
            return True
        return False

    played = run(DryWet(rule), types, weights, accept, seed=seed)
    # Each type takes at most its count of successes and log2 of its first size plus one failures.
    assert len(played) <= len(types) + 8 * len(set(types))


def test_brute_force_tries_each_once_in_seeded_order() -> None:
    first = [c for c, _ in run(BruteForce(), ["e"] * 40, [0.5] * 40, lambda _: True, seed=3)]
    again = [c for c, _ in run(BruteForce(), ["e"] * 40, [0.5] * 40, lambda _: False, seed=3)]
    other = [c for c, _ in run(BruteForce(), ["e"] * 40, [0.5] * 40, lambda _: True, seed=4)]
    assert sorted(first) == [(i,) for i in range(40)]
    assert first == again != other


def test_brute_force_by_weight() -> None:
    weights = [0.5, 0.1, 0.9, 0.3]
    assert [c for c, _ in run(BruteForce("weight"), ["e"] * 4, weights, lambda _: True)] == [(1,), (3,), (0,), (2,)]


def test_hybrid_orders_its_brute_force_rounds() -> None:
    weights = [i / 8 for i in range(8)]
    played = run(Hybrid(4, order="weight"), ["e"] * 8, weights, lambda _: True, round_index=3)
    assert [c for c, _ in played] == [(i,) for i in range(8)]


def test_hybrid_is_brute_force_every_fourth_round() -> None:
    types, weights = ["e"] * 50, [i / 50 for i in range(50)]
    lengths = {r: len(run(Hybrid(4), types, weights, lambda _: False, r)) for r in range(12)}
    assert lengths == {r: 50 if r % 4 == 3 else 3 for r in range(12)}


def test_type_order_is_seeded_and_fair() -> None:
    first = Counter(
        ["e", "c"][run(DryWet(), ["e", "c"], [0.1, 0.1], lambda _: False, seed=s)[0][0][0]] for s in range(200)
    )
    assert 60 < first["e"] < 140  # a fair coin leaves this range once in 10^8


@pytest.mark.parametrize("sampler", [BruteForce(), BruteForce("loss_increase"), DryWet(), Hybrid()])
def test_nothing_left_means_no_trials(sampler: Sampler) -> None:
    assert run(sampler, [], [], lambda _: True) == []


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sampler: one of brute_force, dry_wet, hybrid.*, got 'random'"):
        SamplerSettings("random").make()
    with pytest.raises(ValueError, match="rule: 'paper' or 'reference'"):
        DryWet("other")
    with pytest.raises(ValueError, match="period: at least 1, got 0"):
        Hybrid(0)
    with pytest.raises(ValueError, match=r"order: one of random, weight, loss_increase.*, got 'best'"):
        BruteForce("best")
