"""Hostile shards, really made: everything is refused with the names of the shard and the sample, nothing is run."""

import io
import json
import os
import pickle
import struct
import tarfile
from pathlib import Path

import pytest
import soundfile
import torch
from safetensors.torch import save as save_tensors

from mixgraph.shards import read_shards
from mixgraph.shards.validate import validate_shards


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **attributes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in attributes.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(data))


def shard(path: Path, fields: dict[str, bytes], key: str = "s000", kind: int = tarfile.USTAR_FORMAT) -> Path:
    with tarfile.open(path, "w", format=kind) as tar:
        for name, data in fields.items():
            add(tar, f"{key}.{name}", data)
    return path


@pytest.fixture(scope="module")
def good(rows):
    return rows(1)[0][2]


@pytest.fixture(scope="module")
def sound(rows):
    return rows(1, audio=True)[0][2]


def read_everything(path: Path) -> None:
    for sample in read_shards(path):
        sample.trace()
        if sample.audio is not None:
            sample.audio.tracks(0, 10)
            sample.audio.mix(0, 10)


def fails(path: Path, message: str, key: str = "s000") -> None:
    with pytest.raises(ValueError, match=message) as raised:
        read_everything(path)
    assert str(path) in str(raised.value)
    assert key in str(raised.value)


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
def test_tars_of_others_are_read(good, tmp_path, kind) -> None:
    (sample,) = read_shards(shard(tmp_path / "a.tar", good, kind=kind))
    assert sample.key == "s000"


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("../s.graph.json", {}, "'../s.graph.json': a plain name KEY.FIELD is needed, paths are refused"),
        ("/etc/s.graph.json", {}, "'/etc/s.graph.json': a plain name KEY.FIELD is needed"),
        ("a/s.graph.json", {}, "'a/s.graph.json': a plain name KEY.FIELD is needed"),
        ("s.graph.json", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "got a symbolic link"),
        ("s.graph.json", {"type": tarfile.LNKTYPE, "linkname": "../x"}, "got a hard link"),
        ("s.graph.json", {"type": tarfile.FIFOTYPE}, "got a pipe"),
        ("s.graph.json", {"type": tarfile.CHRTYPE}, "got a device"),
        ("s.graph.json", {"type": tarfile.DIRTYPE}, "got a folder"),
        ("s.graph.json", {"pax_headers": {"size": "1"}}, "got an extended header"),
        ("a b.graph.json", {}, "key: 1 to 80 letters, digits, _ or - are needed, got 'a b'"),
        (f"{'k' * 81}.graph.json", {}, "key: 1 to 80 letters"),
    ],
)
def test_anything_but_plain_files_is_refused(name, attributes, message, tmp_path) -> None:
    kind = tarfile.PAX_FORMAT if "pax_headers" in attributes else tarfile.USTAR_FORMAT
    with tarfile.open(tmp_path / "a.tar", "w", format=kind) as tar:
        add(tar, name, **attributes)
    with pytest.raises(ValueError, match=message) as raised:
        list(read_shards(tmp_path / "a.tar"))
    assert str(tmp_path / "a.tar") in str(raised.value)


def test_sizes_are_refused_before_anything_is_read(tmp_path) -> None:
    path = tmp_path / "a.tar"
    with path.open("wb") as file:  # seven gigabytes are stated, and there as a hole
        info = tarfile.TarInfo("s000.meta.json")
        info.size = 7 << 30
        file.write(info.tobuf(tarfile.USTAR_FORMAT))
        file.truncate(512 + info.size + 1024)
    fails(path, "s000: meta.json: at most 4,194,304 bytes are allowed, got 7,516,192,768")
    path.write_bytes(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024))
    fails(path, "s000.meta.json: cut short: 7,516,192,768 bytes are stated, the file ends before")
    many = {f"f{i}.bin": b"" for i in range(20)}
    fails(shard(tmp_path / "many.tar", many), "s000: at most 16 files a sample are allowed")


def test_damaged_tars_are_refused(good, tmp_path) -> None:
    path = shard(tmp_path / "a.tar", good)
    data = path.read_bytes()
    for change, message in (
        (data[:1000], "s000.graph.json: cut short|cut short"),
        (data[:-10240], "cut short"),
        (b"x" + data[1:], "the header is damaged: its checksum does not fit"),
        (b"\x1f\x8b" + data[2:257] + b"gzip!" + data[262:], "a shard is not compressed"),
        (data + b"hidden" * 2000, "an end of empty blocks is needed, got more after the end"),
        (data[:124] + b"99999999999\0" + data[136:], "checksum does not fit"),
    ):
        path.write_bytes(change)
        with pytest.raises(ValueError, match=message):
            list(read_shards(path))
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="cut short: its end is missing at byte 0"):
        list(read_shards(path))


def test_repeated_and_scattered_files_are_refused(good, tmp_path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("a.meta.json", "a.meta.json"):
            add(tar, name)
    fails(tmp_path / "a.tar", "a: meta.json: given twice", "a")
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        for key in ("s000", "t", "s000"):
            for name, data in good.items() if key == "s000" else ():
                add(tar, f"{key}.{name}", data)
            add(tar, f"{key}.x{len(tar.getmembers())}")
    with pytest.raises(ValueError, match="files of a sample must be one after the other"):
        list(read_shards(tmp_path / "b.tar"))


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


def test_pickles_are_never_loaded(good, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    bomb = pickle.dumps(Bomb())
    names = ("x.pkl", "y.pyd", "z.pickle", "w.pth", "v.npy", "u.pt")
    path = shard(tmp_path / "a.tar", good | dict.fromkeys(names, bomb))
    (sample,) = read_shards(path)  # they are not a sample's fields, and are not read
    assert sample.key == "s000"
    for name in good:
        fails(shard(tmp_path / "b.tar", good | {name: bomb}), f"s000: {name}")
    torch.save({"a": torch.ones(1)}, tmp_path / "p")
    fails(shard(tmp_path / "c.tar", good | {"params.safetensors": (tmp_path / "p").read_bytes()}), "safetensors header")
    assert not (tmp_path / "exploded").exists()
    (tmp_path / "set" / "train").mkdir(parents=True)
    path.rename(tmp_path / "set" / "train" / "000000.tar")
    problems = validate_shards(tmp_path / "set").problems
    assert [p.partition("s000: ")[2] for p in problems if "s000" in p][: len(names)] == [
        f"{name}: unknown field; it was not read" for name in names
    ]
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", ["graph.json", "meta.json", "trace.json"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[" * 200_000, "nested too deeply|not JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b"\xff\xfe", "not JSON"),
        (b'{"a": NaN}', "NaN is not a number of JSON"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "not JSON"),
        (b"{}", "needed|missing"),
        (b"[[[[]]]]", "needed"),
        (b"null", "needed"),
    ],
)
def test_hostile_json_is_refused(name, data, message, good, tmp_path) -> None:
    fails(shard(tmp_path / "a.tar", good | {name: data}), message)


def edited(fields: dict[str, bytes], name: str, change) -> dict[str, bytes]:
    record = json.loads(fields[name])
    change(record)
    return fields | {name: json.dumps(record).encode()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(key="other"), "meta.json: key: 's000' is needed, as the files are called, got 'other'"),
        (lambda m: m.update(more=1), "missing: none; unknown: more"),
        (lambda m: m.pop("licence"), "missing: licence; unknown: none"),
        (lambda m: m.update(num_samples=1 << 40), "num_samples: a whole number from 1 to"),
        (lambda m: m.update(num_samples=True), "num_samples: a whole number"),
        (lambda m: m.update(sample_rate=10**9), "sample_rate: a whole number from 1000 to 768000"),
        (lambda m: m.update(sample_rate=44100), "sample_rate: the graph's 8000 is needed, got 44100"),
        (lambda m: m.update(level="1e999"), "level: a number from"),
        (lambda m: m.update(excerpt_start=1), "excerpt_start: the excerpt ends after its song"),
        (lambda m: m.update(config="other"), "config_sha256: it is not that of config"),
        (lambda m: m["tracks"][0].update(file="../../etc/passwd"), "a file name relative to the song's folder"),
        (lambda m: m["tracks"][0].update(file="/etc/passwd"), "a file name relative to the song's folder"),
        (lambda m: m["tracks"][0].update(file="C:\\x"), "a file name relative to the song's folder"),
        (lambda m: m["tracks"][0].update(sha256="0" * 63), "a sha256 in 64 hexadecimal digits"),
        (lambda m: m["tracks"][0].update(name="x"), "tracks: those of the graph's inputs are needed"),
        (lambda m: m["tracks"][0].update(scale=1.0), "scale: all tracks and the mix have one, or none"),
        (lambda m: m["tracks"][0].update(polarity=0), "polarity: 1 or -1 is needed, got 0"),
        (lambda m: m["types"][0].update(found=99), "types: the graph has"),
        (lambda m: m.update(loss_increases=[0.1]), "loss_increases: 5 values are needed"),
        (lambda m: m.update(loss_increases=[1e999]), "Infinity is not a number of JSON"),
        (lambda m: m.update(confidence=[2.0] * 5), "a number from 0 to 1 is needed, got 2.0"),
        (lambda m: m.update(extra={"a": [[[[1]]]]}), "a value that is not nested deeper"),
        (lambda m: m.update(schema_version=99), "made by a newer mixgraph: schema 99; upgrade"),
    ],
)
def test_hostile_meta_is_refused(change, message, good, tmp_path) -> None:
    fails(shard(tmp_path / "a.tar", edited(good, "meta.json", change)), message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.update(sample_rate=1 << 60), "sample_rate: 1000 to 768000 Hz"),
        (
            lambda g: g["edges"].append({"source": 0, "destination": 999, "outlet": 0, "inlet": 0}),
            "node numbers go from 0 to",
        ),
        (lambda g: g["edges"].append({"source": 9, "destination": 0, "outlet": 0, "inlet": 0}), "cycle|edge|input"),
        (lambda g: g["nodes"][0].update(type="os.system"), "unknown processor type 'os.system'"),
        (lambda g: g.update(schema_version=99), "made by a newer mixgraph"),
        (lambda g: g.update(processor_options=[{"type": "x"}]), "texts type, option and value are needed"),
        (
            lambda g: g.update(processor_options=[{"type": "delay", "option": "__class__", "value": "1"}]),
            "unexpected keyword argument '__class__'",
        ),
        (lambda g: g.update(processor_options={}), "a list of processor_options is needed"),
        (lambda g: [n.update(song=1) for n in g["nodes"]], "song"),
    ],
)
def test_hostile_graphs_are_refused(change, message, good, tmp_path) -> None:
    fails(shard(tmp_path / "a.tar", edited(good, "graph.json", change)), message)


def test_hostile_parameters_are_refused(good, tmp_path) -> None:
    data = good["params.safetensors"]
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    first = next(name for name in header if name != "__metadata__")

    def rebuilt(change) -> bytes:
        record = json.loads(data[8 : 8 + size])
        change(record)
        text = json.dumps(record).encode()
        return struct.pack("<Q", len(text)) + text + data[8 + size :]

    def save(tensors) -> bytes:
        return save_tensors(tensors, metadata={"schema_version": "1"})

    for found, message in (
        (struct.pack("<Q", 1 << 62) + data[8:], "a safetensors header of at most 1,048,576 bytes is needed"),
        (b"1234", "a safetensors header"),
        (data[:-4], "not a safetensors file"),
        (rebuilt(lambda h: h[first].update(data_offsets=[0, 1 << 40])), "not a safetensors file"),
        (rebuilt(lambda h: h[first].update(shape=[1 << 40])), "not a safetensors file"),
        (save({first: torch.ones(4).to(torch.float8_e4m3fn)}), "float32 or float64 is needed, got torch.float8_e4m3fn"),
        (save({first: torch.ones(4)}), "missing: "),
        (rebuilt(lambda h: h.update(__metadata__={})), "schema_version is missing"),
        (rebuilt(lambda h: h.update(__metadata__={"schema_version": "99"})), "newer mixgraph"),
    ):
        fails(shard(tmp_path / "a.tar", good | {"params.safetensors": found}), message)


def test_hostile_audio_is_refused(sound, tmp_path) -> None:
    def flac(frames: int, channels: int = 2, rate: int = 8000, **options) -> bytes:
        buffer = io.BytesIO()
        noise = torch.randn(frames, channels).numpy() * 0.1
        soundfile.write(buffer, noise, rate, **({"format": "FLAC", "subtype": "PCM_24"} | options))
        return buffer.getvalue()

    length = json.loads(sound["meta.json"])["num_samples"]
    for data, message in (
        (b"", "dry.flac: a FLAC is needed"),
        (b"fLaC" + b"\xff" * 100, "dry.flac: a FLAC is needed"),
        (flac(2 * length, 1), "dry.flac: format, subtype, channels, sample rate and frames"),
        (flac(2 * length, rate=44100), "dry.flac: format, subtype, channels"),
        (flac(2 * length + 1), "dry.flac: format, subtype, channels"),
        (flac(2 * length, subtype="PCM_16"), "dry.flac: format, subtype, channels"),
        (flac(2 * length, format="WAV"), "dry.flac: format, subtype, channels"),
    ):
        fails(shard(tmp_path / "a.tar", sound | {"dry.flac": data}), message)
    without = {name: data for name, data in sound.items() if "flac" not in name}
    fails(shard(tmp_path / "b.tar", without), "scale: dry.flac and mix.flac need scales; the sample has but no audio")
    broken = bytearray(flac(2 * length))
    broken[len(broken) // 2 :] = bytes(len(broken) - len(broken) // 2)
    (sample,) = read_shards(shard(tmp_path / "c.tar", sound | {"dry.flac": bytes(broken)}))
    with pytest.raises(ValueError, match=r"c\.tar: s000: dry\.flac: "):
        sample.audio.tracks(0, length)


def test_missing_shards_are_said(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="a folder of shards or a tar is needed, got none"):
        list(read_shards(tmp_path / "x"))
    with pytest.raises(FileNotFoundError, match=r"shards \(\*.tar\) are needed, got none in this folder"):
        list(read_shards(tmp_path))
