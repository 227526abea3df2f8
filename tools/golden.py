"""Runs a fixed set of short jobs and writes the hash of every file that they make, to compare two versions of the code.

    python -m tools.golden SONGS/mdb_reggae --out before.json
    python -m tools.golden SONGS/mdb_reggae --out after.json --against before.json

A change that should not change results is checked by running this before and after it, on one machine: searches of the
demo song and of the given songs, of a synthetic song, of a console with a bus, splitters and a sidechain, by the
paper's and the published rules, two songs at once; a render; a data set that is built, its shards, and the samples read
from them; a synthetic set, an estimator trained on it, its evaluation and estimates; a fidelity report. Every job is a
command that a user could type, so that the check does not depend on how the code is arranged. It takes about 11 minutes
of one core, and ends with 1 if a hash differs or a file is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mixgraph.cli.command_parser import CommandParser
from mixgraph.shipped import song_path
from mixgraph.system.files import write_atomically

SHORT = (
    "--data.steps_per_stage=6",
    "--pruning.console_stages=2",
    "--pruning.rounds=2",
    "--trainer.accelerator=cpu",
)
NOT_COMPARED = {
    "config.yaml", "timings.json", "search.log", "metrics.json", "best.ckpt", "settings.yaml",
    ".hashes.json", "searches.jsonl", "fidelity.json", "fidelity.md",
}  # fmt: skip
"""Files that hold times, paths or the version of what made them."""

READ_SHARDS = """
import hashlib, json, sys
import torch
from mixgraph import read_shards
digest = hashlib.sha256()
for sample in read_shards(sys.argv[1]):
    digest.update(repr((sample.key, sample.graph, json.dumps(sample.meta, sort_keys=True), sample.trace())).encode())
    tensors = [sample.weights, sample.loss_increases]
    if sample.audio is not None:
        tensors += [sample.audio.mix(0, 30000), sample.audio.tracks(0, 30000)]
    for name in sorted(sample.parameters):
        tensors += [sample.parameters[name][key] for key in sorted(sample.parameters[name])]
    for tensor in tensors:
        digest.update(b"none" if tensor is None else tensor.numpy().tobytes())
open(sys.argv[2], "w").write(digest.hexdigest())
"""


def jobs(demo: Path, songs: list[Path], folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yields (name, arguments of Python) of every job, in order; a job may use files that an earlier one wrote."""

    def search(name: str, *arguments: object) -> tuple[str, list[str]]:
        place = f"--result.path={folder / name}"
        return name, ["-m", "mixgraph", "fit", *map(str, arguments), *SHORT, place]

    for song in (demo, *songs):
        yield search(song.name, song)
    yield search(
        "synthetic", "--data=SyntheticSongData", "--data.num_tracks=4", "--data.seconds=6", "--data.song_seed=3"
    )
    wired = ("--model.track_chain=eb(c,c)g", "--model.subgroup_chain=t(e,sg)r", '--model.returns={"room": "erg"}')
    sidechain = '--model.sidechains={"vox_lead": "end_drums"}'
    yield search("wired", demo, *wired, sidechain, "--model.master_chain=ec", "--pruning.tolerance=0.1")
    for name in ("paper", "reference", "attack_release", "pruning/dry_wet", "pruning/hybrid"):
        yield search(name.replace("/", "_"), demo, f"--config={name}.yaml")
    if songs:
        yield search("several", demo, *songs)
    yield (
        "render",
        [
            "-m",
            "mixgraph",
            "render",
            str(folder / demo.name),
            "--tracks",
            str(demo),
            "--out",
            str(folder / "render" / "mix.wav"),
        ],
    )
    config = folder / "build.yaml"
    config.write_text("seed_everything: 1\nmodel:\n  track_chain: eg\n  subgroup_chain: cg\n")
    lenient = ("--max-loss=9", "--max-loss-ratio=9", "--min-pruning-ratio=0")
    built = folder / "dataset"
    yield "dataset", [
        "-m", "mixgraph", "build-dataset", *map(str, (demo, *songs)), "--config", str(config), "--out", str(built),
        "--workers=1", "--threads=1", "--runs=2", *lenient, "--audio=free", "--date-published=2026-01-01", "--", *SHORT,
    ]  # fmt: skip
    yield "shards", ["-c", READ_SHARDS, str(built / "shards"), str(folder / "shards")]
    data_set = folder / "generated"
    yield "generated", [
        "-m", "mixgraph", "generate-synthetic", *map(str, (demo, *songs)), "--out", str(data_set), "--train=6",
        "--validation=2", "--test=2", "--seconds=6", "--min-tracks=3", "--max-tracks=5", "--seed=1",
        "--date-published=2026-01-01", "--results", str(folder / demo.name),
    ]  # fmt: skip
    trained = folder / "estimator"
    yield "estimator", [
        "-m", "mixgraph", "fit", "--config=estimator.yaml", f"--data.path={data_set}", "--data.batch_size=2",
        "--trainer.max_epochs=2", "--trainer.accelerator=cpu", f"--trainer.default_root_dir={trained}",
        f"--trainer.logger.save_dir={trained}", f"--trainer.callbacks.dirpath={trained / 'checkpoints'}",
    ]  # fmt: skip
    best = str(trained / "checkpoints" / "best.ckpt")
    yield "estimate", ["-m", "mixgraph", "estimate", best, str(demo), "--out", str(folder / "estimate")]
    yield (
        "evaluation",
        ["-m", "mixgraph", "evaluate-estimator", best, str(data_set / "test"), "--out", str(folder / "evaluation")],
    )
    yield "fidelity", [
        "-m", "mixgraph", "fidelity", str(demo), "synthetic:4:1", "--config", "ours=", "--seeds", "0",
        "--steps", "12", "2", "6", "--threads=1", "--out", str(folder / "fidelity"),
    ]  # fmt: skip


def digests(folder: Path) -> dict[str, str]:
    """Returns relative path -> sha256 of every file below a folder, except for files that hold times or paths."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in NOT_COMPARED)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def main(arguments: list[str] | None = None) -> None:
    """Runs the jobs and compares their hashes; ends with 1 where one differs."""
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path, nargs="*", help="folders of songs, beside the demo")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the hashes")
    parser.add_argument("--against", type=Path, help="JSON file of an earlier run, to compare with")
    parser.add_argument("--keep", type=Path, help="folder for what the jobs make; temporary where left out")
    parser.add_argument("--only", nargs="*", help="names of jobs")
    options = parser.parse_args(arguments)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for name, command in jobs(
            song_path("mixgraph/songs/demo_potassium").resolve(), [song.resolve() for song in options.songs], folder
        ):
            if options.only and name not in options.only:
                continue
            sys.stdout.write(f"{name}\n")
            sys.stdout.flush()
            done = subprocess.run(
                [sys.executable, *command], env=environment, text=True, capture_output=True, check=False
            )
            if done.returncode:
                sys.stderr.write(f"{name} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}\n")
                raise SystemExit(1)
        hashes = digests(folder)
    write_atomically(options.out, json.dumps(hashes, indent=1).encode())
    sys.stdout.write(f"{len(hashes)} files; their hashes are in {options.out}\n")
    if options.against:
        before = json.loads(options.against.read_text())
        if options.only:
            before = {name: digest for name, digest in before.items() if name.split("/")[0] in options.only}
            hashes = {name: digest for name, digest in hashes.items() if name.split("/")[0] in options.only}
        different = sorted(name for name in before.keys() | hashes.keys() if before.get(name) != hashes.get(name))
        for name in different:
            difference = "is missing" if name not in hashes else "is new" if name not in before else "differs"
            sys.stdout.write(f"{name} {difference}\n")
        sys.stdout.write(f"{len(before.keys() | hashes.keys()) - len(different)} files are equal\n")
        raise SystemExit(bool(different))


if __name__ == "__main__":
    main()
