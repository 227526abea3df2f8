"""The commands that `tools.faults` tries on a machine that fails, with what they read."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import yaml

from tools import chaos
from tools.forks import make_song, run

SHORTEST = {
    "model": {"track_chain": "g", "subgroup_chain": "g"},
    "data": {"sample_rate": 8000, "steps_per_stage": 2, "scored_seconds": 1.0},
    "pruning": {"console_stages": 1, "rounds": 1, "leave_one_out": False},
    "trainer": {"accelerator": "cpu"},
}
"""Settings of the shortest search of a tiny song."""
_SYNTHETIC = (
    *("generate-synthetic", *(f"dry/song_{number}" for number in range(3)), "--out=synthetic", "--workers=1"),
    *("--train=1", "--validation=1", "--test=1", "--seconds=1", "--sample-rate=8000", "--min-tracks=2"),
    "--max-tracks=2",
)
_TRIAL = ("fit", "--config", "short.yaml", "--data.path", "song", "${args}")
_SWEEP = {
    "program": "mixgraph",
    "method": "bayes",
    "run_cap": 2,
    "metric": {"name": "search/found_loss", "goal": "minimize"},
    "parameters": {"pruning.tolerance": {"min": 0.01, "max": 0.1}},
    "command": ["${env}", "${interpreter}", "-m", "${program}", *_TRIAL],
}
_TRAINING = [
    *("--config=demixer.yaml", "--data.path=stems", "--data.left_out=[song_1]", "--data.batch_size=1"),
    *("--data.chunk_seconds=0.4", "--data.steps_per_epoch=2", "--data.whitening_batches=1"),
    *("--model.transform.num_bands=14", "--model.transform.low_hz=150.0", "--model.transform.slice_samples=256"),
    *("--model.transform.sample_rate=8000", "--model.network.width=4", "--trainer.accelerator=cpu"),
    *("--trainer.enable_progress_bar=false", "--trainer.max_epochs=2", "--trainer.log_every_n_steps=1"),
]
_CACHE = ("--data.memory_limit_gb=0.0000001", "--data.cache_dir=cache")


@dataclass(frozen=True)
class Case:
    """A command that writes.

    Attributes:
        name: the name of the case.
        words: the words of the command.
        exclusive: whether a second process is refused while a first one works at the same place.
        waits: whether it waits for a while before it is refused.
    """

    name: str
    words: tuple[str, ...]
    exclusive: bool = True
    waits: bool = False


def make_cases(prepared: Path, only: Collection[str] = ()) -> list[Case]:
    """Makes what commands read, in a folder, and lists the commands.

    Args:
        prepared: the folder.
        only: names of the commands that are needed; all of them by default.

    Raises:
        RuntimeError: a search or a training did not end.
    """
    make_song(prepared / "song")
    _run(prepared, chaos.WORDS)
    (prepared / "short.yaml").write_text(yaml.safe_dump(SHORTEST))
    (prepared / "sweep.yaml").write_text(yaml.safe_dump(_SWEEP))
    for number in range(2):
        _make_stems(prepared / "stems" / f"song_{number}", number)
    if not only or "generate-synthetic" in only:
        for number in range(3):
            make_song(prepared / "dry" / f"song_{number}", number)
    if not only or "demix" in only:
        _run(prepared, ["fit", *_TRAINING])
        (prepared / "results" / "demixer" / "checkpoints" / "last.ckpt").replace(prepared / "trained.ckpt")
        shutil.rmtree(prepared / "results" / "demixer")
    song = ("--tracks", "song")
    return [
        Case("render", ("render", "result", *song, "--out", "mix.wav", "--stems", "printed")),
        Case("export to stems", ("export", "result", *song, "--to", "stems", "--out", "export")),
        Case("export to sheet", ("export", "result", *song, "--to", "sheet", "--out", "export")),
        Case("export to impulses", ("export", "result", *song, "--to", "impulses", "--out", "export")),
        Case("export to reaper", ("export", "result", *song, "--to", "reaper", "--out", "export")),
        Case(
            "export to dawproject",
            ("export", "result", *song, "--to", "dawproject", "--out", "export.dawproject"),
            exclusive=False,
        ),
        Case("report", ("report", "result", *song, "--out", "page.html"), exclusive=False),
        Case("paper-figures", ("paper-figures", "2a", "result", "--out", "figure.png"), exclusive=False),
        Case("demix", ("demix", "trained.ckpt", "song/mix.wav", "--out", "demixed")),
        Case("generate-synthetic", _SYNTHETIC),
        Case("estimate", ("estimate", "song", "--out", "estimated")),
        Case("search with a cache", _renamed([*chaos.WORDS, *_CACHE])),
        Case(
            "build-dataset", ("build-dataset", "song", "--config=short.yaml", "--out=data", "--workers=1"), waits=True
        ),
        Case("sweep", ("sweep", "sweep.yaml", "--offline", "--out=tried", "--workers=1"), waits=True),
        Case("demixer", ("fit", *_TRAINING)),
        Case("fit", _renamed(chaos.WORDS)),
    ]


def _run(folder: Path, words: list[str]) -> None:
    ended = run(folder, words)
    if ended.code:
        raise RuntimeError(f"{shlex.join(words)} ended with {ended.code}:\n{ended.text}")


def _renamed(words: list[str]) -> tuple[str, ...]:
    """The words of a search whose result is not the one that is there for the other commands."""
    return tuple(word.replace(f"={chaos.RESULT}", "=found") for word in words)


def _make_stems(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number, name in enumerate(("vocals", "drums", "bass", "other")):
        tone = np.sin(np.arange(16000) * (0.1 + 0.2 * number)) * rng.random()
        audio = 0.2 * tone[:, None] + 0.02 * rng.standard_normal((16000, 2))
        soundfile.write(folder / f"{name}.wav", audio, 8000, subtype="FLOAT")
