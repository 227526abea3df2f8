"""Training of a demixer: chunks that depend on seed and step alone, a resumed fit equal to one in one piece, NaN."""

import sys
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import soundfile
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from datamodules import StemData
from mixgraph import __main__ as entry
from mixgraph.demixing import Demixer, DemixerOptimizer, DemixerTransform, NetworkSettings, load_demixer
from tests.demixing.conftest import RATE, TARGETS, make_stems

ROOT = Path(__file__).parents[2]
TRANSFORM = DemixerTransform(num_bands=14, low_hz=150.0, slice_samples=256, sample_rate=RATE)
SMALL = NetworkSettings(width=8, target_width=4, num_layers=1, exchange=4)


@pytest.fixture
def data(stem_root: Path, tmp_path: Path):
    def make(**settings) -> StemData:
        defaults = {
            "path": str(stem_root),
            "left_out": ["song1"],
            "batch_size": 2,
            "chunk_seconds": 0.5,
            "steps_per_epoch": 6,
            "whitening_batches": 2,
            "cache_dir": str(tmp_path / "cache"),
            "seed": 5,
        }
        return StemData(**(defaults | settings))

    return make


def demixer(**settings) -> Demixer:
    torch.manual_seed(0)
    return Demixer(transform=TRANSFORM, network=SMALL, **settings)


def trainer(folder: Path, epochs: int, **settings) -> L.Trainer:
    checkpoint = ModelCheckpoint(folder / "kept", "last", enable_version_counter=False, save_on_train_epoch_end=True)
    return L.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=[checkpoint],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **settings,
    )


def fit(folder: Path, epochs: int, data: StemData, module: Demixer, **settings) -> dict:
    trainer(folder, epochs).fit(module, data, **settings)
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_batches_depend_on_seed_and_step_and_sum_to_the_mix(data) -> None:
    first, second = data(), data()
    for each in (first, second):
        each.prepare(TARGETS, RATE)
    batches = [first.batch(step) for step in range(3)]
    assert all(torch.equal(second.batch(step).targets, batches[step].targets) for step in (2, 0, 1))
    assert not torch.equal(batches[0].targets, batches[1].targets)
    for batch in batches:
        assert batch.targets.shape == (2, 4, 2, RATE // 2)
        assert float((batch.targets.sum(1) - batch.mix).abs().max()) < 1e-6
        assert "song1" not in batch.songs
    other = data(seed=6)
    other.prepare(TARGETS, RATE)
    assert not torch.equal(other.batch(0).targets, batches[0].targets)


def test_examples_of_one_song_are_its_stems_with_gains_and_channels_swapped(data) -> None:
    module = data(mixed_songs=0.0, gains=(0.5, 0.5), swap_channels=1.0, batch_size=1)
    module.prepare(TARGETS, RATE)
    songs = {song.name: song for song in module.training_songs[0]}
    batch = module.batch(3)
    (name,) = batch.songs
    whole = torch.stack([songs[name].read(row, 0, songs[name].num_samples) for row in range(4)]).flip(1) * 0.5
    length = RATE // 2
    places = [s for s in range(whole.shape[-1] - length + 1) if torch.equal(whole[2, :, s], batch.targets[0, 2, :, 0])]
    assert any(torch.equal(whole[..., s : s + length], batch.targets[0]) for s in places)


def test_stems_are_played_faster_and_higher(data) -> None:
    chunks = [data(mixed_songs=0.0, swap_channels=0.0, gains=(1, 1), speeds=speeds) for speeds in ([1.0], [1.25])]
    for each in chunks:
        each.prepare(TARGETS, RATE)
    plain, faster = (each.batch(0).targets[0, 0, 0] for each in chunks)
    assert len(plain) == len(faster) == RATE // 2
    pitches = [float(torch.fft.rfft(stem * torch.hann_window(len(stem))).abs().argmax()) for stem in (plain, faster)]
    assert pitches[1] / pitches[0] == pytest.approx(1.25, rel=0.01)
    with pytest.raises(ValueError, match=r"speeds: factors from 0\.5 to 2"):
        data(speeds=[3.0])


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_a_resumed_training_equals_one_in_one_piece(data, tmp_path: Path) -> None:
    whole = fit(tmp_path / "a", 2, data(), demixer())
    fit(tmp_path / "b", 1, data(), demixer())
    torch.manual_seed(99)
    settings = {"ckpt_path": tmp_path / "b" / "kept" / "last.ckpt", "weights_only": True}
    resumed = fit(tmp_path / "c", 2, data(), demixer(), **settings)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    loaded = load_demixer(tmp_path / "c" / "kept" / "last.ckpt")
    assert all(torch.equal(value, whole[name]) for name, value in loaded.state_dict().items())


@pytest.mark.long
def test_training_separates_songs_that_it_has_not_heard(data, tmp_path: Path) -> None:
    module, chunks = demixer(optimizer=DemixerOptimizer(3e-3, warm_up_steps=5)), data(steps_per_epoch=60)
    run = trainer(tmp_path, 3)
    run.fit(module, chunks)
    assert float(run.callback_metrics["validation/sdr"]) > 8
    assert {f"validation/sdr_{target}" for target in TARGETS} <= set(run.callback_metrics)


def test_a_nan_stops_training_says_where_and_keeps_the_last_good_checkpoint(data, tmp_path: Path) -> None:
    class Broken(Demixer):
        def training_step(self, batch, batch_idx):
            if self.trainer.global_step == 8:
                with torch.no_grad():
                    self.network.encoders[0].look.bias.fill_(float("nan"))
            return super().training_step(batch, batch_idx)

    torch.manual_seed(0)
    module = Broken(transform=TRANSFORM, network=SMALL)
    message = r"training broke down at step 9: .*songs: song.*--ckpt_path .*last.ckpt"
    with pytest.raises(FloatingPointError, match=message):
        trainer(tmp_path, 2).fit(module, data())
    kept = load_demixer(tmp_path / "kept" / "last.ckpt")
    assert all(bool(value.isfinite().all()) for value in kept.state_dict().values())


def test_wrong_data_is_refused(data, stem_root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="left_out: some of song0, song1, song2, got song9"):
        data(left_out=["song9"]).prepare(TARGETS, RATE)
    with pytest.raises(ValueError, match="no song is left to train on"):
        data(left_out=["song0", "song1", "song2"]).prepare(TARGETS, RATE)
    quiet = make_stems(tmp_path / "more" / "quiet", 3, mixture=False)
    for target in TARGETS:
        soundfile.write(quiet / f"{target}.wav", np.zeros((RATE, 2)), RATE)
    roots = [str(stem_root), str(quiet.parent)]
    with pytest.raises(ValueError, match="left_out: a song in whose middle 30 s a target sounds is needed, got quiet"):
        data(path=roots, left_out=["quiet"]).prepare(TARGETS, RATE)
    data(path=roots, left_out=["quiet", "song1"]).prepare(TARGETS, RATE)
    with pytest.raises(ValueError, match="no song to train on has piano"):
        data().prepare(("piano", "other"), RATE)
    with pytest.raises(ValueError, match="weights: one for each of 1 folders"):
        data(weights=[1.0, 2.0])
    with pytest.raises(ValueError, match="weights: numbers from 0"):
        data(weights=[-1.0])
    with pytest.raises(ValueError, match=r"stems of no target are in .*HINT: a target `other`"):
        trainer(tmp_path, 1).fit(demixer(targets=("vocals", "drums")), data())


def test_roots_have_weights_and_one_of_weight_0_is_not_drawn_from(data, stem_root: Path, tmp_path: Path) -> None:
    make_stems(tmp_path / "more" / "extra", 11, seconds=1.0, mixture=False)
    module = data(path=[str(stem_root), str(tmp_path / "more")], weights=[0.0, 1.0])
    module.prepare(TARGETS, RATE)
    assert {name for step in range(4) for name in module.batch(step).songs} == {"extra"}


@pytest.mark.long
@pytest.mark.parametrize("config", ["demixer", "demixer_realtime", "demixer_v2"])
def test_configurations_train_and_go_on_from_a_checkpoint(config, stem_root, tmp_path, monkeypatch) -> None:
    small = {
        "data.path": stem_root, "data.left_out": "[song1]", "data.cache_dir": tmp_path / "cache",
        "data.batch_size": 1, "data.chunk_seconds": 0.4, "data.steps_per_epoch": 2, "data.whitening_batches": 1,
        "model.transform.num_bands": 14, "model.transform.low_hz": 150.0, "model.transform.slice_samples": 256,
        "model.transform.sample_rate": RATE, "model.network.width": 4, "model.published.hidden": 2,
        "model.published.inner": 2, "trainer.accelerator": "cpu", "trainer.enable_progress_bar": "false",
        "trainer.default_root_dir": tmp_path, "trainer.log_every_n_steps": 1,
        "trainer.logger.init_args.save_dir": tmp_path, "trainer.callbacks.dirpath": tmp_path / "kept",
    }  # fmt: skip
    words = ["mixgraph", "fit", f"--config={ROOT}/configs/{config}.yaml", *(f"--{k}={v}" for k, v in small.items())]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [*words, "--trainer.max_epochs=1"])
    entry.main()
    loaded = load_demixer(tmp_path / "kept" / "last.ckpt")
    assert loaded.is_causal == (config == "demixer_realtime")
    assert loaded.architecture == ("published" if config == "demixer_v2" else "ours")
    kept = str(tmp_path / "kept" / "last.ckpt")
    monkeypatch.setattr(sys, "argv", [*words, "--trainer.max_epochs=2", f"--ckpt_path={kept}"])
    with pytest.warns(UserWarning, match="exists and is not empty"):
        entry.main()
    assert (tmp_path / "kept" / "best.ckpt").is_file()
    log = (tmp_path / "log" / "version_1" / "metrics.csv").read_text()
    assert "train/coefficients" in log
    assert "validation/sdr_vocals" in log
    if config == "demixer":  # one that begins anew does not replace it
        monkeypatch.setattr(sys, "argv", words)
        with (
            pytest.warns(UserWarning, match="exists and is not empty"),
            pytest.raises(SystemExit, match=r"last.ckpt: is of an earlier training, and is kept"),
        ):
            entry.main()
