"""Where results go: one search at a time, checked before training, complete whenever the process is killed."""

import json
import os
import re
import resource
import shutil
import signal
import sys

import lightning as L
import pytest

from callbacks import IterativePruning, ResultFolder
from callbacks.result_places import ResultPlaces
from datamodules import SongData
from mixgraph.results import RESULT
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule

pytestmark = pytest.mark.usefixtures("blank_pictures")

STEPS, STAGES = 2, 3


class StopAt(L.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        trainer.should_stop = trainer.should_stop or trainer.global_step == self.step


class AtStep(L.Callback):
    """Does something while a search runs."""

    def __init__(self, step: int, action) -> None:
        self.step, self.action = step, action

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            self.action()


def find(song, folder, callbacks=(), checkpoint=None, overwrite=False) -> None:
    data = SongData(str(song), sample_rate=8000, steps_per_stage=STEPS, scored_seconds=1.0, cache_dir=None)
    all_callbacks = [
        *callbacks,
        IterativePruning(console_stages=2, rounds=1),
        ResultFolder(str(folder), overwrite, log_every=2, page=False),
    ]
    module = ConsoleModule("eg", "g", sample_rate=8000)
    saved = None if checkpoint is None else str(checkpoint)
    search(module, data, all_callbacks, STAGES, "cpu", saved, enable_progress_bar=False)


def contents(folder) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in ("timings.json", "search.log")}  # clocks


@pytest.fixture(scope="module")
def result(tiny_song, tmp_path_factory):
    folder = tmp_path_factory.mktemp("places") / "r"
    find(tiny_song, folder)
    assert RESULT.foreign_names(folder) == []
    assert json.loads((folder / "timings.json").read_text())["stopped"] is False
    return folder


@pytest.mark.long
def test_a_second_search_on_a_place_is_refused_while_the_first_runs(tiny_song, result, tmp_path) -> None:
    refused = []

    def second() -> None:
        with pytest.raises(ValueError, match=rf"result.path: .*/r is in use by process {os.getpid()} on") as error:
            find(tiny_song, tmp_path / "r", overwrite=True)
        refused.append(error)

    find(tiny_song, tmp_path / "r", [AtStep(3, second)])
    assert len(refused) == 1
    assert contents(tmp_path / "r") == contents(result)
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


@pytest.mark.long
def test_what_appears_while_a_search_runs_is_kept_and_so_is_the_result(tiny_song, result, tmp_path, caplog) -> None:
    target, partial = tmp_path / "r", tmp_path / "r.partial"
    with (
        pytest.raises(
            FileExistsError, match=r"/r exists and is kept; .*\n.*r\.partial is a complete result that lacks"
        ),
        caplog.at_level("INFO"),
    ):
        find(tiny_song, target, [AtStep(5, target.mkdir)])
    assert f"The result is complete in {partial}; run again, it gets its name." in caplog.text
    assert (partial / "stage.ckpt").exists()
    target.rmdir()
    with pytest.raises(FileExistsError, match="/r exists and is kept"), caplog.at_level("INFO"):
        find(tiny_song, target)
    assert f"{partial}: complete, but for the name, when its search was killed. It has its name now." in caplog.text
    assert contents(target) == contents(result)
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["r", "r.partial"])
def test_a_foreign_folder_is_refused_before_training(tiny_song, tmp_path, name, overwrite) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "config.yaml").write_text("mine: 1")
    with pytest.raises(FileExistsError, match=rf"result.path: .*/{name} (exists|is needed to work in,) and is kept"):
        find(tiny_song, tmp_path / "r", [AtStep(1, pytest.fail)], overwrite=overwrite)
    assert (tmp_path / name / "config.yaml").read_text() == "mine: 1"
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"stage.ckpt": "x"},
            r"did not end; go on with\n  python -m mixgraph fit OPTIONS --ckpt_path \S+/stage\.ckpt\n"
            r"where OPTIONS are those that the search was started with, since \S+/config\.yaml is missing\n"
            r"or set --result\.overwrite=true",
        ),
        ({"stage.ckpt": "x", "config.yaml": "a: [1"}, r"config\.yaml holds no settings of a search\nor set"),
        ({"stage.ckpt": "x", "config.yaml": ""}, r"go on with\n  mixgraph\.search\.search\(\.\.\., checkpoint='"),
        ({"config.yaml": "a: [1"}, r"is kept, since it is no unfinished search \(it holds config\.yaml\); rename it"),
        ({"search.log": "x"}, r"is kept, since it is no unfinished search \(it holds search\.log\); rename it"),
    ],
)
def test_what_is_in_the_way_of_unfinished_work_is_told(tmp_path, files, message) -> None:
    places = ResultPlaces()
    (tmp_path / "r.partial").mkdir()
    for name, text in files.items():
        (tmp_path / "r.partial" / name).write_text(text)
    places.hold([tmp_path / "r"])
    try:
        with pytest.raises(FileExistsError, match=message):
            places.check(None, overwrite=False)
    finally:
        places.release()
    assert {path.name: path.read_text() for path in (tmp_path / "r.partial").iterdir()} == files


def test_the_song_itself_is_not_replaced(tiny_song, tmp_path) -> None:
    song = shutil.copytree(tiny_song, tmp_path / "tiny")
    before = sorted(song.rglob("*"))
    with pytest.raises(FileExistsError, match=r"is no result of a search \(it holds mix.wav, song.yaml, tracks\)"):
        find(song, song, overwrite=True)
    assert sorted(song.rglob("*")) == before


def test_a_search_that_fails_before_its_first_stage_ends_leaves_nothing(tiny_song, tmp_path) -> None:
    def fail() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        find(tiny_song, tmp_path / "a" / "r", [AtStep(1, fail)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_leftovers_of_kills_are_cleared_and_never_published(tiny_song, result, tmp_path) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        find(tiny_song, tmp_path / "r", [AtStep(3, lambda: (_ for _ in ()).throw(RuntimeError("broken")))])
    (tmp_path / "r.partial" / ".mix_found.flac.77.part").write_text("half")
    (tmp_path / "r.partial" / ".stage.ckpt.77.partial").write_text("half")
    (tmp_path / ".r.78.partial").mkdir()
    (tmp_path / ".r.79.discarded").mkdir()
    shutil.copytree(result, tmp_path / ".r.replaced")
    with pytest.raises(FileExistsError, match=r"r\.partial holds a search that did not end; go on with"):
        find(tiny_song, tmp_path / "r")
    assert contents(tmp_path / "r") == contents(result)  # what was being replaced is back
    shutil.rmtree(tmp_path / "r")
    find(tiny_song, tmp_path / "r", checkpoint=tmp_path / "r.partial" / "stage.ckpt")
    assert contents(tmp_path / "r") == contents(result)
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


@pytest.mark.long
def test_a_search_whose_result_does_not_fit_on_the_disk_is_finished(tiny_song, result, tmp_path, caplog) -> None:
    folder, checkpoint = tmp_path / "r", tmp_path / "r.partial" / "stage.ckpt"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OSError, match=r"File too large: '.*/r\.partial/.*'"), caplog.at_level("INFO"):
            find(tiny_song, folder, [AtStep(5, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20000, limits[1])))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"To go on:\n  mixgraph.search.search(..., checkpoint='{checkpoint}')" in caplog.text
    find(tiny_song, folder, checkpoint=checkpoint)
    assert contents(folder) == contents(result)
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


def killed_before(event: str, pattern: str, run) -> None:
    """Runs in another process, which is killed before it does something to such a path."""
    child = os.fork()
    if child == 0:
        code = 99
        try:

            def hook(happened, arguments):
                if happened == event and re.search(pattern, str(arguments[0])):
                    os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(hook)
            run()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.long
@pytest.mark.parametrize(
    ("event", "pattern", "message"),
    [
        ("open", r"progress\.png", "holds a search that did not end; go on with"),
        ("os.rename", r"r\.partial$", "r exists and is kept"),  # published by the run that says it
        ("os.remove", r"/r/stage\.ckpt$", "r exists and is kept"),
    ],
    ids=["in writing", "before its name", "before the checkpoint goes"],
)
def test_a_search_that_is_killed_while_it_ends_is_finished(
    tiny_song, result, tmp_path, event, pattern, message
) -> None:
    folder = tmp_path / "r"
    killed_before(event, pattern, lambda: find(tiny_song, folder))
    with pytest.raises(FileExistsError, match=message):
        find(tiny_song, folder)
    if "go on" in message:
        find(tiny_song, folder, checkpoint=tmp_path / "r.partial" / "stage.ckpt")
    assert contents(folder) == contents(result)
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


def test_a_prediction_replaces_no_audio_unasked(tiny_song, result, tmp_path) -> None:
    folder = shutil.copytree(result, tmp_path / "r")
    before = contents(folder)

    def predict(overwrite: bool) -> None:
        data = SongData(str(tiny_song), sample_rate=8000, cache_dir=None)
        trainer = L.Trainer(
            accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False,
            callbacks=[ResultFolder(str(folder), overwrite, page=False)], enable_model_summary=False,
        )  # fmt: skip
        trainer.predict(ConsoleModule("g", "g", sample_rate=8000), data, return_predictions=False)

    with pytest.raises(FileExistsError, match=r"result.path: .*mix_found.flac exists and is kept; .*overwrite=true"):
        predict(overwrite=False)
    assert contents(folder) == before
    (folder / "mix_found.flac").rename(folder / "mix_found.wav")
    with pytest.raises(FileExistsError, match=r"mix_found.wav exists and is kept"):
        predict(overwrite=False)
    predict(overwrite=True)
    assert set(contents(folder)) == set(before)  # one mix_found, the new one
    assert contents(folder)["mix_found.flac"] != before["mix_found.flac"]
    assert [p.name for p in tmp_path.iterdir()] == ["r"]
