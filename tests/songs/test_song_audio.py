"""Reading, resampling and writing of audio files."""

import math
import struct

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
    ("suffix", "error"), [("flac", 2**-15), ("aiff", 2**-15), ("aif", 2**-15), ("ogg", 0.02), ("mp3", 0.02)]
)
def test_every_suffix_is_read(tmp_path, suffix, error):
    time = np.arange(16000) / 16000
    sine = 0.5 * np.sin(2 * np.pi * 440 * time)
    kind = {"aif": "AIFF"}.get(suffix, suffix.upper())
    soundfile.write(str(tmp_path / f"a.{suffix}"), sine, 16000, format=kind)
    audio = read_audio(tmp_path / f"a.{suffix}", 16000)[0].numpy()
    assert len(audio) == 16000
    assert np.abs(audio - sine)[1000:-1000].max() <= error  # lossy coders need a start


@pytest.mark.parametrize(("from_rate", "to_rate"), [(44100, 30000), (48000, 30000), (30000, 48000), (22050, 30000)])
def test_resampled_sine_has_its_analytic_values(from_rate, to_rate):
    def sine(rate: int) -> torch.Tensor:
        seconds = torch.arange(rate // 2, dtype=torch.float64) / rate
        return torch.sin(2 * math.pi * 1234.5 * seconds + 0.3).float()

    resampled, expected = resample(sine(from_rate), from_rate, to_rate), sine(to_rate)
    assert resampled.shape == (math.ceil(from_rate // 2 * to_rate / from_rate),)
    inner = slice(to_rate // 50, -to_rate // 50)  # the filter reaches past both ends
    assert (resampled[: expected.numel()] - expected)[inner].abs().max() < 5e-6


def test_resampling_removes_what_the_new_rate_cannot_hold():
    tone = torch.sin(2 * math.pi * 17000 * torch.arange(22050, dtype=torch.float64) / 44100).float()
    assert resample(tone, 44100, 30000)[500:-500].abs().max() < 1e-6


def test_file_is_resampled_once_to_the_rate_asked_for(make, tmp_path):
    make.save(tmp_path / "a.wav", make.noise(4410, 2), rate=44100)
    given = torch.from_numpy(soundfile.read(tmp_path / "a.wav", dtype="float32")[0].T.copy())
    assert torch.equal(read_audio(tmp_path / "a.wav", 30000), resample(given, 44100, 30000))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.wav: audio file expected, got none"):
        read_audio(tmp_path / "a.wav", 8000)


def test_unreadable_file(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no audio at all")
    with pytest.raises(ValueError, match=r"a\.wav: cannot be read as audio .*allowed are \.wav"):
        read_audio(tmp_path / "a.wav", 8000)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".aiff"])
def test_a_file_that_is_cut_short_is_refused(make, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    make.save(path, make.noise(40_000, 2), rate=44100, subtype=None)
    whole = path.read_bytes()
    assert read_audio(path, 44100).shape == (2, 40_000)
    path.write_bytes(whole[: 2 * len(whole) // 3])
    with pytest.raises(ValueError, match=r"a\.\w+: .*is the download complete\?"):
        read_audio(path, 44100)
    path.write_bytes(whole + b"xy")  # more than the audio is no harm
    assert read_audio(path, 44100).shape == (2, 40_000)


def test_an_rf64_that_is_cut_short_is_refused(make, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(str(path), make.noise(9000, 2), 44100, format="RF64", subtype="PCM_16")
    whole = path.read_bytes()
    assert read_audio(path, 44100).shape == (2, 9000)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"a\.wav: .*is the download complete\?"):
        read_audio(path, 44100)


def in_wav(mp3: bytes) -> bytes:
    settings = struct.pack("<HHIIHHHHIHHH", 0x55, 2, 44100, 16000, 1, 0, 12, 1, 2, 417, 1, 1393)
    body = b"WAVEfmt " + struct.pack("<I", len(settings)) + settings + b"data" + struct.pack("<I", len(mp3)) + mp3
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("loud_first", [False, True])
@pytest.mark.parametrize("wrap", [bytes, b"ID3\x04\0\0\0\0\x10\0".ljust(2058, b"\0").__add__, in_wav])
def test_an_mp3_that_does_not_say_its_length_is_read_to_its_end(make, tmp_path, wrap, loud_first):
    """Its frames are a guess, less than there are where it starts louder than it goes on, else more."""
    path = tmp_path / ("a.wav" if wrap is in_wav else "a.mp3")
    sound = make.noise(200_000, 2) * ((np.arange(200_000)[:, None] > 100_000) != loud_first)
    encoded = tmp_path / "encoded.mp3"
    with soundfile.SoundFile(str(encoded), "w", 44100, 2, bitrate_mode="VARIABLE", compression_level=0.5) as file:
        file.write(sound)
    whole = encoded.read_bytes()
    first = whole.index(b"\xff\xfb", max(whole.find(b"Xing"), whole.find(b"Info")))
    path.write_bytes(wrap(whole))
    said = read_audio(path, 44100)
    assert said.shape == (2, 200_000)
    path.write_bytes(wrap(whole[first:]))
    guessed = read_audio(path, 44100)
    start = guessed.shape[1] - 200_000  # what the encoder put before the sound stays
    assert 0 <= start < 4 * 1152
    late = slice(20_000, 190_000)  # past what frames share with those before them
    shift = min(range(start + 1), key=lambda n: float((guessed[:, n:][:, late] - said[:, late]).abs().max()))
    assert torch.allclose(guessed[:, shift:][:, late], said[:, late], atol=1e-5)
    path.write_bytes(wrap(whole[: 2 * len(whole) // 3]))
    with pytest.raises(ValueError, match="is the download complete"):
        read_audio(path, 44100)


def test_a_wav_that_was_streamed_says_no_size_and_is_read(make, tmp_path):
    path = make.save(tmp_path / "a.wav", make.noise(1000, 2), subtype="PCM_16")
    data = bytearray(path.read_bytes())
    start = data.index(b"data") + 4
    data[start : start + 4] = data[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert read_audio(path, 8000).shape[-1] >= 1000 * 8000 // 44100


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


def test_wav_above_four_gigabytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mixgraph.songs.audio._WAV_MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 4 GiB fit into a WAV file, got 1200 bytes"):
        write_audio(tmp_path / "a.wav", torch.ones(1, 300), 8000)
    assert list(tmp_path.iterdir()) == []
