"""The parts of the benchmark; each asks the workers and returns rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tools.bench.cases import Case, real_case
from tools.bench.speed.pool import Measured, Pool, Runner
from tools.bench.speed.schedules import schedules
from tools.bench.speed.search import search
from tools.bench.speed.settings import Settings
from tools.bench.speed.table import Row, add_row

PHASES = ("total", "forward", "loss", "backward", "optimizer")
SAMPLERS = ("brute_force", "dry_wet", "hybrid")
STEP: dict[str, Any] = {"do": "step"}
EVALUATION: dict[str, Any] = {"do": "evaluation"}


def step(pool: Pool, settings: Settings) -> list[Row]:
    """A training step by phase, on synthetic songs and on the real ones."""
    rows: list[Row] = []
    cases = [
        replace(settings.base, tracks=tracks, kind=kind, share=share)
        for tracks in settings.tracks
        for kind in settings.kinds
        for share in settings.shares
    ]
    for case in [*cases, *(real_case(settings.base, path) for path in settings.songs)]:
        pool.log(f"step: {case.audio}, {case.tracks} tracks, {case.share:.0%} of the processors")
        (measured,) = pool.alternate(case, [STEP], settings.repeats, warm_up=STEP)
        for phase in PHASES:
            add_row(rows, "step", _about(case) | {"share": case.share}, phase, measured, phase)
    return rows


def evaluation(pool: Pool, settings: Settings) -> list[Row]:
    """The match loss of a whole song."""
    rows: list[Row] = []
    for case in _synthetic(settings):
        pool.log(f"evaluation: {case.audio}, {case.tracks} tracks, {case.seconds:g} s")
        (measured,) = pool.alternate(case, [EVALUATION], settings.repeats)
        add_row(rows, "evaluation", _about(case) | {"seconds": case.seconds}, "whole song", measured, "total")
    return rows


def trial(pool: Pool, settings: Settings) -> list[Row]:
    """A pruning trial, by sampler, with and without early stop; beside it, what is evaluated and cached before."""
    rows: list[Row] = []
    ours = [r for r in pool.runners if r.side == "ours"]
    peer = [r for r in pool.runners if r.side == "peer"]
    kinds = [(sampler, early) for sampler in SAMPLERS for early in (False, True)]
    for case in _synthetic(settings):
        case = replace(case, trained=True)
        pool.log(f"trial: {case.audio}, {case.tracks} tracks, {case.seconds:g} s")
        collected: list[dict[Runner, Measured]] = [{} for _ in kinds]
        for repeat in range(settings.repeats):
            for runners, count in ((ours, settings.trials[0]), (peer, settings.trials[1])):
                if not runners or (runners is peer and repeat):  # the peer's trials are long and all alike
                    continue
                requests = [{"do": "trials", "sampler": s, "early_stop": e, "count": count} for s, e in kinds]
                results = pool.alternate(case, requests, 1, runners=runners)
                for of_kind, so_far in zip(results, collected, strict=False):
                    for runner, measured in of_kind.items():
                        before = so_far.setdefault(runner, Measured())
                        before.answers += measured.answers
                        before.reason = measured.reason
        for (sampler, early), of_kind in zip(kinds, collected, strict=True):
            about = _about(case) | {"sampler": sampler, "early stop": "yes" if early else "no"}
            for measure, key in (("one trial", "seconds"), ("start of a round", "start")):
                row = add_row(rows, "trial", about, measure, of_kind, key)
                if early:
                    _early_stop_against_whole(row, rows[-3])
    return rows


def _synthetic(settings: Settings) -> list[Case]:
    return [replace(settings.base, tracks=tracks, kind=kind) for tracks in settings.tracks for kind in settings.kinds]


def _about(case: Case) -> dict[str, Any]:
    return {"song": case.audio, "tracks": case.tracks}


def _early_stop_against_whole(row: Row, without: Row) -> None:
    """Puts the peer's trials, which always evaluate the whole song, beside ours with early stop."""
    for name, samples in without.samples.items():
        if name.startswith("peer") and samples and not row.samples.get(name):
            row.samples[name], row.notes[name] = list(samples), "no early stop"


def memory(pool: Pool, settings: Settings) -> list[Row]:
    """The most memory that a fresh process holds, in two training steps, or in an evaluation."""
    rows: list[Row] = []
    for tracks in settings.tracks:
        case = replace(settings.base, tracks=tracks)
        for name, request, repeats in (("two steps", STEP, 2), ("evaluation", EVALUATION, 1)):
            pool.log(f"memory: {tracks} tracks, {name}")
            row = Row("memory", _about(case), name, "MiB")
            for runner in pool.runners:
                pool.restart()
                requests = [{"do": "peak"}, request, {"do": "peak"}]
                before, done, peak = (
                    result[runner] for result in pool.alternate(case, requests, repeats, runners=[runner])
                )
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
            results = pool.alternate(case, requests, settings.repeats, warm_up, runners)
            for request, measured in zip(requests, results, strict=True):
                about = {"axis": label, "value": getattr(case, name), "tracks": case.tracks}
                add_row(rows, "sweep", about, request["do"], measured, "total")
    return rows


PARTS: dict[str, Callable[[Pool, Settings], list[Row]]] = {
    "step": step,
    "evaluation": evaluation,
    "trial": trial,
    "search": search,
    "sweep": sweep,
    "memory": memory,
    "schedule": schedules,
}
