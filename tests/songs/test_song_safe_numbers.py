"""Numbers are read out of pickles, and nothing else."""

import collections
import math
import os
import pickle
import pickletools

import numpy as np
import pytest

from mixgraph.songs.safe_numbers import read_numbers

VALUES = {
    "mix.wav": np.float64(1.7578125),
    "rough_mix.wav": np.float32(-0.5),
    "match_info": {"a.wav": {"confidence": [3, -1, 2**40, 10**30], "offset": (np.int64(-7), np.uint16(9))}},
    "flags": [True, False, None, np.bool_(True)],
    "names": ("é", "", b"\x00\xff", math.inf, 0.1, (1,), (1, 2, 3, 4), [], (), {}),
    7: 300,
    "big": 70000,
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_and_numpy_scalars_come_back(tmp_path, protocol):
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps(VALUES, protocol=protocol))
    read = read_numbers(path)
    assert read == VALUES
    assert type(read["mix.wav"]) is float
    assert type(read["match_info"]["a.wav"]["offset"][0]) is int
    assert read["flags"][3] is True


def test_byte_order_of_a_scalar(tmp_path):
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps(np.array([2.5], dtype=">f8")[0]))
    assert read_numbers(path) == 2.5


def test_shared_values_come_back(tmp_path):
    shared = [1.5, 2]
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps([shared, shared]))
    assert read_numbers(path) == [[1.5, 2], [1.5, 2]]


def test_the_old_numpy_path_is_read(tmp_path):
    text = pickle.dumps(np.float64(4.5), protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in text
    (tmp_path / "a.pickle").write_bytes(text)
    assert read_numbers(tmp_path / "a.pickle") == 4.5


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_hostile_file_is_refused_and_does_not_run(tmp_path, protocol):
    marker = tmp_path / "it_ran"
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps({"mix.wav": Hostile(marker)}, protocol=protocol))
    with pytest.raises(ValueError, match=r"a\.pickle: only numbers.* got the object posix\.mkdir"):
        read_numbers(path)
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists()  # it would have run


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1, 2}, "the instruction EMPTY_SET"),
        (collections.OrderedDict(a=1), "the object collections.OrderedDict"),
        (np.zeros(3), "the object numpy.*_reconstruct"),
        (np.dtype("f8"), "a bare dtype"),
        (np.dtype, "a bare global"),
        (np.complex64(1j), "the numpy type 'c8'"),
        (np.datetime64("2020-01-01"), "the numpy type 'M8'"),
    ],
)
def test_other_objects_are_refused_by_name(tmp_path, value, message):
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(value, protocol=4))
    with pytest.raises(ValueError, match=message):
        read_numbers(tmp_path / "a.pickle")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf-7\x86R.", "the encoding 'utf-7'"),
        (b"\x80\x02K\x01K\x02\x85R.", "a call of something that is not a known function"),
        (b"\x80\x02cnumpy._core.multiarray\nscalar\nK\x01K\x02\x86R.", "a numpy scalar of an unknown type"),
        (b"\x80\x02]K\x01b.", "the state of an object"),
    ],
)
def test_misused_instructions_are_refused(tmp_path, data, message):
    (tmp_path / "a.pickle").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_numbers(tmp_path / "a.pickle")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        pickle.dumps({"a": 1.5})[:-4],
        b"\x80\x02K\x01K\x02.",
        b"\x80\x02.",
        b"\x80\x02K\x01K\x02\x86R.",
        b"\x80\x02K\x01e.",
        b"\x80\x02K\x01K\x02a.",
        b"\x80\x02K\x01(K\x02e.",
        b"\x80\x02K\x01K\x02K\x03s.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02K\x01\x87.",
        b"\x80\x02h\x05.",
    ],
)
def test_damaged_files_are_refused(tmp_path, data):
    (tmp_path / "a.pickle").write_bytes(data)
    with pytest.raises(ValueError, match="a complete pickle expected, got a damaged one"):
        read_numbers(tmp_path / "a.pickle")


@pytest.mark.long
def test_a_list_in_itself_and_a_bomb_are_refused(tmp_path):
    inside: list = []
    inside.append(inside)
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(inside))
    with pytest.raises(ValueError, match="values nested more than 50 levels deep"):
        read_numbers(tmp_path / "a.pickle")
    bomb: list = [1.5]
    for _ in range(40):
        bomb = [bomb, bomb]
    (tmp_path / "b.pickle").write_bytes(pickletools.optimize(pickle.dumps(bomb)))
    with pytest.raises(ValueError, match="more than 1000000 values"):
        read_numbers(tmp_path / "b.pickle")


def test_missing_and_huge_files(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"a\.pickle: file expected, got none"):
        read_numbers(tmp_path / "a.pickle")
    monkeypatch.setattr("mixgraph.songs.safe_numbers.MAX_BYTES", 10)
    (tmp_path / "a.pickle").write_bytes(pickle.dumps("a long text, as texts go"))
    with pytest.raises(ValueError, match="at most 10 bytes are allowed"):
        read_numbers(tmp_path / "a.pickle")


NESTED = b")" + b"".join(b"q%ch%c\x86" % (n, n) for n in range(60))  # a tuple of itself twice, 60 times


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x02}" + NESTED + b"K\x01s.", "a tuple as a key"),
        (b"\x80\x02}]K\x01s.", "a list as a key"),
        (b"\x80\x02cnumpy\ndtype\n" + NESTED + b"\x85R.", r"the numpy type \(\("),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00a" + NESTED + b"\x86R.", r"the encoding \(\("),
        (b"\x80\x04" + NESTED + b"X\x01\x00\x00\x00a\x93.", "an object whose name is no text"),
        (b"\x80\x02" + NESTED + b".", "nested more than 50 levels deep"),
        (b"\x80\x02]" + b"(e" * 500 + b".", "more than 1000 instructions"),
    ],
)
def test_small_files_that_mean_endless_work_are_refused(tmp_path, monkeypatch, data, message):
    """Hashing or printing a tuple of itself twice, 60 times over, takes 2^60 steps."""
    monkeypatch.setattr("mixgraph.songs.safe_numbers.MAX_INSTRUCTIONS", 1000)
    (tmp_path / "a.pickle").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_numbers(tmp_path / "a.pickle")
