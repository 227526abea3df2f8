"""Whole searches on real songs: run in full, or put together from medians and counts."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field, replace
from typing import Any

from tools.bench.cases import Case, real_case
from tools.bench.kept_searches import Search
from tools.bench.machine import processor, versions
from tools.bench.recipe import DEFAULT_RECIPE, Recipe
from tools.bench.speed.extrapolation import Cost, continued, our_seconds, peer_seconds, with_fewest_trials
from tools.bench.speed.pool import Pool, Runner
from tools.bench.speed.settings import Settings
from tools.bench.speed.table import Row

# Measure, its name in an answer, and its unit.
SECONDS = ("search", "total", "s")
OTHERS = (
    ("a training step", "step", "s"),
    ("loss over target", "loss_target", ""),
    ("loss over prediction", "loss_prediction", ""),
    ("published protocol, over target", "published_target", ""),
    ("published protocol, over prediction", "published_prediction", ""),
    ("pruning ratio", "pruning_ratio", ""),
)
EXTRAPOLATED = "EXTRAPOLATED"
LEAST_SHARE = 0.05
_SEARCH_SECONDS = 7 * 86400.0


@dataclass
class _Side:
    """A side's searches of a song: one a seed, until one could not be run, and why."""

    runner: Runner
    searches: dict[int, Search] = field(default_factory=dict)
    reason: str = ""

    @property
    def answers(self) -> list[dict[str, Any]]:
        return [search.answer for search in self.searches.values()]

    @property
    def runs(self) -> list[str]:
        return [search.earlier for search in self.searches.values()]


def search(pool: Pool, settings: Settings) -> list[Row]:
    """Short searches, seed by seed and side by side, and what the default recipe would take."""
    rows: list[Row] = []
    malloc = max(runner.malloc for runner in pool.runners)  # "tuned", where both are measured
    runners = [runner for runner in pool.runners if runner.malloc == malloc]
    for path in (*settings.songs, *settings.extrapolate_songs):
        case = real_case(settings.base, path)
        pool.log(f"search: {case.audio}")
        whole_peer_search = settings.whole_peer_search and path in settings.songs
        sides = [_Side(runner) for runner in runners if runner.side == "ours" or whole_peer_search]
        for seed in settings.seeds:
            for side in sides:
                if not side.reason:
                    _search(pool, settings, case, side, seed)
        peer = next((runner for runner in runners if runner.side == "peer"), None)
        rows += _rows(pool, settings, case, sides, peer)
    return rows


def _search(pool: Pool, settings: Settings, case: Case, side: _Side, seed: int) -> None:
    """Runs a search, or takes it from an earlier run."""
    recipe = settings.recipe
    request = {
        "console_steps": recipe.console_steps,
        "rounds": recipe.rounds,
        "round_steps": recipe.round_steps,
        "seed": seed,
    }
    key = request | {
        "side": side.runner.side,
        "malloc": side.runner.malloc,
        "threads": pool.threads,
        "song": case.audio,
        "sample_rate": case.sample_rate,
        "clip_seconds": case.clip_seconds,
        "versions": versions(side.runner.side),
        "processor": processor(),
    }
    search = settings.searches.get(key)
    if search is not None:
        pool.log(f"  {side.runner}: seed {seed}: from the run of {search.earlier}")
    else:
        requests = [{"do": "search"} | request]
        (answers,) = pool.alternate(case, requests, 1, runners=[side.runner], seconds=_SEARCH_SECONDS)
        side.reason = answers[side.runner].reason
        if side.reason:
            return
        search = settings.searches.add(key, answers[side.runner].answers[0])
    side.searches[seed] = search


def _rows(pool: Pool, settings: Settings, case: Case, sides: list[_Side], peer: Runner | None) -> list[Row]:
    """The measured row of a song, and that of the default recipe."""
    about = {"song": case.audio, "tracks": case.tracks, "length": f"{case.seconds:.0f} s"}
    rows = [
        Row("search", about | {"steps": str(settings.recipe)}, measure, unit) for measure, _, unit in (SECONDS, *OTHERS)
    ]
    longer = Row("search", about | {"steps": str(DEFAULT_RECIPE)}, SECONDS[0])
    for side in sides:
        name = str(side.runner)
        for row, (_, key, _) in zip(rows, (SECONDS, *OTHERS), strict=True):
            row.samples[name] = [answer[key] for answer in side.answers]
            row.runs[name] = side.runs
        if side.reason:
            done = f"{len(side.searches)} of {len(settings.seeds)} seeds, then " if side.searches else ""
            rows[0].notes[name] = f"{done}not run ({side.reason})"
        rows[0].details += [
            _described(rows[0], side.runner, seed, search.answer) for seed, search in side.searches.items()
        ]
    ours = sides[0]
    if not ours.searches:
        return rows
    _extrapolate_ours(longer, ours)
    if peer is not None:
        costs = _peer_costs(pool, settings, case, peer, ours)
        if isinstance(costs, str):
            for row in (longer, *rows[:1]):
                row.notes.setdefault(str(peer), f"not run ({costs})")
        elif len(sides) > 1 and sides[1].searches:
            _extrapolate_measured_peer(settings.recipe, rows[0], longer, sides[1], costs)
        else:
            _extrapolate_peer(settings.recipe, rows[0], longer, ours, str(peer), costs)
    return [*rows, longer]


def _described(row: Row, runner: Runner, seed: int, answer: dict[str, Any]) -> str:
    rounds = answer["rounds"]
    trials = ", ".join(str(of_round["trials"]) for of_round in rounds)
    return (
        f"{row.case['song']}, {runner}, seed {seed}: {answer['steps']} steps on the loss over the "
        f"{answer['optimised']}'s norm, {rounds[0]['before']} -> {rounds[-1]['after']} processors, trials {trials}"
    )


def _extrapolate_ours(longer: Row, ours: _Side) -> None:
    """The default recipe's search of ours from the times and counts of the short ones."""
    name = str(ours.runner)
    counted = [continued(answer["rounds"], DEFAULT_RECIPE.rounds) for answer in ours.answers]
    longer.samples[name] = [
        our_seconds(DEFAULT_RECIPE, answer["console_step"], rounds)
        for answer, rounds in zip(ours.answers, counted, strict=True)
    ]
    longer.notes[name], longer.runs[name] = EXTRAPOLATED, ours.runs
    longer.details.append(_counts(longer, name, "as counted", counted))


def _extrapolate_measured_peer(recipe: Recipe, row: Row, longer: Row, peer: _Side, costs: tuple[Cost, Cost]) -> None:
    """The default recipe's search of the peer from its medians and its own counts; these, checked on the short one."""
    name = str(peer.runner)
    short = statistics.median(peer_seconds(recipe, answer["rounds"], *costs) for answer in peer.answers)
    measured = statistics.median(answer["total"] for answer in peer.answers)
    row.details.append(
        f"{row.case['song']}, {name}: its medians times its counts are {short:.0f} s, {short / measured - 1:+.0%} of "
        "what was measured"
    )
    counted = [continued(answer["rounds"], DEFAULT_RECIPE.rounds) for answer in peer.answers]
    longer.samples[name] = [peer_seconds(DEFAULT_RECIPE, rounds, *costs) for rounds in counted]
    longer.notes[name], longer.runs[name] = EXTRAPOLATED, peer.runs
    longer.details.append(_counts(longer, name, "as counted", counted))


def _extrapolate_peer(recipe: Recipe, row: Row, longer: Row, ours: _Side, name: str, costs: tuple[Cost, Cost]) -> None:
    """Both searches of a peer that was not run, from its medians: our processors, the fewest trials of its rules."""
    for of_recipe, into in ((recipe, row), (DEFAULT_RECIPE, longer)):
        counted = [with_fewest_trials(continued(answer["rounds"], of_recipe.rounds)) for answer in ours.answers]
        into.samples[name] = [peer_seconds(of_recipe, rounds, *costs) for rounds in counted]
        into.notes[name] = ", ".join(filter(None, (into.notes.get(name, ""), EXTRAPOLATED)))
        into.details.append(_counts(into, name, "the fewest that its rules can have", counted))


def _counts(row: Row, name: str, how: str, counted: list[list[dict[str, Any]]]) -> str:
    trials = "; ".join(", ".join(str(of_round["trials"]) for of_round in rounds) for rounds in counted)
    return f"{row.case['song']}, {row.case['steps']}, {name}: trials, {how}, by seed: {trials}"


def _peer_costs(pool: Pool, settings: Settings, case: Case, peer: Runner, ours: _Side) -> tuple[Cost, Cost] | str:
    """The peer's costs at the full console and at the share that our searches left, or why there are none."""
    left = statistics.median(1 - answer["pruning_ratio"] for answer in ours.answers)
    costs = []
    for share in (1.0, max(left, LEAST_SHARE)):
        requests: list[dict[str, Any]] = [{"do": "step"}, {"do": "evaluation"}]
        share_case = replace(case, share=share)
        step, evaluation = (
            measured[peer] for measured in pool.alternate(share_case, requests, settings.repeats, requests[0], [peer])
        )
        if not (step.answers and evaluation.answers):
            return step.reason or evaluation.reason
        medians = [statistics.median(a["total"] for a in measured.answers) for measured in (step, evaluation)]
        costs.append(Cost(share, *medians))
    return costs[0], costs[1]
