"""YAML and JSON of songs: texts as they are written, and bounds before anything is expanded."""

import pytest

from mixgraph.songs.text_files import MAX_BYTES, read_json, read_yaml, to_number, to_whole_number


def _read(tmp_path, text, suffix=".yaml"):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_yaml(path) if suffix == ".yaml" else read_json(path)


@pytest.mark.parametrize(
    "text",
    [
        "1999",
        "Yes",
        "no",
        "on",
        "1e-3",
        "0x10",
        "010",
        "1_000",
        "2001-12-14",
        "12:30:45",
        ".nan",
        "${x}",
        "=",
        "<<",
        "é",
    ],
)
def test_a_scalar_is_the_text_that_was_written(tmp_path, text):
    assert _read(tmp_path, f"title: {text}\n{text}:\n- {text}") == {"title": text, text: [text]}


def test_tags_are_not_obeyed(tmp_path):
    assert _read(tmp_path, "a: !!bool abc\nb: !!python/object/apply:os.getcwd []\nc: !!int x\nd: !!null x") == {
        "a": "abc",
        "b": [],
        "c": "x",
        "d": "x",
    }


def test_null_is_nothing_but_a_quoted_null_and_a_key_are_text(tmp_path):
    text = "a: null\nb: ~\nc:\nd: 'null'\nnull: x\n~: [null]"
    assert _read(tmp_path, text) == {"a": None, "b": None, "c": None, "d": "null", "null": "x", "~": [None]}


def test_texts_are_composed_and_a_byte_order_mark_is_passed_over(tmp_path):
    assert _read(tmp_path, "\ufeffCafe\u0301: [cafe\u0301.wav]") == {"Café": ["café.wav"]}
    assert _read(tmp_path, '\ufeff{"mix.wav": 1.5}', ".json") == {"mix.wav": 1.5}


def test_aliases_within_bounds_are_read(tmp_path):
    assert _read(tmp_path, "a: &x {offset_samples: 3}\nb: *x") == {
        "a": {"offset_samples": "3"},
        "b": {"offset_samples": "3"},
    }


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 16))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 30))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "more than 10000 values, with every alias written out"),
        (CHAIN, "values nested more than 20 levels deep"),
        ("a: &a [*a]", "an alias inside of what it stands for"),
        ("[" * 1000, "values nested more than 20 levels deep"),
        ("- " * 1000, "values nested more than 20 levels deep"),
        ("".join(f"k{n}: 1\n" for n in range(6000)), "more than 10000 values"),
        ("a: 1\na: 2", "key 'a': given once expected, got it again"),
        ("caf\u00e9: 1\ncafe\u0301: 2", "key 'café': given once expected, got it again"),
        ("? [a, b]\n: 1", "a key that is a list or a mapping"),
        ("a: [", "did not find expected|expected the node content"),
        (b"a: \xff", "can't decode byte 0xff"),
        ("a: \x01", "special characters are not allowed"),
    ],
)
def test_what_is_refused_names_the_file_and_the_bound(tmp_path, text, message):
    with pytest.raises(ValueError, match=rf"(?s)a\.yaml: readable YAML expected, got .*({message})"):
        _read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "values nested too deeply"),
        ('{"a": 1, "a": 2}', "a key that is given twice"),
        ("1" * 5000, "Exceeds the limit"),
        ("{", "Expecting property name"),
    ],
)
def test_json_that_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=rf"a\.json: readable JSON expected, got .*{message}"):
        _read(tmp_path, text, ".json")


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_a_file_that_is_too_long_is_refused(tmp_path, suffix):
    with pytest.raises(ValueError, match=r"a\..*: at most 1,000,000 bytes of text are read, got 1,000,001\. HINT"):
        _read(tmp_path, "#" * (MAX_BYTES + 1), suffix)


@pytest.mark.parametrize(
    ("value", "number", "whole"),
    [("12", 12.0, 12), ("-1e1", -10.0, None), (" 7 ", 7.0, 7), (3, 3.0, 3), (3.5, 3.5, None), ("101", None, None)]
    + [(value, None, None) for value in ("x", "", "nan", "inf", None, True, [], 10**400, "9" * 5000)],
)
def test_numbers_are_read_within_a_limit(value, number, whole):
    assert (to_number(value, 100), to_whole_number(value, 100)) == (number, whole)
