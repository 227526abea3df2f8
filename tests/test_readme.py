"""The README's commands and its Python example run."""

import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
# Training an estimator takes hours; tests/estimators does so on a small set.
COMMANDS = [
    match.group(0)
    for match in re.finditer(r"python -m mixgraph .*", README)
    if "`" not in match.group(0) and "estimator.yaml" not in match.group(0)
]
# What makes a command of the README short enough for a test; the song of the demo stays real.
SHORT = [
    "--data.sample_rate=16000",
    "--data.steps_per_stage=2",
    "--pruning.console_stages=1",
    "--pruning.rounds=1",
    "--pruning.leave_one_out=false",
]
SHORT_TRAINING = [
    "--data.batch_size=1",
    "--data.chunk_seconds=0.5",
    "--data.steps_per_epoch=1",
    "--data.whitening_batches=1",
    "--model.network.width=4",
    "--trainer.max_epochs=1",
    "--trainer.accelerator=cpu",
]

SHORT_REFINEMENTS = {name: ["--refine-steps=1"] for name in ("automix", "transfer")}


@pytest.fixture(scope="module")
def checkout(tiny_song, tmp_path_factory):
    """A folder that looks like the checkout, in which results may be written."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("configs", "mixgraph", "callbacks", "datamodules"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "my_song").symlink_to(tiny_song)
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, (44100, 2))
    soundfile.write(folder / "their_mix.wav", noise, 44100)
    for song in ("song_a", "song_b"):
        (folder / "SONGS" / song).mkdir(parents=True)
        for target in ("vocals", "drums", "bass", "other"):
            soundfile.write(folder / "SONGS" / song / f"{target}.wav", noise, 44100)
    return folder


def execute(arguments, cwd):
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_readme_opens_with_two_commands() -> None:
    install = re.findall(r"^    (python3 -m venv .*)$", README, re.MULTILINE)
    assert len(install) == 2
    assert install[0].endswith("python -m mixgraph fit --config configs/demo.yaml")
    assert install[1].endswith("python -m pytest")
    ci = (ROOT / ".ci" / "run").read_text()
    assert "--constraint constraints.txt" in ci


def made_by(command: str) -> str:
    """The path, in the checkout, of what a command of the README makes."""
    words = shlex.split(command)
    if words[3] != "fit":
        return words[words.index("--out") + 1]
    if "demixer.yaml" in command:
        return "results/demixer/checkpoints/best.ckpt"
    return "results/demo_potassium" if "demo.yaml" in command else "results/my_song"


def run_short(command: str, checkout: Path, warm_python) -> str:
    """Runs a command of the README, and before it, where this test runs alone, those that make what it reads.

    The first one and `render` are a new Python, others are forks.
    """
    words = shlex.split(command)
    for earlier in COMMANDS[: COMMANDS.index(command)]:
        if made_by(earlier) in words and not (checkout / made_by(earlier)).exists():
            run_short(earlier, checkout, warm_python)
    short = SHORT_TRAINING if "demixer.yaml" in command else {"fit": SHORT, **SHORT_REFINEMENTS}.get(words[3], [])
    if command == COMMANDS[0] or words[3] == "render":
        return execute([sys.executable, *words[1:], *short], checkout)
    done = warm_python.run(*words[2:], *short, cwd=checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_runs(command: str, checkout: Path, warm_python) -> None:
    output = run_short(command, checkout, warm_python)
    if "my_song" not in command:
        assert (checkout / made_by(command)).exists()
    if " fit " in command and "demixer.yaml" not in command:
        path = re.search(r"Result in (results/\w+)", output)
        assert path is not None
        if "my_song" in command:  # it has the name of what the link leads to; another command makes it anew
            shutil.rmtree(checkout / path.group(1))


@pytest.mark.parametrize("tool", ["build_dataset", "generate_synthetic", "evaluate_estimator"])
def test_commands_of_the_tools_are_understood(tool: str) -> None:
    """They take hours; tests/dataset and tests/estimators run the same tools on small sets."""
    module = importlib.import_module(f"tools.{tool}")
    commands = re.findall(rf"^    python -m tools.{tool} (.*)$", README, re.MULTILINE)
    assert commands
    for command in commands:
        module.parse(shlex.split(command))


@pytest.mark.long
def test_the_python_example_runs(checkout: Path) -> None:
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert example is not None
    code = (
        example.group(1)
        .replace("steps_per_stage=50", "steps_per_stage=2")
        .replace("console_stages=8", "console_stages=1")
    )
    code = (
        code.replace("rounds=4", "rounds=1").replace('"ecnsgdr"', '"g"') + "\nassert mix.shape == data.song.mix.shape\n"
    )
    execute([sys.executable, "-c", code], checkout)
