"""Runs the searches of tables and figures that are missing, and reads all of their results."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from mixgraph.dataset import BuildFolder, FileHashes, SongSource, find_sources
from mixgraph.dataset.files import read_lines, write_json
from mixgraph.dataset.settings import differences
from mixgraph.paper.published import ALL
from mixgraph.paper.readings import Reading, read_search, version_of
from mixgraph.paper.subsets import choose
from mixgraph.results import CONSOLE
from mixgraph.songs.layouts import detect_layout
from mixgraph.system.locks import locked
from tools.bench.recipe import Recipe
from tools.dataset.build import Search, make_jobs, resolve_settings, run_searches
from tools.dataset.machines import make_workers, num_threads
from tools.paper.variants import PAPER_PRUNING_STEPS, Variant

SETTINGS, SEARCHES = "settings.json", "searches"
_NAMES = {"medleydb": "MedleyDB", "mixing_secrets": "MixingSecrets", "musdb": "MUSDB18"}
_OTHER = "songs"
_LOCK_SECONDS = 20.0
_NOT_HERE = (
    *("--start", "--budget", "--time.", "--ckpt_path", "--data.path", "--data.steps_per_stage"),
    *("--pruning.", "--result.", "--seed_everything"),
)


@dataclass(frozen=True, eq=False)
class ChosenSongs:
    """The songs of tables and figures.

    Attributes:
        sources: the songs, in order of names.
        data_sets: song -> data set.
        notes: sentences on how they were chosen.
        unreadable: song -> why it cannot be read.
    """

    sources: list[SongSource]
    data_sets: dict[str, str]
    notes: list[str]
    unreadable: dict[str, str]


@dataclass(frozen=True, eq=False)
class Results:
    """The results of all searches.

    Attributes:
        readings: variant -> song -> the results of its runs.
        data_sets: song -> data set.
        reasons: song -> why it lacks results.
        notes: sentences on how the songs were chosen.
    """

    readings: dict[str, dict[str, list[Reading]]]
    data_sets: dict[str, str]
    reasons: dict[str, str]
    notes: list[str] = field(default_factory=list)

    def of(self, variants: Sequence[Variant]) -> dict[Any, dict[str, Reading]]:
        """Returns the row of each variant -> song -> its first result."""
        return {v.row: {song: runs[0] for song, runs in self.readings[v.name].items()} for v in variants}


def choose_songs(
    paths: Sequence[str], subset: str, seed: int, hashes: FileHashes, settings: Mapping[str, Any]
) -> ChosenSongs:
    """Finds the songs of `[DATA SET=]PATH...`, and takes the chosen ones of each data set.

    A data set that is not named has the name of its layout: MedleyDB, MixingSecrets, MUSDB18, or "songs".

    Raises:
        FileNotFoundError, ValueError: as `find_sources` and `choose`, or two songs have one name.
    """
    data = settings["data"]
    sources: dict[str, SongSource] = {}
    data_sets: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    for text in paths:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = "", text
        if name == ALL:
            raise ValueError(f"songs: {text}: {ALL} is the row of all data sets together. HINT: another NAME=PATH")
        found, odd = find_sources([path], hashes, data["layout"], data["subgrouping"])
        unreadable |= odd
        for song in found:
            if song.name in sources:
                where = f"{sources[song.name].folder} and {song.folder}"
                raise ValueError(f"songs: {where} are both named {song.name}; rename one, or leave it out")
            sources[song.name] = song
            data_sets[song.name] = name or _NAMES.get(detect_layout(song.folder), _OTHER)
    groups: dict[str, list[str]] = {}
    for song_name, data_set in data_sets.items():
        groups.setdefault(data_set, []).append(song_name)
    chosen, notes = choose(groups, subset, seed)
    names = sorted(name for names in chosen.values() for name in names)
    return ChosenSongs([sources[name] for name in names], {name: data_sets[name] for name in names}, notes, unreadable)


def search(
    options: argparse.Namespace, overrides: Sequence[str], variants: Sequence[Variant], console: Console
) -> Results:
    """Runs the searches that are missing, and reads all results.

    Raises:
        ValueError: options that cannot be used, or a folder of other settings.
    """
    refused = [argument for argument in overrides if argument.startswith(_NOT_HERE)]
    if refused:
        raise ValueError(f"{', '.join(refused)}: the tables set these. HINT: --schedule, --songs, --seed, --out")
    out: Path = options.out.resolve()
    recipe = Recipe.checked(options.schedule, "--schedule")
    settings = {variant.name: _settings(variant, recipe, options, overrides) for variant in variants}
    first = next(iter(settings.values()))
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / ".lock", partial(_busy, out), _LOCK_SECONDS) as lock:
        hashes = FileHashes(out / ".hashes.json")
        songs = choose_songs(options.songs, options.subset, options.subset_seed, hashes, first)
        hashes.save()
        begun_by = _keep_settings(out, options, overrides, songs)
        _check_version(out, begun_by, variants, songs.sources, settings)
        threads = num_threads(options, first)
        sees_out = not options.ray or options.shared  # other machines cannot read a kept console here
        for stage in _stages(variants):
            searches = [
                found for variant in stage for found in _searches(out, variant, songs.sources, settings, sees_out)
            ]
            run_searches(searches, lambda: make_workers(options, first, threads, lock), threads, console)
    return _read(out, variants, songs, settings)


def one_line(reason: str) -> str:
    """Joins the lines of a message, of which the first often says no more than that there are problems."""
    return " ".join(reason.split())


def _busy(out: Path, holder: str) -> str:
    return f"out: another command runs in {out}: {holder}; wait until it has ended"


def _settings(
    variant: Variant, recipe: Recipe, options: argparse.Namespace, overrides: Sequence[str]
) -> dict[str, Any]:
    """Resolves the settings of a variant; the ramp of the sparsity is shortened with the schedule."""
    arguments = [*variant.arguments, f"--seed_everything={options.seed}", *overrides]
    configs, rest = list(options.config), []
    for previous, argument in zip(["", *arguments], arguments, strict=False):
        if previous == "--config":
            configs.append(argument)
        elif argument != "--config":
            rest.append(argument)
    settings = resolve_settings(configs, rest)
    pruning_steps = recipe.rounds * recipe.round_steps
    if pruning_steps != PAPER_PRUNING_STEPS and not any("sparsity_ramp_steps" in argument for argument in overrides):
        regularizers = settings["model"]["regularizers"]
        regularizers["sparsity_ramp_steps"] = round(
            regularizers["sparsity_ramp_steps"] * pruning_steps / PAPER_PRUNING_STEPS
        )
    return settings


def _keep_settings(out: Path, options: argparse.Namespace, overrides: Sequence[str], songs: ChosenSongs) -> str:
    """Writes what all tables in a folder have in common; refuses a folder of other settings.

    Returns:
        The version of mixgraph that began the folder.
    """
    settings = {
        "schedule": list(options.schedule),
        "config": list(options.config),
        "options": list(overrides),
        "seed": options.seed,
    }
    path, begun_by = out / SETTINGS, version("mixgraph")
    if path.exists():
        saved = json.loads(path.read_text(encoding="utf-8"))
        begun_by = saved.get("version", begun_by)
        changed = differences({key: saved.get(key) for key in settings}, settings)
        if changed:
            raise ValueError(
                f"out: {out} holds searches of other settings ({', '.join(changed)}); choose another --out, or give "
                "the settings that it has"
            )
    chosen = {"songs": songs.data_sets, "subset": options.subset, "chosen": songs.notes}
    write_json(path, settings | chosen | {"version": begun_by})
    return begun_by


def _check_version(
    out: Path,
    begun_by: str,
    variants: Sequence[Variant],
    songs: Sequence[SongSource],
    settings: Mapping[str, dict[str, Any]],
) -> None:
    """Refuses to add searches to those of another version, of which no table could be made.

    Tables of searches that are all there can be made by any version.
    """
    here, is_due, of = version("mixgraph"), False, {begun_by}
    for variant in variants:
        folder, jobs = _folder(out, variant.name), make_jobs(songs, variant.runs, settings[variant.name])
        for job, due in zip(jobs, folder.why_due(jobs), strict=True):
            is_due |= bool(due)
            of |= set() if due else {version_of(folder.result(job))}
    others = ", ".join(sorted(of - {here}))
    if is_due and others:
        raise ValueError(
            f"out: {out} has searches of version {others} of mixgraph, and those that are missing would be of {here}: "
            "no table can be made of two versions. HINT: another --out, or that version"
        )


def _stages(variants: Sequence[Variant]) -> list[list[Variant]]:
    """Parts the variants into those from the start, and those that begin from the console of one of them."""
    stages = [[v for v in variants if not v.begins_from], [v for v in variants if v.begins_from]]
    return [stage for stage in stages if stage]


def _searches(
    out: Path, variant: Variant, songs: Sequence[SongSource], settings: Mapping[str, dict[str, Any]], sees_out: bool
) -> list[Search]:
    folder = _folder(out, variant.name)
    folder.sweep()
    consoles = _consoles(out, variant.begins_from, songs, settings) if variant.begins_from and sees_out else {}
    jobs = make_jobs(songs, variant.runs, settings[variant.name])
    return [Search(folder, job, consoles.get(job.name, ""), f"{variant.name}: ") for job in jobs]


def _consoles(
    out: Path, name: str, songs: Sequence[SongSource], settings: Mapping[str, dict[str, Any]]
) -> dict[str, str]:
    """Returns the consoles that the searches of a variant kept, by job; not those of searches by other settings."""
    folder, jobs = _folder(out, name), make_jobs(songs, 1, settings[name])
    kept = {
        job.name: folder.result(job) / CONSOLE for job, due in zip(jobs, folder.why_due(jobs), strict=True) if not due
    }
    return {job: str(path) for job, path in kept.items() if path.is_file()}


def _folder(out: Path, name: str) -> BuildFolder:
    root = out / SEARCHES / name
    root.mkdir(parents=True, exist_ok=True)
    return BuildFolder(root)


def _read(
    out: Path, variants: Sequence[Variant], songs: ChosenSongs, settings: Mapping[str, dict[str, Any]]
) -> Results:
    """Reads the results that are there and up to date."""
    readings: dict[str, dict[str, list[Reading]]] = {}
    reasons = {song: one_line(why) for song, why in songs.unreadable.items()}
    for variant in variants:
        folder = _folder(out, variant.name)
        jobs = make_jobs(songs.sources, variant.runs, settings[variant.name])
        of_songs: dict[str, list[Reading]] = {}
        for job, due in zip(jobs, folder.why_due(jobs), strict=True):
            if not due:
                of_songs.setdefault(job.song.name, []).append(read_search(folder.result(job)))
        readings[variant.name] = {song: runs for song, runs in of_songs.items() if len(runs) == variant.runs}
        for row in read_lines(folder.failures):
            if row["song"] in songs.data_sets:  # others are of an earlier command
                reasons.setdefault(row["song"], f"{variant.name}: {one_line(row['reason'])}")
    data_sets = songs.data_sets | dict.fromkeys(songs.unreadable, "")
    return Results(readings, data_sets, reasons, songs.notes)
