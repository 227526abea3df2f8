"""The readers that `tools.fuzz` gives files to, each with a valid file: every place where mixgraph reads a file."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import yaml

RATE = 8000
_SWEEP = {
    "program": "mixgraph",
    "method": "random",
    "metric": {"name": "validation/loss", "goal": "minimize"},
    "parameters": {
        "pruning.sampler": {"values": ["brute_force", "dry_wet"]},
        "pruning.tolerance": {"distribution": "log_uniform_values", "min": 0.01, "max": 0.1},
    },
    "command": ["${interpreter}", "-m", "${program}", "fit", "--config", "demo.yaml", "${args}"],
}


@dataclass(frozen=True)
class Target:
    """A reader, and a file that it reads.

    Attributes:
        name: the name of the target on the command line.
        folder: the folder with a valid file, and all that the reader needs beside it.
        file: the path of that file in the folder.
        read: reads the file in a copy of the folder, which it is given.
        form: the form of the file, a name in `tools.fuzz_changes.FORMS`, where values of the file are changed besides
            its bytes; else "".
    """

    name: str
    folder: Path
    file: str
    read: Callable[[Path], object]
    form: str = ""


def song_targets(folder: Path) -> list[Target]:
    """Readers of songs: the files of all layouts, audio, and the cache of decoded songs."""
    from mixgraph.songs import load_song
    from mixgraph.songs.layouts import song_files

    def read(copy: Path) -> object:
        return load_song(copy, sample_rate=RATE)

    noise = 0.1 * np.random.default_rng(0).standard_normal((RATE // 2, 2))  # as long as its loudness needs
    plain, medley, secrets, stems = (folder / name for name in ("plain", "A_Song", "secrets", "stems"))
    for path in (
        *(plain / name for name in ("mix.wav", "tracks/a.wav", "tracks/b.flac", "tracks/c.aiff", "tracks/d.ogg")),
        *(medley / name for name in ("A_Song_MIX.wav", "A_Song_RAW/A_Song_RAW_01_01.wav")),
        *(secrets / name for name in ("mix.wav", "Dry/01_Kick.wav")),
        *(stems / name for name in ("mixture.wav", "drums.wav")),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, noise, RATE)
    tracks = ["a.wav", "b.flac", "c.aiff", "d.ogg"]
    stated = {"title": "A song", "subgroups": {"all": tracks}}
    (plain / "song.yaml").write_text(yaml.safe_dump(stated))
    stem = {"instrument": "kick drum", "raw": {"R01": {"filename": "A_Song_RAW_01_01.wav", "instrument": "kick drum"}}}
    metadata = {"artist": "A", "title": "Song", "mix_filename": "A_Song_MIX.wav", "raw_dir": "A_Song_RAW"}
    (medley / "A_Song_METADATA.yaml").write_text(yaml.safe_dump(metadata | {"stems": {"S01": stem}}))
    (secrets / "correspondence.yaml").write_text("Drum: [01_Kick.wav]\n")
    alignment = {"mix.wav": 0.01, "rough_mix.wav": 0.0}
    (secrets / "alignment.json").write_text(json.dumps(alignment))
    pickled = shutil.copytree(secrets, folder / "pickled")
    (pickled / "alignment.json").unlink()
    (pickled / "alignment.pickle").write_bytes(pickle.dumps({key: np.float64(x) for key, x in alignment.items()}))
    cached = shutil.copytree(stems, folder / "cached" / "copy")  # the name by which `tools.fuzz` copies it
    load_song(cached, sample_rate=RATE, memory_limit_gb=0, cache_dir=cached / "cache")
    (meta,) = (cached / "cache").glob("*/song.json")

    def read_cached(copy: Path) -> object:
        return load_song(copy, sample_rate=RATE, memory_limit_gb=0, cache_dir=copy / "cache")

    return [
        Target("song.yaml", plain, "song.yaml", read, "yaml"),
        *(Target(f"audio, {name[2:]}", plain, f"tracks/{name}", read) for name in tracks),
        Target("mix.wav", plain, "mix.wav", read),
        Target("METADATA.yaml", medley, "A_Song_METADATA.yaml", song_files, "yaml"),
        Target("correspondence.yaml", secrets, "correspondence.yaml", song_files, "yaml"),
        Target("alignment.json", secrets, "alignment.json", song_files, "json"),
        Target("alignment.pickle", pickled, "alignment.pickle", song_files),
        Target("cached song", cached, meta.relative_to(cached).as_posix(), read_cached, "json"),
        Target("cached audio", cached, f"{meta.parent.relative_to(cached).as_posix()}/sources.npy", read_cached),
    ]


def _write_texts(folder: Path, build: dict[str, Any], sweep: dict[str, Any]) -> None:
    """Writes the files of `text_targets`.

    Args:
        folder: where they are written.
        build: the record of a job of a build.
        sweep: the record of a trial of a sweep.
    """
    from mixgraph.blind.reference import SHIPPED
    from mixgraph.results.changes import FORMAT, VERSION
    from mixgraph.results.demix_record import MARK
    from mixgraph.style.training_mixes import SHIPPED as MIXES

    folder.mkdir(parents=True)
    stems = {name: {"file": f"{name}.flac"} for name in ("vocals", "drums")}
    rates = {"sample_rate": 44100, "network_sample_rate": 44100, "samples": 1000, "sum_distance_db": -20.0}
    changes: dict[str, Any] = {"format": FORMAT, "version": VERSION, "graph": "x", "mute": ["a"]}
    trial = {"state": "stopped", "reports": [[1, 0.5], [2, 0.4]], "seconds": 1.0}
    card = {"name": "a set", "description": "of songs", "datePublished": "2026-11-30", "citeAs": "A"}
    failure = {"song": "t", "run": 0, "reason": "died", "attempts": 1, "details": "", "unusable": False}
    texts: dict[str, Any] = {
        "changes.json": changes | {"processors": {"a": {"gain": 1.0}}},
        "demix.json": {"format": MARK, "stems": stems, "mix": "mix.wav", "checkpoint": {"file": "best.ckpt"}, **rates}
        | {"notes": []},
        "sweep.yaml": _SWEEP,
        "build/hashes.json": {"mix.wav": [0, 0, "0"]},
        "build/results/s/run_0/job.json": build,
        "sweep/record.json": {"version": 1},
        "sweep/trials/trial_000/job.json": sweep | trial,
        "logged/trials/trial_000/job.json": sweep | trial | {"state": "done"},
        "set/croissant.json": card,
    }
    for name, value in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(value) if path.suffix == ".yaml" else json.dumps(value))
    (folder / "build" / "failures.jsonl").write_text(json.dumps(failure) + "\n")
    (folder / "sweep" / "failures.jsonl").write_text(json.dumps({"name": "trial_001", "reason": "died"}) + "\n")
    logs = folder / "logged" / "trials" / "trial_000" / "log" / "version_0"
    logs.mkdir(parents=True)
    (logs / "metrics.csv").write_text("epoch,validation/loss\n0,9.0\n1,0.5\n")
    shutil.copy(SHIPPED, folder / "reference.json")
    shutil.copy(MIXES, folder / "mixes.json")


def text_targets(folder: Path) -> list[Target]:
    """Readers of texts that no search writes: changes, configurations, sweeps, builds, reference states."""
    from mixgraph.blind.reference import read_reference
    from mixgraph.dataset.folder import BuildFolder
    from mixgraph.dataset.jobs import Job
    from mixgraph.dataset.sources import FileHashes, SongSource
    from mixgraph.results.changes import read_changes
    from mixgraph.results.demix_record import read_demix_record
    from mixgraph.shards.texts import read_texts
    from mixgraph.style.training_mixes import read_training_mixes
    from mixgraph.sweeps.folder import SweepFolder, TrialJob
    from mixgraph.sweeps.sweep_file import Metric, read_sweep

    song = SongSource("s", Path("s"), "CC0", None, 1.0, 1, {"mix.wav": "0"}, {"layout": "plain"})
    config = {"seed_everything": 42, "data": {"steps_per_stage": 3}, "pruning": {"rounds": 1}}
    build, sweep = Job(song, 0, config), TrialJob(0, 1, {"pruning.tolerance": 0.1})
    metric = Metric("validation/loss", "minimize")
    _write_texts(folder, build.record(), sweep.record(""))

    def read_build(copy: Path) -> object:
        return BuildFolder(copy / "build").why_due([build]), BuildFolder(copy / "build").read_failures("t")

    def read_trials(copy: Path) -> object:
        trials = SweepFolder(copy / "sweep", metric)
        return trials.saved_record(), trials.failures(), trials.read(sweep)

    def read_trial(copy: Path) -> object:
        return SweepFolder(copy / "logged", metric).read(sweep)

    return [
        Target("changes.json", folder, "changes.json", lambda copy: read_changes(copy / "changes.json"), "json"),
        Target("demix.json", folder, "demix.json", read_demix_record, "json"),
        Target("reference.json", folder, "reference.json", lambda c: read_reference(c / "reference.json"), "json"),
        Target("mixes.json", folder, "mixes.json", lambda c: read_training_mixes(c / "mixes.json"), "json"),
        Target("sweep file", folder, "sweep.yaml", lambda copy: read_sweep(copy / "sweep.yaml"), "yaml"),
        Target("record of a sweep", folder, "sweep/record.json", read_trials, "json"),
        Target("record of a trial", folder, "sweep/trials/trial_000/job.json", read_trials, "json"),
        Target("failures of a sweep", folder, "sweep/failures.jsonl", read_trials, "lines"),
        Target("log of a trial", folder, "logged/trials/trial_000/log/version_0/metrics.csv", read_trial),
        Target(
            "hashes of a build",
            folder,
            "build/hashes.json",
            lambda c: FileHashes(c / "build/hashes.json")(c / "sweep.yaml"),
            "json",
        ),
        Target("record of a build", folder, "build/results/s/run_0/job.json", read_build, "json"),
        Target("failures of a build", folder, "build/failures.jsonl", read_build, "lines"),
        Target("card", folder, "set/croissant.json", lambda copy: read_texts(copy / "set"), "json"),
    ]


def command_targets(folder: Path) -> list[Target]:
    """The command line, which reads a configuration by `--config`."""
    folder.mkdir(parents=True)
    settings = {"seed_everything": 1, "model": {"track_chain": "eg"}, "trainer": {"logger": False}}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return [Target("fit --config", folder, "config.yaml", lambda copy: _parse(copy / "config.yaml"), "yaml")]


def _parse(path: Path) -> None:
    """Parses the options of `fit` with a configuration, as the command does, and makes nothing of them.

    Raises:
        ValueError: the options are refused, with exit code 2 or by a message.
    """
    from mixgraph.cli.arguments import prepare
    from mixgraph.cli.training import run

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
        before, sys.argv = sys.argv, ["mixgraph"]
        try:
            run(prepare(["fit", "--config", str(path), "--print_config"]))
        except SystemExit as end:
            if end.code not in (0, None):
                raise ValueError(told.getvalue()) from end
        finally:
            sys.argv = before


def network_targets(folder: Path) -> list[Target]:
    """Readers of trained networks, and of checkpoints of any kind."""
    from mixgraph.checkpoints import read_checkpoint, sealed
    from mixgraph.demixing import Demixer, load_demixer
    from mixgraph.demixing.network import NetworkSettings as DemixerNetwork
    from mixgraph.demixing.pruning import demixer_bytes
    from mixgraph.demixing.settings import DemixerTransform
    from mixgraph.estimators.module import EstimatorModule
    from mixgraph.estimators.settings import EstimatorTask, NetworkSettings
    from mixgraph.estimators.weights import load_estimator, save_weights

    folder.mkdir(parents=True)
    transform = DemixerTransform(num_bands=14, low_hz=150.0, slice_samples=256, sample_rate=RATE)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        estimator = EstimatorModule(EstimatorTask(RATE, 1.0, "eg", "g"), NetworkSettings(8, 1))
        demixer = Demixer(("vocals", "drums"), transform, network=DemixerNetwork(6, 3, 2, exchange=5))
    save_weights(estimator, folder / "estimator.safetensors", {"max_tracks": 2})
    content: dict[str, Any] = {"state_dict": estimator.state_dict()}
    estimator.on_save_checkpoint(content)
    torch.save(content, folder / "estimator.ckpt")
    (folder / "demixer.ckpt").write_bytes(demixer_bytes(demixer))
    torch.save({"state_dict": {"a": torch.zeros(3)}, "mixgraph": "{}"}, folder / "plain.ckpt")
    (folder / "stage.ckpt").write_bytes(sealed((folder / "plain.ckpt").read_bytes()))

    def reader(load: Callable[[Path], object], name: str) -> Callable[[Path], object]:
        return lambda copy: load(copy / name)

    return [
        Target("plain.ckpt", folder, "plain.ckpt", reader(read_checkpoint, "plain.ckpt"), "checkpoint"),
        Target("stage.ckpt", folder, "stage.ckpt", reader(read_checkpoint, "stage.ckpt")),
        Target("demixer", folder, "demixer.ckpt", reader(load_demixer, "demixer.ckpt"), "checkpoint"),
        Target("estimator", folder, "estimator.ckpt", reader(load_estimator, "estimator.ckpt"), "checkpoint"),
        Target(
            "estimator.safetensors",
            folder,
            "estimator.safetensors",
            reader(load_estimator, "estimator.safetensors"),
            "safetensors",
        ),
    ]


def _make_results(folder: Path) -> tuple[Path, Path]:
    """Makes the files of `result_targets` in a folder: `build`, `shards` and `search`; returns a result and a shard."""
    from mixgraph.results.found_graph import load_result
    from mixgraph.search.checkpoint import write_state
    from mixgraph.shards import pack_result, write_shards
    from tools.chaos import WORDS
    from tools.forks import make_song, run

    work, build = folder / "work", folder / "build"
    make_song(work / "song")
    search = run(work, WORDS)
    if search.code:
        raise RuntimeError(f"the search of a tiny song ended with {search.code}:\n{search.text}")
    result = work / "result"
    for run_number in range(2):
        shutil.copytree(result, build / "results" / "s" / f"run_{run_number}")
        (build / "results" / "s" / f"run_{run_number}" / "job.json").write_text(json.dumps({"run": run_number}))
    row: dict[str, Any] = {"song": "s", "status": "kept", "licence": "CC0", "artist": "A", "reasons": ["loss"]}
    row |= {"measurements": {"loss": 1.0, "processors": 3, "pruning_ratio": 0.5}}
    row |= {"search": {"best_run": 0, "runs": [0, 1], "agreement": 0.5}}
    (build / "songs.jsonl").write_text(json.dumps(row) + "\n")
    samples = [("train", *s) for s in pack_result(result, None, dataset="Tiny", artist="A", audio=False)]
    write_shards(samples, folder / "shards")
    (shard,) = (folder / "shards").rglob("*.tar")
    loaded = load_result(result)
    values = {f"values.{t}.{n}": v for t, named in loaded.parameters.items() for n, v in named.items()}
    content: dict[str, Any] = {"state_dict": values | {"dry_wet_logits": torch.logit(loaded.weights)}}
    write_state(content, loaded.graph, {"origin": "", "consoles": []})
    (folder / "search").mkdir()
    torch.save(content, folder / "search" / "stage.ckpt")
    return result, shard


def result_targets(folder: Path) -> list[Target]:
    """Readers of a result, made by a search of a tiny song: as itself, damaged, for tables, as a build, as shards."""
    from mixgraph.checkpoints import read_checkpoint
    from mixgraph.cli.config_paths import read_saved_config
    from mixgraph.page.material import read_material
    from mixgraph.page.remains import read_remains
    from mixgraph.page.runs import other_runs
    from mixgraph.page.song_rows import rows_of_dataset
    from mixgraph.page.write import write_page
    from mixgraph.paper.readings import read_search
    from mixgraph.results.found_graph import load_result
    from mixgraph.results.metrics import read_metrics
    from mixgraph.search.checkpoint import read_state, saved_values
    from mixgraph.shards import load_index, read_shards
    from mixgraph.shards.validate import validate_shards

    result, shard = _make_results(folder)
    build, shard_name = folder / "build", shard.relative_to(folder / "shards").as_posix()

    def whole(copy: Path) -> object:
        loaded = load_result(copy)
        return loaded, read_metrics(copy), loaded.timings(), loaded.config(), loaded.trace(), loaded.log()

    def shards(copy: Path) -> object:
        return load_index(copy), validate_shards(copy).problems, list(read_shards(copy))

    def table(copy: Path) -> object:
        reading = read_search(copy)
        return reading.log(), reading.trace(), reading.method, reading.is_pruned, reading.chain

    def page(copy: Path) -> object:
        return write_page(copy / "page.html", read_material(copy, None), audio=False)

    def checkpoint(copy: Path) -> object:
        content = read_checkpoint(copy / "stage.ckpt")
        return read_state(content), saved_values(content)

    forms = {"graph.json": "json", "parameters.safetensors": "safetensors", "metrics.json": "json"}
    forms |= {"timings.json": "json", "config.yaml": "yaml", "trace.jsonl": "lines", "log.csv": ""}
    shown = {name: form for name, form in forms.items() if name != "timings.json"}
    dataset = Target("songs.jsonl", build, "songs.jsonl", lambda c: rows_of_dataset("x", c, c / "page.html"), "lines")
    return [
        *(Target(name, result, name, whole, form) for name, form in forms.items()),
        *(Target(f"remains, {name}", result, name, read_remains, form) for name, form in shown.items()),
        *(
            Target(f"page, {name}", result, name, page, forms[name])
            for name in ("metrics.json", "config.yaml", "trace.jsonl")
        ),
        *(Target(f"tables, {name}", result, name, table, forms[name]) for name in ("timings.json", "config.yaml")),
        Target("saved configuration", result, "config.yaml", lambda c: read_saved_config(c / "config.yaml"), "yaml"),
        Target("checkpoint of a search", folder / "search", "stage.ckpt", checkpoint, "checkpoint"),
        dataset,
        Target("job.json", build, "results/s/run_0/job.json", lambda c: other_runs(c / "results/s/run_0"), "json"),
        Target("index.json", folder / "shards", "index.json", shards, "json"),
        Target("shard", folder / "shards", shard_name, shards, "tar"),
    ]


KINDS = {
    "songs": song_targets,
    "texts": text_targets,
    "command": command_targets,
    "networks": network_targets,
    "results": result_targets,
}


def make_targets(folder: Path, kinds: Sequence[str] = ()) -> list[Target]:
    """Makes valid files, and lists their readers.

    Args:
        folder: an empty folder for the files.
        kinds: names in KINDS; all of them by default.
    """
    return [target for kind in kinds or KINDS for target in KINDS[kind](folder / kind)]
