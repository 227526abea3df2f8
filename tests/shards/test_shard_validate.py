"""`validate-shards`: sound sets pass; everything that is wrong is said at once."""

import json
import shutil

import pytest

from mixgraph.shards.index import load_index
from mixgraph.shards.validate import validate_shards
from mixgraph.shards.write import checksums, write_shards


@pytest.fixture
def copy(full, tmp_path):
    return shutil.copytree(full, tmp_path / "set")


def test_sound_sets_have_no_problems(full, plain, stream) -> None:
    for folder, count, audio in ((full, 2, 2), (plain, 2, 0), (stream, 16, 16)):
        validation = validate_shards(folder)
        assert validation.problems == []
        assert (sum(validation.num_samples.values()), validation.num_with_audio) == (count, audio)
        assert validation.num_bytes == sum(p.stat().st_size for p in folder.rglob("*.tar"))
    assert "16 samples (train 11, validation 5) in 6 shards" in validate_shards(stream).summary()


def test_every_byte_counts(copy) -> None:
    shard = copy / "train" / "000000.tar"
    index = load_index(copy)
    data = shard.read_bytes()
    for position in (0, 300, 5000, len(data) // 2, len(data) - 1):
        shard.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        problems = validate_shards(copy).problems
        assert f"{shard}: sha256: the index has {index.shards[1].sha256}" in problems[0], position


def test_all_problems_are_said_at_once(copy) -> None:
    (copy / "train" / "000000.tar").rename(copy / "train" / "000007.tar")
    (copy / "SHA256SUMS").write_text("nothing")
    (copy / "notes.txt").write_text("?")
    (copy / "test" / "x.pkl").write_text("?")
    (copy / "linked").mkdir()
    (copy / "linked" / "000000.tar").symlink_to(copy / "test" / "000000.tar")
    text = validate_shards(copy).summary()
    for problem in (
        "train/000000.tar: is in the index, but not in the folder",
        "train/000007.tar: is not in the index",
        "SHA256SUMS: does not agree with the index",
        "notes.txt: unknown; a data set holds splits",
        "x.pkl: unknown; a split holds tars only",
        "linked/000000.tar: a file is needed, got a link",
        "linked/000000.tar: is not in the index",
    ):
        assert problem in text, text
    assert text.endswith("7 problems")
    (copy / "index.json").unlink()
    assert "index.json: the index of a data set is needed, got none" in validate_shards(copy).summary()


def rewrite(folder, change) -> None:
    """Writes the index and checksums that a data set states about itself."""
    record = json.loads((folder / "index.json").read_text())
    change(record)
    (folder / "index.json").write_text(json.dumps(record))
    (folder / "SHA256SUMS").write_text(checksums(load_index(folder), (folder / "index.json").read_bytes()))


def test_an_index_that_lies_is_found(copy) -> None:
    def change(index):
        index["samples"][0].update(offset=512)
        index["samples"].append(index["samples"][1] | {"key": "ghost"})

    rewrite(copy, change)
    text = validate_shards(copy).summary()
    assert "Tiny-duo: sha256: the index has another one for its bytes" in text
    assert "Tiny-duo: (offset, size): the index has (512, " in text
    assert "ghost: is not in train/000000.tar, where the index has it" in text
    assert "samples: the index has 1, the file 2" in text


def edit(fields, name, change):
    record = json.loads(fields[name])
    change(record)
    return fields | {name: json.dumps(record).encode()}


def test_inconsistent_samples_are_found(rows, tmp_path) -> None:
    (split, _, fields), (_, _, other), (_, _, third) = rows(3, audio=True)

    def nodes(graph):
        next(n for n in graph["nodes"] if n["weight"] is not None).update(weight=0.125)

    bad = [
        (split, "s000", edit(fields, "graph.json", nodes)),
        (split, "s001", edit(other, "meta.json", lambda m: m.update(loss_increases=None))),
        (split, "s002", third | {"trace.json": b'[{"kind": 1, "kind": 2}]'}),
    ]
    write_shards(bad, tmp_path / "set")
    text = validate_shards(tmp_path / "set").summary()
    assert "s000: meta.json: the weights of graph.json and params.safetensors differ" in text
    assert "s001: meta.json: loss_increases: those of graph.json are needed" in text
    assert "s002: trace.json: not JSON: key 'kind' is given twice" in text
    assert text.endswith("3 problems")


def test_a_song_in_two_splits_is_found(rows, tmp_path) -> None:
    (_, key, fields), *_ = rows(1, audio=True)
    write_shards([("train", key, fields)], tmp_path / "set")
    (tmp_path / "set" / "test").mkdir()
    shutil.copy(tmp_path / "set" / "train" / "000000.tar", tmp_path / "set" / "test")
    text = validate_shards(tmp_path / "set").summary()
    assert "s000: split: 'song memory/song0' is in 'test', too" in text
    assert "s000: split: 'artist artist 0' is in 'test', too" in text
    assert "s000: key: is in test/000000.tar already" in text


def test_without_audio_every_file_needs_its_hash(rows, tmp_path) -> None:
    write_shards(rows(1), tmp_path / "set")
    assert "track t0: sha256: needed where there is no audio" in validate_shards(tmp_path / "set").summary()


@pytest.mark.long
def test_the_command_says_what_it_found(full, copy, warm_python) -> None:
    def run(folder):
        return warm_python.run("mixgraph", "validate-shards", folder)

    sound = run(full)
    assert (sound.returncode, sound.stderr) == (0, "")
    assert sound.stdout.endswith("no problems\n")
    (copy / "SHA256SUMS").unlink()
    broken = run(copy)
    assert broken.returncode == 1
    assert broken.stdout.endswith(f"- {copy / 'SHA256SUMS'}: missing\n1 problems\n")
    missing = run(copy / "x")
    assert missing.returncode == 1
    assert missing.stderr == f"mixgraph: {copy / 'x'}: a folder of shards is needed, got none\n"
