"""Files taken apart in stretches: equal to the whole, at their own rate and length; bad input in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from mixgraph.cli.commands import run
from mixgraph.demixing import Demixer, DemixerTransform, NetworkSettings
from mixgraph.demixing.files import demix_file, read_gains
from mixgraph.demixing.stretches import separate_pieces
from mixgraph.songs import read_audio, write_audio
from mixgraph.songs.wav_writer import WavWriter

TARGETS = ("vocals", "drums", "bass", "other")


def make_demixer(**settings) -> Demixer:
    torch.manual_seed(0)
    transform = DemixerTransform(num_bands=14, low_hz=150.0, slice_samples=256, sample_rate=8000)
    demixer = Demixer(TARGETS, transform, network=NetworkSettings(6, 3, 2, exchange=5), **settings).eval()
    for parameter in demixer.network.parameters():  # masks that differ
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return demixer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    demixer = make_demixer()
    content: dict = {"state_dict": demixer.state_dict()}
    demixer.on_save_checkpoint(content)
    path = tmp_path_factory.mktemp("demixer") / "demixer.ckpt"
    torch.save(content, path)
    return path


def noise(channels: int = 2, samples: int = 5001) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((samples, channels)) * 0.1


def write(path: Path, samples: np.ndarray, rate: int = 8000) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("masks", ["softmax", "sigmoid"])
def test_a_file_in_stretches_gives_the_stems_of_the_whole(channels: int, masks, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("mixgraph.songs.decode._BLOCK", 700)
    demixer, mix = make_demixer(masks=masks), write(tmp_path / "mix.wav", noise(channels))
    done: list[float] = []
    demixed = demix_file(demixer, mix, tmp_path / "stems", {"drums": -6.0}, seconds=0.1, progress=done.append)
    audio = read_audio(mix, 8000)
    whole = demixer.separate(audio)
    stems = [read_audio(tmp_path / "stems" / f"{target}.wav", 8000) for target in TARGETS]
    for stem, true in zip(stems, whole, strict=True):
        assert stem.shape == audio.shape
        assert float((stem - true).abs().max()) < 1e-5 * float(whole.abs().max())
    remix = read_audio(tmp_path / "stems" / "remix.wav", 8000)
    assert torch.allclose(remix, sum(stems) + (10 ** (-6 / 20) - 1) * stems[1], atol=1e-6)
    distance = 10 * np.log10(float((sum(stems) - audio).square().sum() / audio.square().sum()))
    assert demixed.distance_db == pytest.approx(distance, abs=0.1 if masks == "sigmoid" else 10)
    assert (demixed.distance_db < -100) == (masks == "softmax")
    assert len(done) > 5
    assert done[-1] == pytest.approx(5001 / 8000)


def test_stems_have_the_rate_and_length_of_the_file_whatever_that_of_the_network(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("mixgraph.songs.stretches._PIECE", 1 << 11)
    demixer = make_demixer()
    tones = np.sin(2 * np.pi * np.array([440, 90]) * np.arange(20001)[:, None] / 11025)
    mix = write(tmp_path / "mix.wav", 0.3 * tones * np.hanning(20001)[:, None], 11025)
    demixed = demix_file(demixer, mix, tmp_path / "stems", seconds=0.2)
    assert soundfile.info(tmp_path / "stems" / "bass.wav").frames == 20001
    assert soundfile.info(tmp_path / "stems" / "bass.wav").samplerate == 11025
    assert demixed.distance_db is not None
    assert demixed.distance_db < -90
    assert "resampled from 11025 Hz to 8000 Hz" in demixed.notes[0]
    whole = demixer.separate(read_audio(mix, 8000))
    stem = read_audio(tmp_path / "stems" / "bass.wav", 8000)
    inner = slice(400, -400)
    assert float((stem - whole[2])[:, inner].abs().max()) < 1e-3 * float(whole.abs().max())


def test_no_more_is_read_ahead_than_a_stretch_depends_on() -> None:
    demixer, read, ahead = make_demixer(), 0, []

    def pieces():
        nonlocal read
        for _ in range(200):
            read += 100
            yield torch.randn(2, 100)

    for start, stretch in separate_pieces(demixer, pieces(), seconds=0.064):
        ahead.append(read - start)
        assert stretch.shape == (4, 2, min(512, 20000 - start))
    assert len(ahead) == 40
    assert max(ahead) < 512 + demixer.context_samples + 100


def test_silence_and_a_mix_shorter_than_a_slice(tmp_path: Path) -> None:
    demixed = demix_file(make_demixer(), write(tmp_path / "mix.wav", np.zeros((90, 2))), tmp_path / "stems")
    assert demixed.samples == 90
    assert demixed.distance_db is None
    assert "the mix is silent, and so are its stems" in demixed.notes
    assert not read_audio(tmp_path / "stems" / "vocals.wav", 8000).any()


def test_the_command_writes_stems_a_remix_and_a_record(checkpoint: Path, tmp_path: Path, capsys) -> None:
    mix, out = write(tmp_path / "mix.wav", noise()), tmp_path / "stems"
    words = ["demix", str(checkpoint), str(mix), "--out", str(out), "--gains", "vocals=-inf,bass=2"]
    assert run(words) == 0
    printed = capsys.readouterr().out
    assert "the stems' sum differs from the mix by -1" in printed
    assert "vocals.wav, drums.wav, bass.wav, other.wav, remix.wav: 0.6 s at 8000 Hz" in printed
    record = json.loads((out / "demix.json").read_text())
    assert record["gains_db"] == {"vocals": "-inf", "bass": 2.0}
    assert record["samples"] == 5001
    assert record["checkpoint"]["file"] == "demixer.ckpt"
    assert record["settings"]["transform"]["num_bands"] == 14
    stems = [read_audio(out / f"{target}.wav", 8000) for target in TARGETS]
    remix = stems[1] + stems[2] * 10 ** (2 / 20) + stems[3]
    assert torch.allclose(read_audio(out / "remix.wav", 8000), remix, atol=1e-6)
    with pytest.raises(FileExistsError, match="exists and is kept; choose another folder or give --overwrite"):
        run(words)
    assert run([*words[:-2], "--overwrite"]) == 0
    assert not (out / "remix.wav").exists()
    assert run([*words[:-2], "--overwrite", "--blend", f"bass={checkpoint}"]) == 0
    assert set(json.loads((out / "demix.json").read_text())["blended"]) == {"bass"}
    assert torch.equal(read_audio(out / "bass.wav", 8000), stems[2])  # the same checkpoint
    (out / "mine.txt").write_text("keep me")
    with pytest.raises(FileExistsError, match="it is no folder of demixed stems"):
        run([*words, "--overwrite"])
    with pytest.raises(ValueError, match=r"out: .* holds the mix vocals.wav"):
        run(["demix", str(checkpoint), str(out / "vocals.wav"), "--out", str(out), "--overwrite"])
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".") and path.is_dir()] == []


def test_bad_input_is_refused_in_a_line_and_leaves_nothing(checkpoint: Path, tmp_path: Path) -> None:
    broken = noise()
    broken[4003, 1] = np.nan
    files = {"surround": noise(6), "nan": broken, "good": noise()}
    paths = {name: str(write(tmp_path / f"{name}.wav", samples)) for name, samples in files.items()}
    other = tmp_path / "search.ckpt"
    torch.save({"state_dict": {}, "mixgraph": "{}"}, other)
    out = ["--out", str(tmp_path / "stems")]
    for words, error, message in [
        ([str(checkpoint), paths["surround"]], ValueError, "one or two channels are allowed, got 6. HINT: split"),
        ([str(checkpoint), paths["nan"]], ValueError, r"got NaN or infinity at 0.500 s \(sample 4003\)"),
        ([str(checkpoint), paths["good"], "--gains", "vocal=-6"], ValueError, "HINT: did you mean vocals"),
        ([str(checkpoint), paths["good"], "--gains", "vocals"], ValueError, "TARGET=DB, with a number, is needed"),
        ([str(checkpoint), paths["good"], "--gains", "vocals=nan"], ValueError, "TARGET=DB, with a number, is needed"),
        ([str(checkpoint), paths["good"], "--gains", "vocals=99"], ValueError, "at most 60 dB, got 99 for vocals"),
        ([str(other), paths["good"]], ValueError, "that of a demixer is needed, got that of a search for a graph"),
        ([str(checkpoint), str(tmp_path / "none.wav")], FileNotFoundError, "audio file expected, got none"),
        ([str(checkpoint), str(tmp_path)], FileNotFoundError, "audio file expected, got a folder"),
    ]:
        with pytest.raises(error, match=message):
            run(["demix", *words, *out])
        assert not (tmp_path / "stems").exists()
    with pytest.raises(ValueError, match="got two for bass"):
        read_gains("bass=1,bass=2")


def test_a_file_written_piece_by_piece_has_the_bytes_of_the_whole(tmp_path: Path) -> None:
    audio = torch.randn(2, 1000) * 0.1
    write_audio(tmp_path / "whole.wav", audio, 44100)
    with WavWriter(tmp_path / "pieces.wav", 2, 44100) as writer:
        for piece in audio.split(333, dim=-1):
            writer.write(piece)
    assert (tmp_path / "pieces.wav").read_bytes() == (tmp_path / "whole.wav").read_bytes()
    assert writer.peak == float(audio.abs().max())
