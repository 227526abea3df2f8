"""Going on from any checkpoint: a search ends as undisturbed, or what is wrong is named."""

import inspect
import json
import re
import shutil

import lightning as L
import pytest
import soundfile
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from callbacks import IterativePruning, ResultFolder, SearchProgress, TimeBudget
from datamodules import SongData
from mixgraph.graph import build_console
from mixgraph.losses import LossSettings
from mixgraph.pruning import SamplerSettings
from mixgraph.search import search
from mixgraph.search.checkpoint import saved_values
from mixgraph.search.module import ConsoleModule
from mixgraph.search.resuming import check_settings
from mixgraph.search.rules import RULES
from mixgraph.search.settings import OptimizerSettings, RegularizerSettings, RenderSettings

# Lightning asks for the callback that made the checkpoints, which are all that is wanted of it.
pytestmark = [
    pytest.mark.usefixtures("blank_pictures"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`"),
]
STEPS = 4
SAME = ("graph.json", "parameters.safetensors", "metrics.json", "trace.jsonl", "log.csv")
CLASSES = {
    "model": ConsoleModule,
    "data": SongData,
    "pruning": IterativePruning,
    "result": ResultFolder,
    "progress": SearchProgress,
    "time": TimeBudget,
}


def find(path, folder, callbacks=(), checkpoint=None, model=None, data=None, pruning=None, build=None):
    songs = SongData(str(path), **{"sample_rate": 8000, "steps_per_stage": STEPS, "scored_seconds": 1.0} | (data or {}))
    module = ConsoleModule(**{"track_chain": "ecg", "subgroup_chain": "gr", "sample_rate": 8000} | (model or {}))
    if build is not None:
        module.build(build)
    trials = IterativePruning(**{"console_stages": 2, "rounds": 2, "leave_one_out": False} | (pruning or {}))
    all_callbacks = [*callbacks, trials, ResultFolder(str(folder), log_every=3, page=False)]
    saved = None if checkpoint is None else str(checkpoint)
    options = {"enable_progress_bar": False, "enable_checkpointing": True}
    return search(module, songs, all_callbacks, trials.num_stages, "cpu", saved, **options), songs, trials


class Save(L.Callback):
    """Saves where a hook of a callback is called, and stops the search behind a step if so told."""

    def __init__(self, path, hook="", stage=0, stop=0):
        self.path, self.stage, self.stop = path, stage, stop
        if hook:
            setattr(self, hook, self._save)

    def _save(self, trainer, *_):
        if trainer.current_epoch == self.stage:
            trainer.save_checkpoint(self.path)

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = trainer.should_stop or trainer.global_step == self.stop


@pytest.fixture(scope="module")
def searched(tiny_song, tmp_path_factory):
    """An undisturbed search with its checkpoints after every second step."""
    folder = tmp_path_factory.mktemp("searched")
    keep = ModelCheckpoint(folder / "c", "{step}", every_n_train_steps=2, save_top_k=-1)
    find(tiny_song, folder / "r", [keep, Save(folder / "begun.ckpt", "on_before_optimizer_step", 1)])
    return folder


def assert_same(folder, other) -> None:
    for name in SAME:
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("step", [10, *(pytest.param(step, marks=pytest.mark.long) for step in (2, 4, 8, 14, 16))])
def test_a_checkpoint_from_behind_any_step_ends_as_undisturbed(searched, tiny_song, tmp_path, step) -> None:
    """Inside a stage of the console and of a round, at the ends of both, in the last stage, and at the very end."""
    find(tiny_song, tmp_path / "r", checkpoint=searched / "c" / f"step={step}.ckpt")
    assert_same(tmp_path / "r", searched / "r")


@pytest.mark.long
@pytest.mark.parametrize(("hook", "stop"), [("on_train_epoch_start", 0), ("on_train_epoch_end", 10)])
def test_a_checkpoint_from_where_a_stage_starts_or_is_cut(searched, tiny_song, tmp_path, hook, stop) -> None:
    """Saved before a round, which is then pruned again; and by Ctrl-C in the middle of the stage."""
    find(tiny_song, tmp_path / "a", [Save(tmp_path / "c.ckpt", hook, 2, stop)])
    find(tiny_song, tmp_path / "r", checkpoint=tmp_path / "c.ckpt")
    assert_same(tmp_path / "r", searched / "r")


def test_a_checkpoint_from_a_gpu_computes_as_a_cpu_does(searched, tiny_song, tmp_path) -> None:
    """The optimizer of a GPU is fused; on a CPU that would round differently."""
    saved = torch.load(searched / "c" / "step=16.ckpt", weights_only=True)
    for group in saved["optimizer_states"][0]["param_groups"]:
        assert (group["fused"], group["foreach"]) == (False, True)
        group["fused"], group["foreach"] = True, False
    torch.save(saved, tmp_path / "c.ckpt")
    module, _, _ = find(tiny_song, tmp_path / "r", checkpoint=tmp_path / "c.ckpt")
    groups = module.optimizers().param_groups
    assert {(group["fused"], group["foreach"]) for group in groups} == {(False, True)}
    assert_same(tmp_path / "r", searched / "r")


def test_checkpoints_that_no_search_can_go_on_from_are_refused(searched, tiny_song, tmp_path) -> None:
    with pytest.raises(ValueError, match="taken in the middle of a step, the one behind step 7"):
        find(tiny_song, tmp_path / "r", checkpoint=searched / "begun.ckpt")
    with pytest.raises(ValueError, match=r"steps_per_stage.*: .* was taken inside a stage of 4 steps, got 5"):
        find(tiny_song, tmp_path / "r", checkpoint=searched / "c" / "step=10.ckpt", data={"steps_per_stage": 5})
    saved = torch.load(searched / "c" / "step=10.ckpt", weights_only=True)
    between = {name: state | {"between_stages": True} for name, state in saved["callbacks"].items()}
    torch.save(saved | {"callbacks": between}, tmp_path / "c")
    with pytest.raises(ValueError, match="taken in the middle of a round of pruning, or of measuring"):
        find(tiny_song, tmp_path / "r", checkpoint=tmp_path / "c")
    del saved["optimizer_states"]
    torch.save(saved, tmp_path / "values")
    with pytest.raises(ValueError, match="the graph's values alone, without the optimizer's"):
        find(tiny_song, tmp_path / "r", checkpoint=tmp_path / "values")


@pytest.mark.parametrize("group", CLASSES)
def test_every_setting_has_a_rule(group) -> None:
    assert {name for name in RULES[group] if "." not in name} == set(inspect.signature(CLASSES[group]).parameters)


OTHER = {
    "model": {
        "track_chain": "eg", "subgroup_chain": "g", "master_chain": "g", "returns": {"room": "r"},
        "sidechains": {"kick": "lead"}, "single_track_subgroups": "bare",
        "sample_rate": 16000, "seed": 7, "initial_values": "drawn",
        "processors": {"equalizer": {"window": "periodic"}}, "loss": LossSettings(denominator="prediction"),
        "warm_up_seconds": 0.5, "regularizers": RegularizerSettings(sparsity_weight=0.5),
        "optimizer": OptimizerSettings(0.01, rate_factors={"equalizer": 2.0}), "rendering": RenderSettings(block=4096),
    },
    "data": {
        "sample_rate": 16000, "seed": 7, "steps_per_stage": 3, "warm_up_seconds": 0.5, "scored_seconds": 0.8,
        "starts": "whole_song",
    },
    "pruning": {
        "console_stages": 3, "seed": 7, "rounds": 1, "sampler": "hybrid", "tolerance": 0.5, "window_tolerance": 0.4,
        "rule": "reference", "period": 2, "order": "weight", "refresh_min_loss": True, "leave_one_out": True,
        "sampler_options": {}, "ending": 0.001, "ending_steps": 2,
    },
}  # fmt: skip


def settings_with(rule):
    return [
        (group, name) for group, names in RULES.items() for name, setting_rule in names.items() if setting_rule == rule
    ]


@pytest.mark.parametrize(("group", "name"), settings_with("kept"))
def test_settings_that_acted_are_refused_by_name(searched, tiny_song, tmp_path, group, name) -> None:
    changed = {group: {name: OTHER[group][name]}}
    if name == "sample_rate":
        changed = {"model": {name: 16000}, "data": {name: 16000}}
    with pytest.raises(
        ValueError, match=rf"(model|{group})\.{name}[\w.]*: the checkpoint was made with .*, got .* HINT: "
    ):
        find(tiny_song, tmp_path / "r", checkpoint=searched / "c" / "step=8.ckpt", **changed)


def test_another_front_end_is_refused_by_name(searched, tiny_song, tmp_path) -> None:
    changed = {"model": {"loss": LossSettings(front_end="nsgt")}}
    with pytest.raises(ValueError, match=r"model\.loss\.front_end: the checkpoint was made with mel, got nsgt\."):
        find(tiny_song, tmp_path / "r", checkpoint=searched / "c" / "step=8.ckpt", **changed)


def test_parts_of_settings_that_came_after_a_checkpoint_have_their_defaults() -> None:
    now = ConsoleModule(sample_rate=8000).settings
    earlier = json.loads(json.dumps(now))
    for name, part in (("loss", "reduction"), ("regularizers", "group_weight"), ("rendering", "schedule")):
        del earlier[name][part]
    assert check_settings("model", earlier, now) == []
    other = ConsoleModule(sample_rate=8000, regularizers=RegularizerSettings(group_weight=0.5)).settings
    assert check_settings("model", earlier, other) == ["model.regularizers.group_weight=0.5 (before: 0.1)"]
    other = ConsoleModule(sample_rate=8000, loss=LossSettings(reduction="sum")).settings
    with pytest.raises(ValueError, match=r"model\.loss\.reduction: the checkpoint was made with mean, got sum\."):
        check_settings("model", earlier, other)


def test_settings_that_came_after_a_checkpoint_are_as_they_were_before_them() -> None:
    now, pruning = ConsoleModule(sample_rate=8000, single_track_subgroups="bare").settings, IterativePruning().settings
    earlier = {name: value for name, value in now.items() if name != "single_track_subgroups"}
    with pytest.raises(ValueError, match=r"single_track_subgroups: the checkpoint was made with chain, got bare\."):
        check_settings("model", earlier, now)
    assert check_settings("model", earlier, now | {"single_track_subgroups": "chain"}) == []
    earlier = {name: value for name, value in pruning.items() if not name.startswith("ending")}
    assert check_settings("pruning", earlier, pruning) == []
    told = ["pruning.ending=0.01 (before: None)"]
    assert check_settings("pruning", earlier, IterativePruning(ending=0.01).settings) == told


@pytest.mark.long
def test_a_search_goes_on_without_the_estimator_that_it_started_from(searched, tiny_song, tmp_path) -> None:
    saved = torch.load(searched / "c" / "step=16.ckpt", weights_only=True)
    saved["mixgraph"] = saved["mixgraph"].replace('"initial_values": "heard"', '"initial_values": "estimated"')
    torch.save(saved, tmp_path / "c.ckpt")
    estimated = {"initial_values": "estimated", "estimated_checkpoint": str(tmp_path / "gone.safetensors")}
    find(tiny_song, tmp_path / "r", checkpoint=tmp_path / "c.ckpt", model=estimated)
    assert_same(tmp_path / "r", searched / "r")


@pytest.mark.long
def test_all_other_settings_are_applied_and_told(searched, tiny_song, tmp_path, caplog) -> None:
    applied = settings_with("applied")
    changed = {group: {n: OTHER[group][n] for g, n in applied if g == group} for group in OTHER}
    with caplog.at_level("INFO"):
        module, data, trials = find(tiny_song, tmp_path / "r", checkpoint=searched / "c" / "step=8.ckpt", **changed)
    for group, name in applied:
        assert re.search(rf"From the checkpoint on: .*{group}\.{name}(\.\w+)?=", caplog.text), name
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    assert (metrics["steps"], metrics["tolerance"]) == (2 * STEPS + 3, 0.5)
    assert (data.scored, data.warm_up, module.warm_up, data.starts) == (6400, 4000, 4000, "whole_song")
    assert trials.sampler_settings == SamplerSettings("hybrid", "reference", 2, "weight")
    assert trials.window_tolerance == 0.4
    assert trials.songs[0].loss_increases is not None
    assert module.rate_factors["equalizer"] == 2.0
    assert (module.regularizers.sparsity_weight, module.rendering.block) == (0.5, 4096)


def test_a_rate_of_its_own_that_the_optimizer_does_not_know_is_refused(searched, tiny_song, tmp_path) -> None:
    other = OptimizerSettings(rate_factors={"equalizer.log_magnitude": 2.0})
    with pytest.raises(ValueError, match=r"model\.optimizer\.rate_factors: the checkpoint was made with rates for"):
        find(tiny_song, tmp_path / "r", checkpoint=searched / "c" / "step=8.ckpt", model={"optimizer": other})


def test_other_audio_and_other_reading_of_it_are_refused(searched, tiny_song, tmp_path) -> None:
    song, checkpoint = shutil.copytree(tiny_song, tmp_path / "tiny"), searched / "c" / "step=8.ckpt"
    description = (song / "song.yaml").read_text()
    (song / "song.yaml").write_text(description.replace("drums", "rhythm"))
    with pytest.raises(ValueError, match=r"data\.subgrouping: the checkpoint was made with subgroups \[\['drums'"):
        find(song, tmp_path / "r", checkpoint=checkpoint)
    (song / "song.yaml").write_text(description)
    stem = song / "tracks" / "hat.wav"
    audio, rate = soundfile.read(stem)
    soundfile.write(stem, audio * 0.5, rate, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"the audio of tiny is not that .* made with: tracks/hat\.wav\. HINT"):
        find(song, tmp_path / "r", checkpoint=checkpoint)


def test_another_start_is_refused(searched, tiny_song, tmp_path) -> None:
    graph = build_console({"drums": ["kick", "hat"], "lead": ["lead"]}, "ecg", "gr", "tiny")
    with pytest.raises(ValueError, match=r"start: .* began with its chains, this one with a given graph"):
        find(tiny_song, tmp_path / "r", checkpoint=searched / "c" / "step=8.ckpt", build=graph)


@pytest.mark.parametrize("content", ["{}", "[]", '{"graph": 1}'])
def test_a_checkpoint_whose_parts_are_missing_is_refused(content) -> None:
    with pytest.raises(ValueError, match=r"is damaged|graph"):
        saved_values({"mixgraph": content, "state_dict": {}})
