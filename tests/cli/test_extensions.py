"""A module outside the package: what it registers is named in a YAML file, searched with, resumed and built with."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
import yaml

from mixgraph.registry import Registry, import_extension, load_plugins

ROOT = Path(__file__).parents[2]
MODULE = '''
"""What a user may bring: a processor, a sampler, an order, a front end and a callback."""
import torch
from lightning.pytorch import Callback
from mixgraph.losses import FRONT_ENDS, FrontEnd
from mixgraph.processors import Processor, register
from mixgraph.processors.parameter import decibels
from mixgraph.pruning import ORDERS, SAMPLERS, BruteForce, Order


@register
class Trim(Processor):
    """A gain of both channels."""

    name, letter, linear, keeps_mono = "my_trim", "T", True, True
    identity = {"gain": 0.0}

    @property
    def specification(self):
        return {"gain": decibels((1,), -24.0, 24.0, "gain")}

    def impulse_response(self, parameters):
        return parameters["gain"].exp().unsqueeze(-1)


@ORDERS.register
class LastFirst(Order):
    name = "my_last_first"

    def arrange(self, candidates, types, weights):
        return sorted(candidates, reverse=True)


@SAMPLERS.register
class FirstFew(BruteForce):
    """Tries no more than some processors."""

    name = "my_first_few"

    def __init__(self, order="random", most=2):
        super().__init__(order)
        self.most = most

    def trials(self, round_index, types, weights, rng):
        trials = super().trials(round_index, types, weights, rng)
        answer = None
        for _ in range(self.most):
            try:
                answer = yield trials.send(answer)
            except StopIteration:
                return


@FRONT_ENDS.register
class Frames(FrontEnd):
    """Spectra of frames that do not overlap."""

    name = "my_frames"
    num_groups = 1
    min_samples = 512

    def __init__(self, sample_rate, size=512):
        super().__init__(sample_rate)
        self.size = size

    def forward(self, audio):
        left, right = audio.unbind(1)
        signals = torch.stack((left, right, left + right, left - right), 1)
        frames = signals[..., : signals.shape[-1] // self.size * self.size].unflatten(-1, (-1, self.size))
        return ((torch.fft.rfft(frames).abs() + 1e-2).mT,)


class Count(Callback):
    def on_train_end(self, trainer, module):
        print("steps counted by a callback of the user's:", trainer.global_step)
'''
SETTINGS = {
    "data": {"sample_rate": 8000, "steps_per_stage": 2, "scored_seconds": 1.0},
    "model": {
        "track_chain": "Te",
        "subgroup_chain": "g",
        "loss": {"front_end": "my_frames", "front_end_options": {"size": 256}},
    },
    "pruning": {
        "console_stages": 1,
        "rounds": 1,
        "sampler": "my_first_few",
        "sampler_options": {"most": 3},
        "order": "my_last_first",
        "tolerance": 0.0,
        "leave_one_out": False,
    },
    "trainer": {
        "accelerator": "cpu",
        "callbacks": [
            {"class_path": "my_extension.Count"},
            {
                "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
                "init_args": {"dirpath": "kept", "filename": "{step}", "every_n_train_steps": 2, "save_top_k": -1},
            },
        ],
    },
}


@pytest.fixture(scope="module")
def run(warm_python):
    """Runs `python -m mixgraph` in a process and a folder of its own."""

    def execute(folder: Path, *words: str, plugins: Path | None = None) -> subprocess.CompletedProcess:
        paths = [ROOT, *([plugins] if plugins else [])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
        return warm_python.run("mixgraph", *words, cwd=folder, env=environment, blank=True)

    return execute


@pytest.fixture(scope="module")
def extension(run, tiny_song, tmp_path_factory) -> Path:
    """A folder with a module, settings that name what is in it, and the result of a search by them."""
    folder = tmp_path_factory.mktemp("extension")
    (folder / "my_extension.py").write_text(MODULE)
    (folder / "mine.yaml").write_text(yaml.safe_dump(SETTINGS | {"result": {"path": "found"}}))
    done = run(folder, "fit", tiny_song, "--config", "mine.yaml", "--import", "my_extension")
    assert done.returncode == 0, done.stderr
    assert "steps counted by a callback of the user's: 4" in done.stdout
    return folder


@pytest.mark.long
def test_a_search_uses_what_a_module_outside_the_package_registers(extension) -> None:
    graph = json.loads((extension / "found" / "graph.json").read_text())
    rows = [json.loads(line) for line in (extension / "found" / "trace.jsonl").read_text().splitlines()]
    trials = [row["candidates"] for row in rows if row["kind"] == "trial"]
    assert len(trials) == 3  # what the sampler's option says
    assert [name for (name,) in trials[:2]] == [
        "subgroup lead: gain_panning",
        "subgroup drums: gain_panning",
    ]  # reversed
    types = {node["type"] for node in graph["nodes"]}
    assert {"my_trim", "equalizer"} <= types
    saved = yaml.safe_load((extension / "found" / "config.yaml").read_text())
    assert saved["model"]["loss"]["front_end"] == "my_frames"
    assert saved["pruning"]["sampler_options"] == {"most": 3}


@pytest.mark.long
def test_the_result_is_rendered_and_the_search_resumed_with_the_module(run, extension, tiny_song) -> None:
    """The resumed one has it from an installed plugin."""
    done = run(extension, "render", "found", "--import=my_extension", f"--tracks={tiny_song}", "--out=again.wav")
    assert done.returncode == 0, done.stderr
    plugins = install(extension / "installed", "my-extension", "my_extension")
    (plugins / "my_extension.py").write_text(MODULE)
    config = extension / "found" / "config.yaml"
    words = ["fit", f"--config={config}", "--ckpt_path=kept/step=2.ckpt", "--result.path=resumed"]
    done = run(extension, *words, plugins=plugins)
    assert done.returncode == 0, done.stderr
    for name in ("graph.json", "parameters.safetensors", "trace.jsonl"):
        assert (extension / "resumed" / name).read_bytes() == (extension / "found" / name).read_bytes(), name


@pytest.mark.long
def test_the_workers_of_a_build_import_the_module(run, extension, tiny_song) -> None:
    settings = {name: value for name, value in SETTINGS.items() if name != "trainer"}
    (extension / "build.yaml").write_text(yaml.safe_dump(settings))
    lenient = ("--max-loss=99", "--max-loss-ratio=99", "--min-pruning-ratio=0")
    words = ["build-dataset", tiny_song, "--config=build.yaml", "--out=built", "--import=my_extension", *lenient]
    done = run(extension, *words, "--", "--trainer.accelerator=cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    (graph,) = (extension / "built" / "results").rglob("graph.json")
    assert "my_trim" in graph.read_text()


def install(folder: Path, distribution: str, module: str) -> Path:
    """A folder of installed packages with one distribution, whose plugin is a module."""
    metadata = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[mixgraph.plugins]\nmine = {module}\n")
    return folder


def test_a_broken_plugin_is_refused_with_its_distribution(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(install(tmp_path, "broken-thing", "broken_module"))
    (tmp_path / "broken_module.py").write_text("1 / 0\n")
    load_plugins.cache_clear()
    with pytest.raises(
        ValueError, match=r"plugin 'mine' \(broken_module\) of broken-thing cannot be loaded: ZeroDivisionError"
    ):
        Registry("sampler").find("anything")
    monkeypatch.undo()
    load_plugins()


def test_names_are_registered_once_and_unknown_ones_list_the_known() -> None:
    registry: Registry[torch.nn.Module] = Registry("front_end")

    class First(torch.nn.Module):
        name = "first"

    class Nameless(torch.nn.Module):
        pass

    registry.register(First)
    assert registry.find("first") is First
    with pytest.raises(ValueError, match="front_end First: name 'first' is taken by First; choose another"):
        registry.register(First)
    with pytest.raises(ValueError, match="front_end Nameless: a name is needed, such as name = 'mine', got None"):
        registry.register(Nameless)
    with pytest.raises(ValueError, match=r"front_end: one of first, got 'frist'\. HINT: did you mean first\?"):
        registry.find("frist")


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="import: no module is named 'nowhere_at_all'"):
        import_extension("nowhere_at_all")
