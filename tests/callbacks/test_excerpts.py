"""The excerpts of a result: which stretch, at which level, and what TensorBoard's own reader finds of them."""

import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from callbacks.excerpts import result_excerpts
from callbacks.loggers import log_excerpts
from mixgraph.songs import load_song
from mixgraph.songs.clips import loudest_start

RATE = 8000
BLOBS = "DATA_CLASS_BLOB_SEQUENCE"


@pytest.fixture(scope="module")
def song(tiny_song):
    """A song of 3 s at twice its files' level, whose loudest second is from 1.5 to 2.5 s, and quiet but not silent."""
    song = load_song(tiny_song, sample_rate=RATE)
    mix = 0.01 * torch.ones(2, 3 * RATE)
    mix[:, 12000:20000] = torch.linspace(-1.2, 1.2, RATE)
    return replace(song, mix=mix, level=2.0, title="A title")


def test_both_mixes_are_cut_where_the_target_is_loudest_at_the_level_of_the_files(song) -> None:
    excerpts = result_excerpts(song, 0.5 * song.mix, seconds=1.0)
    ramp = torch.linspace(-0.6, 0.6, RATE).expand(2, -1)
    assert torch.equal(excerpts.audio["mix_target"], ramp)
    assert torch.equal(excerpts.audio["mix_found"], ramp / 2)
    assert (excerpts.sample_rate, excerpts.caption) == (RATE, "1.5 to 2.5 s of A title")
    whole = result_excerpts(song, song.mix)  # shorter than an excerpt
    assert whole.audio["mix_found"].shape == (2, 3 * RATE)
    assert whole.caption == "0.0 to 3.0 s of A title"


def test_peaks_above_full_scale_are_scaled_alike_and_stated(song) -> None:
    excerpts = result_excerpts(song, 2 * song.mix, seconds=1.0)  # peaks of 0.6 and 1.2
    assert float(excerpts.audio["mix_found"].abs().max()) == 1.0
    torch.testing.assert_close(excerpts.audio["mix_target"], excerpts.audio["mix_found"] / 2)
    assert excerpts.caption.endswith("; mix_target and mix_found are 1.58 dB softer here, to fit into full scale")


def test_the_loudest_stretch_of_silence_is_the_first_and_lengths_are_checked() -> None:
    assert loudest_start(torch.zeros(2, 5), 3) == 0
    assert loudest_start(torch.tensor([[0.0, 0.0, 0.0, 1.0], [0.0, 2.0, 0.0, 0.0]]), 1) == 1
    for length in (0, 6):
        with pytest.raises(ValueError, match=f"length: 1 to 5 samples, those of the mix, expected, got {length}"):
            loudest_start(torch.zeros(2, 5), length)


def test_tensorboard_plays_the_excerpts_of_each_song_in_stereo(song, tmp_path) -> None:
    reason = "TensorBoard's reader is an optional extra"
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason=reason)
    found = torch.stack((2 * song.mix[0], 0.3 * song.mix[1]))
    logger = TensorBoardLogger(tmp_path, "logged")
    excerpts = {"a/": result_excerpts(song, found, seconds=1.0), "b/": result_excerpts(song, song.mix, seconds=0.5)}
    loggers = [CSVLogger(tmp_path, "csv"), logger]
    for prefix, of_song in excerpts.items():
        log_excerpts(loggers, of_song, 7, prefix)
    logger.finalize("success")
    events = reader.EventAccumulator(logger.log_dir).Reload()
    assert sorted(events.Tags()["audio"]) == ["a/mix_found", "a/mix_target", "b/mix_found", "b/mix_target"]
    for prefix, of_song in excerpts.items():
        for name, audio in of_song.audio.items():
            (event,) = events.Audio(prefix + name)
            assert (event.step, event.sample_rate, event.length_frames) == (7, RATE, audio.shape[1])
            metadata = events.SummaryMetadata(prefix + name)  # the server of TensorBoard shows no caption without both
            assert metadata.plugin_data.plugin_name == "audio"
            assert metadata.DESCRIPTOR.fields_by_name["data_class"].enum_type.values[metadata.data_class].name == BLOBS
            samples, rate = soundfile.read(io.BytesIO(event.encoded_audio_string), dtype="float32")
            assert rate == RATE
            np.testing.assert_allclose(samples, audio.T.numpy(), rtol=0, atol=1 / 2**15)
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    values = [  # as TensorBoard shows them
        value for path in tmp_path.glob("logged/*/events*")
        for event in loader.EventFileLoader(str(path)).Load() for value in event.summary.value
    ]  # fmt: skip
    captions = {value.tag: value.metadata.summary_description for value in values}
    for prefix, of_song in excerpts.items():
        assert {captions[prefix + name] for name in of_song.audio} == {of_song.caption}
    assert not list(tmp_path.glob("csv/**/*.wav"))  # other loggers get none
