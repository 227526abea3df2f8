"""The parts of the benchmark; each asks the workers and returns rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tools.benchmarks.cases import Case, song_name
from tools.benchmarks.extrapolation import peer_search_seconds
from tools.benchmarks.pool import Measured, Pool, Runner
from tools.benchmarks.table import Row, add_row

PHASES = ("total", "forward", "loss", "backward", "optimizer")
SAMPLERS = ("brute_force", "dry_wet", "hybrid")
STEP: dict[str, Any] = {"do": "step"}
EVALUATION: dict[str, Any] = {"do": "evaluation"}


@dataclass(frozen=True)
class Settings:
    """What all parts share.

    Attributes:
        base: the case that parts vary.
        tracks: consoles of the parts that are not sweeps.
        shares: of the processors left, in the part `step`.
        repeats: of every measurement.
        trials: of ours, a sampler and repeat, and of the peer, a sampler.
        songs: folders of real songs, for the part `search`.
        search_steps: console steps, rounds, steps after each round.
        whole_peer_search: run the peer's search instead of extrapolating.
        sweep_tracks, sweep_shares, sweep_clips, sweep_seconds: the values of each sweep.
        memory_seconds: song lengths in the part `memory`.
    """

    base: Case
    tracks: Sequence[int]
    shares: Sequence[float]
    repeats: int
    trials: tuple[int, int]
    songs: Sequence[str]
    search_steps: tuple[int, int, int]
    whole_peer_search: bool
    sweep_tracks: Sequence[int]
    sweep_shares: Sequence[float]
    sweep_clips: Sequence[float]
    sweep_seconds: Sequence[float]


def step(pool: Pool, settings: Settings) -> list[Row]:
    """A training step by phase."""
    rows: list[Row] = []
    for tracks in settings.tracks:
        for share in settings.shares:
            case = replace(settings.base, tracks=tracks, share=share)
            pool.log(f"step: {tracks} tracks, {share:.0%} of the processors")
            (found,) = pool.alternate(case, [STEP], settings.repeats, warm_up=STEP)
            for phase in PHASES:
                add_row(rows, "step", {"tracks": tracks, "share": share}, phase, found, phase)
    return rows


def evaluation(pool: Pool, settings: Settings) -> list[Row]:
    """The match loss of a whole song."""
    rows: list[Row] = []
    for tracks in settings.tracks:
        case = replace(settings.base, tracks=tracks)
        pool.log(f"evaluation: {tracks} tracks, {case.seconds:g} s")
        (found,) = pool.alternate(case, [EVALUATION], settings.repeats)
        add_row(rows, "evaluation", {"tracks": tracks, "seconds": case.seconds}, "whole song", found, "total")
    return rows


def trial(pool: Pool, settings: Settings) -> list[Row]:
    """A pruning trial, by sampler, with and without early stop; what is cached before it is a row of its own."""
    rows: list[Row] = []
    for tracks in settings.tracks:
        case = replace(settings.base, tracks=tracks, trained=True)
        pool.log(f"trial: {tracks} tracks, {case.seconds:g} s")
        ours = [r for r in pool.runners if r.side == "ours"]
        peer = [r for r in pool.runners if r.side == "peer"]
        kinds = [(sampler, early) for sampler in SAMPLERS for early in (False, True)]
        collected: list[dict[Runner, Measured]] = [{} for _ in kinds]
        for repeat in range(settings.repeats):
            for runners, count in ((ours, settings.trials[0]), (peer, settings.trials[1])):
                if not runners or (runners is peer and repeat):  # the peer's trials are long and all alike
                    continue
                requests = [{"do": "trials", "sampler": s, "early_stop": e, "count": count} for s, e in kinds]
                found = pool.alternate(case, requests, 1, runners=runners)
                for own, all_of_it in zip(found, collected, strict=False):
                    for runner, measured in own.items():
                        before = all_of_it.setdefault(runner, Measured())
                        before.answers += measured.answers
                        before.reason = measured.reason
        for (sampler, early), own in zip(kinds, collected, strict=True):
            about = {"tracks": tracks, "sampler": sampler, "early stop": "yes" if early else "no"}
            row = add_row(rows, "trial", about, "one trial", own, "seconds")
            if early:
                _early_stop_against_whole(row, rows[-3])
            add_row(rows, "trial", about, "start of a round", own, "start")
    return rows


def _early_stop_against_whole(row: Row, without: Row) -> None:
    """The peer always hears the whole song: its trials without early stop stand beside ours with it."""
    for name, samples in without.samples.items():
        if name.startswith("peer") and samples and not row.samples.get(name):
            row.samples[name], row.notes[name] = list(samples), "has no early stop"


def memory(pool: Pool, settings: Settings) -> list[Row]:
    """The most memory that a fresh process holds, in two training steps, or in an evaluation."""
    rows: list[Row] = []
    for tracks in settings.tracks:
        case = replace(settings.base, tracks=tracks)
        for name, request, repeats in (("two steps", STEP, 2), ("evaluation", EVALUATION, 1)):
            pool.log(f"memory: {tracks} tracks, {name}")
            row = Row("memory", {"tracks": tracks}, name, "MiB")
            for runner in pool.runners:
                pool.restart()
                asked = [{"do": "peak"}, request, {"do": "peak"}]
                before, done, peak = (found[runner] for found in pool.alternate(case, asked, repeats, runners=[runner]))
                if done.reason or not peak.answers:
                    row.notes[str(runner)] = f"not run ({done.reason})"
                else:
                    row.samples[str(runner)] = [peak.answers[-1]["bytes"] / 2**20]
                    row.notes[str(runner)] = f"{before.answers[0]['bytes'] / 2**20:.0f} before it"
            pool.restart()
            rows.append(row)
    return rows


def sweep(pool: Pool, settings: Settings) -> list[Row]:
    """Cost against the number of tracks, the share of processors left, the clip's and the song's length."""
    rows: list[Row] = []
    runners = [r for r in pool.runners if r.malloc == pool.runners[-1].malloc]
    base = settings.base
    axes: list[tuple[str, str, list[Case], list[dict[str, Any]]]] = [
        (
            "tracks",
            "tracks",
            [replace(base, tracks=n, seconds=min(base.seconds, 10.0)) for n in settings.sweep_tracks],
            [STEP, EVALUATION],
        ),
        (
            "share",
            "share",
            [replace(base, tracks=max(settings.tracks), share=s) for s in settings.sweep_shares],
            [STEP],
        ),
        ("clip_seconds", "clip seconds", [replace(base, clip_seconds=s) for s in settings.sweep_clips], [STEP]),
        ("seconds", "song seconds", [replace(base, seconds=s) for s in settings.sweep_seconds], [EVALUATION]),
    ]
    for name, label, cases, requests in axes:
        for case in cases:
            pool.log(f"sweep: {label} {getattr(case, name)}")
            warm_up = STEP if STEP in requests else None
            found = pool.alternate(case, requests, settings.repeats, warm_up, runners)
            for request, own in zip(requests, found, strict=True):
                about = {"axis": label, "value": getattr(case, name), "tracks": case.tracks}
                add_row(rows, "sweep", about, request["do"], own, "total")
    return rows


def search(pool: Pool, settings: Settings) -> list[Row]:
    """A whole short search on real songs; the peer's is put together from medians, unless it is run."""
    rows: list[Row] = []
    mallocs = {r.malloc for r in pool.runners}
    ours: Runner = Runner("ours", "tuned" if "tuned" in mallocs else "default")
    peer = Runner("peer", ours.malloc)
    steps, rounds, round_steps = settings.search_steps
    request = {"do": "search", "console_steps": steps, "rounds": rounds, "round_steps": round_steps}
    for path in settings.songs:
        pool.log(f"search: {song_name(path)}")
        case = replace(settings.base, song=path)
        (found,) = pool.alternate(case, [request], 1, runners=[ours], seconds=86400.0)
        row = Row("search", {"song": song_name(path), "steps": f"{steps} + {rounds} x {round_steps}"}, "hybrid")
        rows.append(row)
        answer = found[ours].answers[0] if found[ours].answers else None
        if answer is None:
            row.notes[str(ours)] = f"not run ({found[ours].reason})"
            continue
        row.samples[str(ours)] = [answer["total"]]
        row.notes[str(ours)] = _rounds(answer["rounds"])
        if peer not in pool.runners:
            continue
        if settings.whole_peer_search:
            (theirs,) = pool.alternate(case, [request], 1, runners=[peer], seconds=7 * 86400.0)
            row.samples[str(peer)] = [a["total"] for a in theirs[peer].answers]
            row.notes[str(peer)] = theirs[peer].reason or _rounds(theirs[peer].answers[0]["rounds"])
        else:
            _extrapolate(pool, settings, case, answer["rounds"], row, peer)
    return rows


def _extrapolate(
    pool: Pool, settings: Settings, case: Case, rounds: list[dict[str, int]], row: Row, peer: Runner
) -> None:
    """The peer's search from its median step and evaluation, at the full console and at what is left at the end."""
    left = rounds[-1]["after"] / rounds[0]["before"] if rounds else 1.0
    costs = []
    for share in (1.0, max(left, 0.05)):
        own = replace(case, share=share)
        step_found, evaluated = pool.alternate(own, [STEP, EVALUATION], settings.repeats, STEP, [peer])
        steps, evaluations = Row("", {}, ""), Row("", {}, "")
        steps.samples["peer"] = [a["total"] for a in step_found[peer].answers]
        evaluations.samples["peer"] = [a["total"] for a in evaluated[peer].answers]
        medians = steps.median("peer"), evaluations.median("peer")
        if medians[0] is None or medians[1] is None:
            row.notes[str(peer)] = f"not run ({step_found[peer].reason or evaluated[peer].reason})"
            return
        costs.append((share, medians[0], medians[1]))
    total = peer_search_seconds(settings.search_steps, rounds, costs[0], costs[1])
    row.samples[str(peer)] = [total]
    row.notes[str(peer)] = "EXTRAPOLATED: medians x the counts of our search"


def _rounds(rounds: list[dict[str, int]]) -> str:
    if not rounds:
        return "no rounds"
    trials = ", ".join(str(r["trials"]) for r in rounds)
    return f"{rounds[0]['before']} -> {rounds[-1]['after']} processors, trials {trials}"


PARTS: dict[str, Callable[[Pool, Settings], list[Row]]] = {
    "step": step,
    "evaluation": evaluation,
    "trial": trial,
    "search": search,
    "sweep": sweep,
    "memory": memory,
}
