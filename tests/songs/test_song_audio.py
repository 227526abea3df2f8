"""Reading, resampling and writing of audio files."""

import math
import resource

import numpy as np
import pytest
import soundfile
import torch

from mixgraph.songs import read_audio, resample, write_audio


@pytest.mark.parametrize(
    ("subtype", "error"),
    [("PCM_16", 2**-15), ("PCM_24", 2**-23), ("FLOAT", 0.0)],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_is_read_to_the_precision_of_its_format(make, tmp_path, subtype, error, channels):
    samples = make.noise(1000, channels).astype(np.float32)
    make.save(tmp_path / "a.wav", samples, subtype=subtype)
    audio = read_audio(tmp_path / "a.wav", make.rate)
    assert audio.dtype == torch.float32
    assert audio.shape == (channels, 1000)
    assert np.abs(audio.numpy() - samples.T).max() <= error


@pytest.mark.parametrize(
    ("suffix", "error"),
    [
        *((suffix, 2**-15) for suffix in ("flac", "aiff", "aif", "aifc", "au", "snd", "caf", "w64", "rf64", "wave")),
        *((suffix, 0.02) for suffix in ("ogg", "mp3")),
        ("opus", 0.03),
    ],
)
def test_every_suffix_is_read(tmp_path, suffix, error):
    time = np.arange(16000) / 16000
    sine = 0.5 * np.sin(2 * np.pi * 440 * time)
    kinds = {"aif": "AIFF", "aifc": "AIFF", "snd": "AU", "wave": "WAV", "opus": "OGG"}
    soundfile.write(
        str(tmp_path / f"a.{suffix}"),
        sine,
        16000,
        format=kinds.get(suffix, suffix.upper()),
        subtype="OPUS" if suffix == "opus" else None,
    )
    audio = read_audio(tmp_path / f"a.{suffix}", 16000)[0].numpy()
    assert len(audio) == 16000
    assert np.abs(audio - sine)[1000:-1000].max() <= error  # lossy coders need a start


def test_file_is_resampled_once_to_the_rate_asked_for(make, tmp_path):
    make.save(tmp_path / "a.wav", make.noise(4410, 2), rate=44100)
    samples = torch.from_numpy(soundfile.read(tmp_path / "a.wav", dtype="float32")[0].T.copy())
    assert torch.equal(read_audio(tmp_path / "a.wav", 30000), resample(samples, 44100, 30000))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.wav: audio file expected, got none"):
        read_audio(tmp_path / "a.wav", 8000)


def test_unreadable_file(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no audio at all")
    with pytest.raises(ValueError, match=r"a\.wav: cannot be read as audio .*allowed are \.wav"):
        read_audio(tmp_path / "a.wav", 8000)


def test_too_many_channels(make, tmp_path):
    make.save(tmp_path / "a.wav", make.noise(100, 3))
    with pytest.raises(ValueError, match="one or two channels are allowed, got 3"):
        read_audio(tmp_path / "a.wav", 8000)


def test_empty_file(make, tmp_path):
    make.save(tmp_path / "a.wav", make.noise(0, 1))
    with pytest.raises(ValueError, match="at least one sample expected"):
        read_audio(tmp_path / "a.wav", 8000)


def test_flac_keeps_24_bits(tmp_path):
    audio = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (2, 1000)).astype(np.float32))
    written = write_audio(tmp_path / "deep" / "a.flac", audio, 30000)
    assert (written.path, written.warning) == (tmp_path / "deep" / "a.flac", None)
    assert soundfile.info(written.path).subtype == "PCM_24"
    assert (read_audio(written.path, 30000) - audio).abs().max() <= 2**-22  # rounding, and scaling by 2^23 - 1
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.flac"]


@pytest.mark.parametrize("channels", [1, 2])
def test_wav_keeps_every_bit_and_no_time_of_writing(tmp_path, channels):
    audio = 3 * torch.randn(channels, 501, generator=torch.Generator().manual_seed(0))
    written = write_audio(tmp_path / "a.wav", audio, 44100)
    assert torch.equal(read_audio(written.path, 44100), audio)
    assert soundfile.info(written.path).subtype == "FLOAT"
    assert b"PEAK" not in written.path.read_bytes()[:200]


def test_flac_that_would_clip_becomes_float_wav(tmp_path):
    audio = torch.tensor([[0.5, -1.25, 0.1]])
    written = write_audio(tmp_path / "a.flac", audio, 30000)
    assert written.path == tmp_path / "a.wav"
    assert written.warning == "a.wav: written as float32 WAV, because its peak of 1.250 would clip in FLAC"
    assert torch.equal(read_audio(written.path, 30000), audio)
    assert not (tmp_path / "a.flac").exists()


def test_full_scale_still_fits_into_flac(tmp_path):
    written = write_audio(tmp_path / "a.flac", torch.tensor([[1.0, -1.0]]), 30000)
    assert written.warning is None
    assert read_audio(written.path, 30000)[0].tolist() == pytest.approx([1.0, -1.0], abs=2**-22)


@pytest.mark.parametrize(
    ("name", "audio", "message"),
    [
        ("a.mp3", torch.ones(2, 9), r"suffix \.flac or \.wav expected, got '\.mp3'"),
        ("a.wav", torch.ones(9), r"shape \(1 or 2, frames\) expected, got \(9,\)"),
        ("a.wav", torch.ones(2, 0), r"shape \(1 or 2, frames\) expected, got \(2, 0\)"),
        ("a.wav", torch.tensor([[0.1, math.nan]]), "finite samples expected"),
    ],
)
def test_writing_refuses(tmp_path, name, audio, message):
    with pytest.raises(ValueError, match=message):
        write_audio(tmp_path / name, audio, 8000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.flac", "a.wav"])
@pytest.mark.parametrize("missing", [1, 1000, 8000])
def test_audio_that_does_not_fit_on_the_disk_is_an_error(tmp_path, name, missing):
    """libsndfile, given a path, loses the error of the last bytes, and leaves a file that is cut short."""
    audio = torch.rand(2, 8000, generator=torch.Generator().manual_seed(0)) - 0.5
    whole = write_audio(tmp_path / name, audio, 8000).path.read_bytes()
    size = write_audio(tmp_path / "elsewhere" / name, audio * 0.9, 8000).path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - missing, limits[1]))
    try:
        with pytest.raises(OSError, match=rf"File too large.*/{name}'"):
            write_audio(tmp_path / name, audio * 0.9, 8000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / name).read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "elsewhere"]


def test_wav_above_four_gigabytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mixgraph.songs.audio._WAV_MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 4 GiB fit into a WAV file, got 1200 bytes"):
        write_audio(tmp_path / "a.wav", torch.ones(1, 300), 8000)
    assert list(tmp_path.iterdir()) == []
