"""Data sets on disk: shards of bounded size, an index that holds, complete or absent."""

import hashlib
import json
import subprocess

import pytest

from mixgraph.shards import load_index, read_shards, write_shards


def test_shards_index_and_checksums_agree(stream) -> None:
    index = load_index(stream)
    assert [(s.shard, s.num_samples) for s in index.shards] == [
        ("train/000000.tar", 3), ("train/000001.tar", 3), ("train/000002.tar", 3), ("train/000003.tar", 2),
        ("validation/000000.tar", 3), ("validation/000001.tar", 2),
    ]  # fmt: skip
    assert index.splits == ("train", "validation")
    assert index.num_samples("train") == 11
    for sample in index.samples:
        data = (stream / sample.shard).read_bytes()[sample.offset : sample.offset + sample.size]
        assert hashlib.sha256(data).hexdigest() == sample.sha256
        assert data.startswith(f"{sample.key}.dry.flac".encode())
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=stream, check=True)
    assert [s.key for s in read_shards(stream / "train")] == [f"s{n:03d}" for n in range(11)]


def test_shards_are_cut_by_bytes_too(rows, tmp_path) -> None:
    largest = max(sum(map(len, fields.values())) for _, _, fields in rows(4))
    index = write_shards(rows(4), tmp_path / "d", max_bytes=2 * largest)
    assert sum(s.num_samples for s in index.shards) == 4
    assert len(index.shards) > 1
    one_each = write_shards(rows(4), tmp_path / "e", max_bytes=1)
    assert [s.num_samples for s in one_each.shards] == [1, 1, 1, 1]


def test_a_data_set_is_complete_or_absent(rows, tmp_path) -> None:
    def broken():
        yield from rows(2)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_shards(broken(), tmp_path / "d")
    assert list(tmp_path.iterdir()) == []
    write_shards(rows(3), tmp_path / "d", max_count=1)
    with pytest.raises(RuntimeError, match="stopped"):
        write_shards(broken(), tmp_path / "d")
    assert len(load_index(tmp_path / "d").samples) == 3
    write_shards(rows(1), tmp_path / "d")  # replaces: nothing of the old one is left
    assert sorted(p.name for p in (tmp_path / "d" / "train").iterdir()) == ["000000.tar"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d"]


def test_what_is_no_data_set_is_kept(rows, tmp_path) -> None:
    write_shards(rows(1), tmp_path / "d")
    (tmp_path / "d" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"is no data set of shards \(it holds thesis.txt\)"):
        write_shards(rows(1), tmp_path / "d")
    (tmp_path / "d" / "thesis.txt").rename(tmp_path / "file")
    with pytest.raises(FileExistsError, match="is a file and is kept; a folder is needed"):
        write_shards(rows(1), tmp_path / "file")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, k, f: ("Train", k, f), "s000: split: a-z, 0-9 and _ are needed, got 'Train'"),
        (lambda s, k, f: (s, "a.b", f), r"key: 1 to 80 letters, digits, _ or - are needed, got 'a.b'"),
        (lambda s, k, f: (s, k, {n: v for n, v in f.items() if n != "trace.json"}), "s000: fields: trace.json missing"),
        (lambda s, k, f: (s, k, f | {"x.pkl": b""}), "s000: fields: unknown: x.pkl"),
        (
            lambda s, k, f: (s, k, f | {"mix.flac": b""}),
            "dry.flac and mix.flac are needed together, got mix.flac alone",
        ),
        (lambda s, k, f: (s, k, f | {"meta.json": b" " * (5 << 20)}), "meta.json: at most 4,194,304 bytes are allowed"),
    ],
)
def test_wrong_samples_are_refused(change, message, rows, tmp_path) -> None:
    with pytest.raises(ValueError, match=message):
        write_shards([change(*rows(1)[0])], tmp_path / "d")
    assert list(tmp_path.iterdir()) == []


def test_keys_songs_and_artists_are_not_repeated(rows, tmp_path) -> None:
    first, second = rows(2)  # of one artist
    with pytest.raises(ValueError, match=r"s000: key: given twice \(splits train and train\)"):
        write_shards([first, first], tmp_path / "d")
    with pytest.raises(ValueError, match="s001: split: 'artist artist 0' is in 'train' already, got 'test'"):
        write_shards([first, ("test", *second[1:])], tmp_path / "d")
    with pytest.raises(ValueError, match="samples: at least one is needed"):
        write_shards([], tmp_path / "d")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: i["shards"][0].update(shard="../../etc/passwd"), "shard: SPLIT/000000.tar is needed"),
        (lambda i: i["shards"][0].update(shard="/etc/000000.tar"), "shard: SPLIT/000000.tar is needed"),
        (lambda i: i["shards"][0].update(split="test"), "is not in the folder of its split 'test'"),
        (lambda i: i["samples"][0].update(offset=-1), "offset: int is needed"),
        (lambda i: i["samples"][0].update(shard="train/000009.tar"), "shards that are not listed: train/000009.tar"),
        (lambda i: i["samples"].append(i["samples"][0]), "a key is listed twice"),
        (lambda i: i["samples"][0].pop("sha256"), "a record with key, split, shard, offset, size, sha256 is needed"),
        (lambda i: i.update(more=1), "an object with schema_version, shards and samples is needed"),
        (lambda i: i.update(schema_version=2), "schema_version: 1 to 1 is needed, got 2"),
    ],
)
def test_a_hostile_index_is_refused(change, message, rows, tmp_path) -> None:
    write_shards(rows(1), tmp_path / "d")
    record = json.loads((tmp_path / "d" / "index.json").read_text())
    change(record)
    (tmp_path / "d" / "index.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=message):
        load_index(tmp_path / "d")
