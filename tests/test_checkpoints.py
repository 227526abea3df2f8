"""Checkpoints that were damaged are never taken for whole ones."""

import io
import random
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from mixgraph.checkpoints import check_checkpoint, loaded, read_checkpoint, sealed

STATE = {"state_dict": {"x": torch.arange(9.0), "y": torch.ones(20)}, "epoch": 3, "moments": [torch.zeros(4)]}


def saved() -> bytes:
    stream = io.BytesIO()
    torch.save(STATE, stream)
    return stream.getvalue()


def same(checkpoint: dict) -> bool:
    tensors = [checkpoint["state_dict"]["x"], checkpoint["state_dict"]["y"], checkpoint["moments"][0]]
    expected = [STATE["state_dict"]["x"], STATE["state_dict"]["y"], STATE["moments"][0]]
    return checkpoint["epoch"] == 3 and all(map(torch.equal, tensors, expected))


def test_a_bit_that_changed_anywhere_is_noticed(tmp_path) -> None:
    data, path, luck = sealed(saved()), tmp_path / "a.ckpt", random.Random(0)
    path.write_bytes(data)
    assert same(read_checkpoint(path))
    assert same(torch.load(path, weights_only=True))  # by whoever knows of no seal
    seal = len(data) - len("..mixgraph sha256 ") - 64
    for place in (*range(0, seal, 3), *range(seal, len(data))):
        changed = bytearray(data)
        changed[place] ^= 1 << luck.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(ValueError, match="ckpt: the checkpoint is "):
            raise AssertionError(f"byte {place}: {read_checkpoint(path)}")


def test_one_without_a_seal_is_read_and_its_parts_are_checked(tmp_path) -> None:
    data, path = bytearray(saved()), tmp_path / "a.ckpt"
    path.write_bytes(data)
    assert same(read_checkpoint(path))
    data[data.index(torch.arange(9.0).numpy().tobytes()) + 7] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.ckpt: the checkpoint is damaged \(its checksum is another one\)\. HINT"):
        read_checkpoint(path)
    with pytest.raises(ValueError, match="an archive without a comment is needed"):
        sealed(sealed(saved()))


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.95])
def test_one_that_is_cut_or_empty_is_named(tmp_path, share) -> None:
    data, path = sealed(saved()), tmp_path / "a.ckpt"
    path.write_bytes(data[: round(share * len(data))])
    with pytest.raises(ValueError, match=r"a\.ckpt: the checkpoint is empty, cut short or damaged \(.+\)\. HINT"):
        check_checkpoint(path)


def test_what_is_no_checkpoint_is_named(tmp_path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save([1], path)
    with pytest.raises(ValueError, match=r"a\.ckpt: is no checkpoint \(state_dict is missing\)"):
        check_checkpoint(path)
    torch.save({"state_dict": {}, "code": print}, path)
    with pytest.raises(ValueError, match=r"a\.ckpt: the checkpoint holds more than data"):
        check_checkpoint(path)
    with pytest.raises(FileNotFoundError, match="a checkpoint is needed, got none"):
        check_checkpoint(tmp_path / "b.ckpt")
    with pytest.raises(FileNotFoundError, match="a checkpoint is needed, got a folder"):
        check_checkpoint(tmp_path)
    for address in (f"file://{path}", "https://example.org/a.ckpt", "registry", "Registry:model:version"):
        with pytest.raises(ValueError, match=r"ckpt_path: a file is needed, got an address: .*HINT: fetch it first"):
            check_checkpoint(address)
    for word in (None, "last", "best"):  # Lightning's own
        check_checkpoint(word)


HOSTILE = {
    "nothing": b"",
    "no end": b"\x80\x02}",
    "from an empty stack": b"\x80\x02s.",
    "a list as a key": b"\x80\x02}]K\x01s.",
    "a tensor of nothing": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
    "a tensor of a number": b"\x80\x02ctorch.nn.parameter\nParameter\nK\x01\x85R.",
    "a name that is a number": b"\x80\x02}K\x01Q.",
    "an unknown encoding": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00nope\x86R.",
    "no UTF-8": b"\x80\x02X\x02\x00\x00\x00\xff\xff.",
    "a state that is a list": b"\x80\x02}X\x0a\x00\x00\x00state_dict]s.",
}


def archive(pickled: bytes, path: Path, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(io.BytesIO(saved())) as whole, zipfile.ZipFile(path, "w", compression) as made:
        for name in whole.namelist():
            made.writestr(name, pickled if name.endswith("data.pkl") else whole.read(name))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_data_is_named(name, tmp_path) -> None:
    """A whole archive with checksums that are right."""
    archive(HOSTILE[name], path := tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"a\.ckpt: is no checkpoint \(.+\)\. HINT"):
        read_checkpoint(path)


def test_too_little_memory_is_told_as_that_with_the_name_of_the_file(tmp_path) -> None:
    archive(b"\x80\x02cbuiltins\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85R.", path := tmp_path / "a.ckpt")
    with pytest.raises(MemoryError, match=r"a\.ckpt: asks for more than there is"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(3000, 3000),
        torch.zeros(5999).as_strided((3000, 3000), (1, 1)),
        torch.zeros(9, device="meta"),
    ],
    ids=["one value", "overlapping", "no values"],
)
def test_no_tensor_has_more_values_than_the_file_holds(tensor, tmp_path) -> None:
    torch.save({"state_dict": {"x": tensor}}, path := tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"a\.ckpt: is no checkpoint \(state_dict: x has more values than the file"):
        read_checkpoint(path)


def test_parts_of_a_tensor_and_tied_weights_are_read_and_none_is_loaded_twice(tmp_path) -> None:
    one = torch.arange(9.0)
    torch.save({"state_dict": {"a": one[:4], "b": one[4:], "c": one, "d": one[:0]}}, path := tmp_path / "a.ckpt")
    tensors = read_checkpoint(path)["state_dict"]
    assert torch.equal(tensors["c"], one)
    with pytest.raises(RuntimeError, match="tensors that have values in common"):
        loaded(nn.Module, tensors)


def test_no_part_is_unpacked_to_more_than_the_file(tmp_path) -> None:
    archive(b"\0" * 100_000, path := tmp_path / "a.ckpt", zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"a\.ckpt: the checkpoint is .*\(its parts are larger than the file"):
        read_checkpoint(path)


def test_a_file_without_parts_is_not_held_in_memory(tmp_path) -> None:
    with (path := tmp_path / "a.ckpt").open("wb") as file:
        file.truncate(1 << 40)  # takes no space on the disk
    with pytest.raises(ValueError, match=r"a\.ckpt: the checkpoint is empty, cut short or damaged"):
        read_checkpoint(path)
