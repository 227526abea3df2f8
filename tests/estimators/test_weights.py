"""Estimators as safetensors files, the one that comes with mixgraph, and the command that uses it."""

import hashlib
import json
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch

from mixgraph.cli.estimate import main as estimate_command
from mixgraph.cli.estimate import notes_on
from mixgraph.estimators import EstimatorModule, estimate_song, load_estimator
from mixgraph.estimators.module import CHECKPOINT_KEY, VERSION
from mixgraph.estimators.questions import Question
from mixgraph.estimators.settings import EstimatorTask, NetworkSettings
from mixgraph.estimators.statistics import training_statistics
from mixgraph.estimators.weights import SHIPPED, save_weights
from mixgraph.results.found_graph import load_result
from mixgraph.songs import load_song

TASK = EstimatorTask(8000, 2.0, "esgd", "cgr")


@pytest.fixture
def module(examples) -> EstimatorModule:
    module = EstimatorModule(TASK, NetworkSettings(width=16, num_layers=1)).eval()
    module.standardise(training_statistics(examples, TASK.types))
    module.threshold.fill_(0.37)
    return module


def changed(path: Path, new: Path, **values: object) -> Path:
    """A copy of a file of weights with other entries in its metadata."""
    with safetensors.safe_open(path, framework="pt") as file:
        saved = json.loads(file.metadata()[CHECKPOINT_KEY])
    new.write_bytes(
        safetensors.torch.save(safetensors.torch.load_file(path), {CHECKPOINT_KEY: json.dumps(saved | values)})
    )
    return new


def only_lead(song: Path, folder: Path) -> Path:
    """A copy of the tiny song with one of its tracks."""
    shutil.copytree(song, folder)
    for name in ("kick", "hat"):
        (folder / "tracks" / f"{name}.wav").unlink()
    (folder / "song.yaml").write_text("title: One\nlicence: CC0\nsubgroups:\n  lead: [lead.wav]\n")
    return folder


def test_weights_are_read_back_nearly_as_they_were(module, examples, tmp_path) -> None:
    file = tmp_path / "folder" / "small.safetensors"
    save_weights(module, file, {"max_tracks": 3})
    other = load_estimator(file)
    assert (other.task, other.network_settings, other.slots) == (module.task, module.network_settings, module.slots)
    assert other.about == {"max_tracks": 3}
    assert not other.training
    assert other.threshold == module.threshold
    for name, value in module.state_dict().items():
        near = other.state_dict()[name]
        assert near.dtype == value.dtype
        if name.startswith("network.") and not name.startswith(("network.cue_mean", "network.cue_spread")):
            assert torch.allclose(near, value, rtol=2**-10, atol=1e-7)  # half precision
        else:
            assert torch.equal(near, value), name
    with torch.no_grad():
        answers = [m(examples[0]).keep for m in (module, other)]
    assert torch.allclose(*answers, atol=5e-3)
    with pytest.raises(ValueError, match=r"a name that ends in \.safetensors is needed, got small\.ckpt"):
        save_weights(module, tmp_path / "small.ckpt")


def test_files_that_hold_no_estimator_are_refused(module, tmp_path) -> None:
    file = tmp_path / "small.safetensors"
    save_weights(module, file)
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors: weights of an estimator are needed, got none"):
        load_estimator(tmp_path / "none.safetensors")
    newer = changed(file, tmp_path / "newer.safetensors", version=VERSION + 1)
    with pytest.raises(
        ValueError, match=rf"newer\.safetensors: an estimator of version {VERSION} is needed, got version"
    ):
        load_estimator(newer)
    letters = TASK.__dict__ | {"track_chain": "esgZ"}
    unknown = changed(file, tmp_path / "letters.safetensors", task=letters)
    with pytest.raises(ValueError, match=r"letters\.safetensors: does not fit this version of mixgraph \(.*'Z'.*HINT"):
        load_estimator(unknown)
    wider = changed(file, tmp_path / "wider.safetensors", network={"width": 384, "num_layers": 1, "dropout": 0.1})
    with pytest.raises(ValueError, match=r"wider\.safetensors: does not fit .*a width of 384, which no matrix has"):
        load_estimator(wider)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cut\.safetensors: is damaged or no safetensors file"):
        load_estimator(cut)
    plain = tmp_path / "plain.safetensors"
    plain.write_bytes(safetensors.torch.save({"x": torch.ones(1)}))
    with pytest.raises(ValueError, match=r"plain\.safetensors: holds no estimator"):
        load_estimator(plain)
    for number, (metadata, reason) in enumerate(
        (("[", "Expecting value"), ("[]", "no JSON object"), ("[" * 100_000, "values nested too deeply"))
    ):
        damaged = tmp_path / f"damaged{number}.safetensors"
        damaged.write_bytes(safetensors.torch.save({"x": torch.ones(1)}, {CHECKPOINT_KEY: metadata}))
        with pytest.raises(ValueError, match=rf"the metadata '{CHECKPOINT_KEY}' is damaged \({reason}"):
            load_estimator(damaged)
    slots = changed(file, tmp_path / "slots.safetensors", slots=[["equalizer", 0]])
    with pytest.raises(ValueError, match=r"slots\.safetensors: does not fit this version of mixgraph \(.*unpack.*HINT"):
        load_estimator(slots)
    checkpoint = tmp_path / "other.ckpt"
    saved = json.dumps(module.saved_settings() | {"version": VERSION + 1})
    torch.save({"state_dict": module.state_dict(), CHECKPOINT_KEY: saved}, checkpoint)
    with pytest.raises(ValueError, match=r"other\.ckpt: an estimator of version"):
        load_estimator(checkpoint)


def test_an_estimator_comes_with_mixgraph() -> None:
    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "shipped/*" in settings["package-data"]["mixgraph.estimators"]
    data, card = SHIPPED.read_bytes(), SHIPPED.with_suffix(".md").read_text()
    assert len(data) <= 8_000_000
    assert hashlib.sha256(data).hexdigest() in card  # the card is that of these weights
    assert all(word in card for word in ("Data", "Recipe", "Apache-2.0", "tools.train_shipped_estimator", "F1"))
    (command,) = (line for line in card.splitlines() if "tools.train_shipped_estimator" in line)
    guide = (Path(__file__).parents[2] / "docs/guide/estimator.md").read_text().replace("\\\n", " ")
    assert command.split("--out DIR ")[1] in " ".join(guide.split())
    shipped = load_estimator()
    assert shipped.task == EstimatorTask()
    assert shipped.questions == tuple(Question)
    # Figures on the demo song are of a network that never saw it.
    assert shipped.about["songs"]
    assert "demo_potassium" not in shipped.about["songs"]


def test_songs_unlike_those_of_the_training_are_told(module, tiny_song, tmp_path) -> None:
    song = load_song(tiny_song, 8000)
    assert notes_on(module, song) == []
    module.about = {"max_tracks": 2}
    assert notes_on(module, song) == ["3 tracks: the estimator was trained on songs of at most 2."]
    module.about = {"songs": ["tiny"]}
    assert notes_on(module, song)[0].startswith("The estimator was trained on tracks of a song named tiny: if it is")
    module.about = {"max_tracks": 2}
    resampled = load_song(tiny_song, 16000)
    assert "trained at 16000 Hz: the song, at 8000 Hz, was resampled" in notes_on(module, resampled)[0]
    with pytest.raises(ValueError, match="song: 8000 Hz is needed, as in training, got 16000 Hz"):
        estimate_song(module, resampled)
    with pytest.raises(ValueError, match="threshold: a probability, 0 to 1, is needed, got 2"):
        estimate_song(module, song, threshold=2)
    one = load_song(only_lead(tiny_song, tmp_path / "one"), 8000)
    assert "One track: its subgroup's processors cannot be told from its own" in notes_on(module, one)[0]
    prediction = estimate_song(module, one, threshold=0.0)
    assert len(prediction.keep) == len(TASK.track_chain + TASK.subgroup_chain)
    assert prediction.probability.isfinite().all()
    none = estimate_song(module, replace(one, mix=one.mix * 0), threshold=0.0)  # a mix that is silent where it is heard
    assert none.probability.isfinite().all()


def test_a_song_without_a_mix_is_refused(tiny_song, tmp_path) -> None:
    folder = Path(shutil.copytree(tiny_song, tmp_path / "bare"))
    (folder / "mix.wav").unlink()
    with pytest.raises(ValueError, match="mix"):
        estimate_command([str(folder), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_the_command_works_without_a_checkpoint(tiny_song, tmp_path, capsys) -> None:
    folder = only_lead(tiny_song, tmp_path / "one")
    assert estimate_command([str(folder), "--out", str(tmp_path / "out"), "--threshold", "0.2"]) == 0
    printed = capsys.readouterr().out
    assert "trained at 30000 Hz: the song, at 8000 Hz, was resampled" in printed
    assert "One track" in printed
    assert "To search on from it:" in printed
    assert load_result(tmp_path / "out").sample_rate == 30000
    assert "Predicted by mixgraph's own estimator" in (tmp_path / "out" / "config.yaml").read_text()
