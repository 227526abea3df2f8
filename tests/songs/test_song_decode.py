"""Decoding of audio files as they are out there: what is there, whatever the header says."""

import io
import random
import shlex
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from mixgraph.songs import load_song, read_audio
from mixgraph.songs.decode import audio_seconds, decode
from mixgraph.songs.mpeg import parse_frame

FRAMES, RATE = 30_000, 44100
NOISE = np.random.default_rng(0).integers(-9000, 9000, (FRAMES, 2)).astype(np.int16)
SAMPLES = torch.from_numpy(NOISE.T.astype(np.float32) / 2**15)


def encode(kind: str, subtype: str | None = None, samples: np.ndarray = NOISE, rate: int = RATE) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind, subtype=subtype)
    return stream.getvalue()


def patched(data: bytes, at: int, patch: bytes) -> bytes:
    return data[:at] + patch + data[at + len(patch) :]


def flac(total: int | None = None) -> bytes:
    """FLAC whose header says this number of samples (36 bits; 0 for "not known", as from a pipe)."""
    data = encode("FLAC", "PCM_16")
    if total is None:
        return data
    settings = int.from_bytes(data[18:26], "big") >> 36 << 36 | total
    return patched(data, 18, settings.to_bytes(8, "big"))


def tag_at(mp3: bytes) -> int:
    return max(mp3.find(b"Info"), mp3.find(b"Xing"))


def tagged(mp3: bytes, frames: int, size: int | None = None) -> bytes:
    """An MP3 whose tag says other numbers of frames and bytes."""
    mp3 = patched(mp3, tag_at(mp3) + 8, frames.to_bytes(4, "big"))
    return mp3 if size is None else patched(mp3, tag_at(mp3) + 12, size.to_bytes(4, "big"))


def untagged(mp3: bytes) -> bytes:
    return mp3[mp3.index(b"\xff\xfb", tag_at(mp3)) :]


def checksum(page: bytes) -> bytes:
    """That of an Ogg page (RFC 3533): a CRC of 32 bits with polynomial 0x04c11db7, not reflected."""
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value >> 31 else value << 1) & 0xFFFFFFFF
    return value.to_bytes(4, "little")


def without_end(ogg: bytes, granule: int | None = None) -> bytes:
    """An Ogg file whose last page lacks the flag of a last page, or says another position."""
    at = ogg.rfind(b"OggS")
    page = bytearray(ogg[at:])
    if granule is None:
        page[5] &= ~4
    else:
        page[6:14] = granule.to_bytes(8, "little")
    page[22:26] = bytes(4)
    page[22:26] = checksum(bytes(page))
    return ogg[:at] + page


@pytest.fixture(scope="module")
def mp3() -> bytes:
    return encode("MP3")


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., torch.Tensor]:
    """Decodes bytes that lie in a file."""

    def decoded(data: bytes, name: str = "a.wav") -> torch.Tensor:
        (tmp_path / name).write_bytes(data)
        return decode(tmp_path / name).samples

    return decoded


def wav() -> bytes:
    return encode("WAV", "PCM_16")


def rf64(data_size: int, samples: int) -> bytes:
    data = encode("RF64", "PCM_16")
    return patched(data, data.index(b"ds64") + 16, struct.pack("<QQ", data_size, samples))


def unfinished(kind: str) -> bytes:
    """A file whose sizes its recorder never filled in."""
    if kind == "RF64":
        return rf64(0, 0)
    if kind == "BW64":
        return b"BW64" + rf64(0, 0)[4:]
    data = encode(kind, "PCM_16")
    place, size = {
        "WAV": (data.find(b"data") + 4, 4),
        "AIFF": (data.find(b"SSND") + 4, 4),
        "W64": (data.find(b"data") + 16, 8),
        "AU": (8, 4),
        "CAF": (data.find(b"data") + 4, 8),
    }[kind]
    return patched(data, place, bytes(size))


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "RF64", "BW64", "W64", "AU", "CAF"])
def test_a_recording_that_was_never_finalised_is_read_to_its_end(read, kind):
    """PCM of 16 bits is exact. A streamed file says "unknown" (all bits set), which is the same."""
    data = unfinished(kind)
    assert torch.equal(read(data), SAMPLES)
    if kind in ("AU", "CAF", "WAV"):
        place = {"AU": 8, "CAF": data.find(b"data") + 4, "WAV": data.find(b"data") + 4}[kind]
        assert torch.equal(read(patched(data, place, b"\xff" * (8 if kind == "CAF" else 4))), SAMPLES)


def test_an_empty_data_chunk_with_other_chunks_behind_it_is_empty(read):
    data = wav()
    with pytest.raises(ValueError, match=r"a\.wav: at least one sample expected, got an empty file"):
        read(patched(data[: data.index(b"data") + 8], data.index(b"data") + 4, bytes(4)) + b"LIST\4\0\0\0INFO")


def test_bw64_and_names_that_do_not_fit_the_content_are_read(read):
    assert torch.equal(read(b"BW64" + encode("RF64", "PCM_16")[4:]), SAMPLES)
    assert torch.equal(read(wav(), "a.ogg"), SAMPLES)
    assert torch.equal(read(flac(), "a.mp3"), SAMPLES)


@pytest.mark.parametrize("total", [0, 1, FRAMES // 2, FRAMES - 1, FRAMES])
def test_flac_is_read_to_its_end_whatever_number_of_samples_it_says(read, total):
    assert torch.equal(read(flac(total)), SAMPLES)


def test_flac_in_ogg_is_read():
    """440 Hz at half of full scale, 16 bits; written by `flac --ogg`."""
    samples = decode(Path(__file__).parent / "files" / "tone_flac.ogg").samples[0]
    sine = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4000) / 8000)
    assert np.abs(samples.numpy() - sine).max() <= 2**-15


def cut_au() -> bytes:
    return encode("AU", "PCM_16")[:-4000]


@pytest.mark.parametrize(
    "data",
    [
        lambda: flac(2 * FRAMES),
        lambda: flac(2**36 - 1),
        lambda: flac()[:-3000],
        lambda: flac(0)[:-3000],
        lambda: flac()[:42],
        lambda: flac()[:20],
        lambda: wav()[:-4000],
        lambda: wav()[:-2],
        lambda: patched(wav(), wav().index(b"data") + 4, struct.pack("<I", 0x7FFE0000)),
        lambda: rf64(2**61, 2**60),
        lambda: encode("RF64", "PCM_16")[:-4000],
        lambda: encode("AIFF", "PCM_16")[:-4000],
        lambda: encode("W64", "PCM_16")[:-4000],
        cut_au,
        lambda: encode("CAF", "PCM_16")[:-4000],
        lambda: encode("OGG")[:-1],
        lambda: without_end(encode("OGG"), 2**60),
        lambda: encode("OGG", "OPUS", rate=48000)[:-1],
    ],
)
def test_headers_that_claim_more_than_there_is_are_refused(read, data):
    with pytest.raises(ValueError, match=r"a\.wav: [^\n]*is the download complete\?$"):
        read(data())


def test_sizes_that_are_wrong_by_a_byte_lose_a_sample_at_most(read):
    data, at = wav(), wav().index(b"data") + 4
    size = 4 * FRAMES
    assert torch.equal(read(patched(data, at, struct.pack("<I", size + 1))), SAMPLES)
    assert torch.equal(read(patched(data, at, struct.pack("<I", size - 1))), SAMPLES[:, :-1])
    odd = encode("WAV", "PCM_U8", NOISE[:999, :1])  # 999 bytes and a pad byte
    assert read(odd).shape == read(odd[:-1]).shape == (1, 999)


def test_audio_that_the_header_does_not_know_is_refused(read):
    data, at = wav(), wav().index(b"data") + 4
    with pytest.raises(ValueError, match=r"a\.wav: 80000 bytes follow the audio that its header knows"):
        read(patched(data, at, struct.pack("<I", 40000)))
    with pytest.raises(ValueError, match=r"a\.wav: another file follows at byte 120044\. HINT: join"):
        read(data + data)
    assert torch.equal(read(data + bytes(100_000)), SAMPLES)  # padding
    assert torch.equal(read(data + b"LIST" + struct.pack("<I", 100_000) + b"\1" * 100_000), SAMPLES)


@pytest.mark.parametrize("kind", ["VORBIS", "OPUS"])
def test_a_whole_ogg_without_the_flag_of_its_end_is_read(read, kind):
    data = encode("OGG", kind, rate=48000)
    assert torch.equal(read(without_end(data)), read(data))


@pytest.mark.parametrize("kind", ["MP3", "FLAC", "VORBIS", "untagged MP3"])
def test_joined_files_are_read_one_after_the_other(read, mp3, kind):
    first = {"MP3": mp3, "FLAC": flac(), "VORBIS": encode("OGG"), "untagged MP3": untagged(mp3)}[kind]
    second = mp3 if "MP3" in kind else first
    alone = torch.cat([read(first), read(second)], 1)
    assert torch.equal(read(first + second), alone)
    if kind == "MP3":
        tag = b"TAG".ljust(128, b"x")
        assert torch.equal(read(mp3 + tag + b"ID3\4\0\0\0\0\0\7" + bytes(7) + mp3), alone)
        assert torch.equal(read(mp3 + untagged(mp3)), torch.cat([read(mp3), read(untagged(mp3))], 1))


def test_joined_files_of_two_rates_are_refused(read, mp3):
    with pytest.raises(ValueError, match="joined files of one kind expected, got 44100 Hz with 2 channels, then 48000"):
        read(mp3 + encode("MP3", rate=48000))


def test_mpeg_frames_are_counted_whatever_the_tag_says(read, mp3):
    expected, count = read(mp3), int.from_bytes(mp3[tag_at(mp3) + 8 : tag_at(mp3) + 12], "big")
    assert expected.shape == (2, FRAMES)  # the encoder's delay and padding are dropped
    for stated_count in (0, count // 2, count - 1, count + 1, 2 * count, 2**32 - 1):
        assert torch.equal(read(tagged(mp3, stated_count)), expected)
    assert torch.equal(read(tagged(mp3, count // 2, len(mp3) // 2)), expected)
    with pytest.raises(
        ValueError, match=rf"its tag says {2 * count} frames, {count} are there\. HINT: is the download"
    ):
        read(tagged(mp3, 2 * count, 2 * len(mp3)))


def test_an_mp3_s_length_is_its_frames_without_a_tag(read, mp3):
    count = int.from_bytes(mp3[tag_at(mp3) + 8 : tag_at(mp3) + 12], "big")
    assert read(untagged(mp3)).shape == (2, 1152 * count)
    with pytest.raises(ValueError, match="the file ends before its audio does"):
        read(untagged(mp3)[:-100])


@pytest.mark.parametrize(
    "rest",
    [
        bytes(5000),
        b"TAG".ljust(128, b"x"),
        b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, 0) + bytes(40),
        b"\x12" * 999,
    ],
)
def test_what_follows_an_mp3_is_no_harm(read, mp3, rest):
    assert torch.equal(read(mp3 + rest), read(mp3))
    assert torch.equal(read(untagged(mp3) + rest), read(untagged(mp3)))


def test_what_cannot_be_counted_is_refused(read, mp3):
    with pytest.raises(ValueError, match=r"a\.wav: \d+ bytes at byte \d+ are no MPEG frames, but more frames follow"):
        read(patched(mp3, len(mp3) // 2, b"\x12" * 1500))
    frame = parse_frame(memoryview(mp3), 0)
    with pytest.raises(ValueError, match="more than one MPEG frame expected, got a single one"):
        read(mp3[: frame.length])
    with pytest.raises(ValueError, match="its bit rate is free, so that its frames cannot be counted"):
        read(patched(mp3, 2, bytes([mp3[2] & 0x0F])))


@pytest.mark.parametrize(
    ("header", "kind", "length", "samples"),
    [
        ("fffb9000", (1, 3, 44100), 417, 1152),  # 128 kbit/s: 144 * 128000 / 44100
        ("fffb9200", (1, 3, 44100), 418, 1152),  # padded
        ("fffbe400", (1, 3, 48000), 960, 1152),  # 320 kbit/s
        ("fff38000", (2, 3, 22050), 208, 576),  # 64 kbit/s: 72 * 64000 / 22050
        ("ffe31800", (4, 3, 8000), 72, 576),  # 8 kbit/s
        ("fffd9400", (1, 2, 48000), 480, 1152),  # 160 kbit/s, layer II
        ("ffff9000", (1, 1, 44100), 312, 384),  # 288 kbit/s, layer I: 4 * floor(12 * 288000 / 44100)
        ("fffb0000", (1, 3, 44100), 0, 1152),  # free
    ],
)
def test_the_length_of_mpeg_frames(header, kind, length, samples):
    frame = parse_frame(memoryview(bytes.fromhex(header)), 0)
    assert (frame.kind, frame.length, frame.samples) == (kind, length, samples)


@pytest.mark.parametrize("header", ["fff19000", "fffbf000", "fffb9c00", "ffeb9000", "fefb9000", "ff"])
def test_what_is_no_mpeg_frame(header):
    assert parse_frame(memoryview(bytes.fromhex(header)), 0) is None


@pytest.mark.parametrize(
    ("name", "start", "message"),
    [
        ("a.m4a", b"\0\0\0\x20ftypM4A ", r"MPEG-4 audio .*HINT: convert it .*`ffmpeg -i a\.m4a a\.flac`"),
        ("a.wav", b"wvpk\0\0", "WavPack"),
        ("a.wma", bytes.fromhex("3026b2758e66cf11"), "Windows Media Audio"),
        ("a.aac", b"\xff\xf1\x50\x80", "AAC"),
        ("a.ape", b"nothing known", r"\.ape"),
        ("a.stem.mp4", b"\0\0\0\x20ftypisom", "MPEG-4 .*HINT: export its stems"),
    ],
)
def test_audio_that_cannot_be_read_says_what_to_do(read, name, start, message):
    with pytest.raises(ValueError, match=rf"{name}: unsupported format {message}"):
        read(start + bytes(100), name)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("my bass.m4a", ["ffmpeg", "-i", "my bass.m4a", "my bass.flac"]),
        ("it's; echo $(x).m4a", ["ffmpeg", "-i", "it's; echo $(x).m4a", "it's; echo $(x).flac"]),
        ("-y.m4a", ["ffmpeg", "-i", "./-y.m4a", "./-y.flac"]),
    ],
)
def test_the_command_in_the_hint_takes_any_name_as_a_name(tmp_path, name, command):
    (tmp_path / name).write_bytes(b"\0\0\0\x20ftypM4A ")
    with pytest.raises(ValueError, match="unsupported format") as error:
        decode(tmp_path / name)
    assert shlex.split(str(error.value).split("e.g. with `")[1].removesuffix("`")) == command


def test_a_track_of_an_unsupported_format_is_not_dropped(make):
    folder = make.folder()
    (folder / "tracks" / "c_vox.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(50))
    with pytest.raises(ValueError, match=r"c_vox\.m4a: unsupported format MPEG-4 audio"):
        load_song(folder, make.rate)


@pytest.mark.parametrize("rate", [1, 999, 10_000_001])
def test_sample_rates_are_bounded(read, rate):
    with pytest.raises(ValueError, match=rf"a\.wav: a sample rate from 1000 to 10000000 Hz expected, got {rate}"):
        read(patched(wav(), 24, struct.pack("<I", rate)))


@pytest.fixture(scope="module")
def silent_hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """158 million samples of silence, 0.6 GB of float32, in a FLAC of less than 1 MB."""
    path = tmp_path_factory.mktemp("silence") / "a.flac"
    with soundfile.SoundFile(str(path), "w", 44100, 1, subtype="PCM_16") as file:
        for _ in range(150):
            file.write(np.zeros(2**20, np.int16))
    assert path.stat().st_size < 1e6
    return path


def test_a_small_file_that_means_a_large_one_stops_at_the_bound(silent_hour):
    for bound, rate, seconds in ((20e6, None, 113), (20e6, 8000, 113), (400e6, 3_000_000, 35)):
        with pytest.raises(
            ValueError, match=r"a\.flac: at most [\d.]+ GB of decoded audio expected, got more"
        ) as error:
            decode(silent_hour, rate, bound)
        stated_bound = int(str(error.value).split("longer than ")[1].split()[0])
        assert seconds <= stated_bound <= seconds + 7  # a block of 2^18 samples later at most


@pytest.mark.parametrize("place", ["mix.flac", "tracks/c_vox.flac"])
def test_the_memory_limit_bounds_what_a_file_of_a_song_may_decode_to(make, monkeypatch, silent_hour, place):
    monkeypatch.setattr("mixgraph.songs.load.UNCACHED_BYTES", 10**6)
    folder = make.folder()
    (folder / "mix.wav").rename(folder / "mix_old.txt" if place == "mix.flac" else folder / "mix.wav")
    (folder / place).symlink_to(silent_hour)
    with pytest.raises(ValueError, match=r"flac: at most 0\.02 GB of decoded audio.*HINT: raise memory_limit_gb"):
        load_song(folder, make.rate, memory_limit_gb=0.02)


def test_the_length_in_seconds_needs_no_decoding_where_it_is_known(tmp_path, mp3):
    for data in (wav(), flac(), flac(0), mp3, unfinished("WAV")):
        (tmp_path / "a.wav").write_bytes(data)
        assert audio_seconds(tmp_path / "a.wav") == pytest.approx(FRAMES / RATE)
    (tmp_path / "a.wav").write_bytes(mp3 + mp3)
    assert audio_seconds(tmp_path / "a.wav") == pytest.approx(2 * FRAMES / RATE)


def test_every_failure_names_its_file(tmp_path, monkeypatch):
    """Whatever a decoder trips over; here, memory that is not there."""

    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no room\nat all")

    (tmp_path / "a.wav").write_bytes(wav())
    monkeypatch.setattr(soundfile.SoundFile, "read", fail)
    with pytest.raises(ValueError, match=r"a\.wav: cannot be read as audio \(MemoryError: no room at all\)"):
        decode(tmp_path / "a.wav")


def failure(path: Path) -> str | None:
    """What decoding says, or None where it works; then there is audio, at most two frames of MPEG longer."""
    try:
        samples = decode(path).samples
    except ValueError as error:
        return str(error)
    return None if 0 < samples.shape[1] <= 6000 else f"{samples.shape[1]} samples"


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3", "OGG", "AIFF", "CAF", "W64", "RF64", "AU"])
def test_damaged_files_raise_nothing_but_a_line_that_names_them(tmp_path, kind):
    generator = random.Random(kind)
    whole = encode(kind, samples=NOISE[:3000])
    path = tmp_path / "a.wav"
    for attempt in range(40):
        data = bytearray(whole)
        if attempt % 2:
            del data[generator.randrange(len(data)) :]
        else:
            for _ in range(4):
                place = generator.randrange(min(len(data), 300))
                data[place] = generator.choice((0, 255, data[place] ^ 1 << generator.randrange(8)))
        path.write_bytes(data)
        message = failure(path)
        assert message is None or (message.startswith(f"{path}: ") and "\n" not in message)


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
    audio = read_audio(path, 44100)
    assert audio.shape == (2, 200_000)
    path.write_bytes(wrap(whole[first:]))
    guessed = read_audio(path, 44100)
    start = guessed.shape[1] - 200_000  # what the encoder put before the sound stays
    assert 0 <= start < 4 * 1152
    late = slice(20_000, 190_000)  # past what frames share with those before them
    shift = min(range(start + 1), key=lambda n: float((guessed[:, n:][:, late] - audio[:, late]).abs().max()))
    assert torch.allclose(guessed[:, shift:][:, late], audio[:, late], atol=1e-5)
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
