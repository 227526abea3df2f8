"""Cards declare the type of every field, and Hugging Face's `datasets` reads sets of any content by them."""

import json
from pathlib import Path

import pytest
import yaml

from mixgraph.shards import CardTexts, read_raw, shard_paths, write_card, write_shards
from mixgraph.shards.fields import GRAPH, LIMITS, META, TRACE
from mixgraph.shards.hugging_face import GRAPH_TYPES, META_TYPES, TRACE_TYPES, features
from mixgraph.shards.meta import FIELD_NAMES


@pytest.fixture(scope="module")
def mixed(plain, rows, tmp_path_factory):
    """A set of real results without audio, and of graphs made in memory, some of them with audio."""
    audible = rows(3, "validation", audio=True)
    samples = [("train", raw.key, dict(raw.fields)) for path in shard_paths(plain) for raw in read_raw(path)]
    samples += [("train", f"silent-{key}", renamed(fields, f"silent-{key}")) for _, key, fields in rows(3)]
    samples += [audible[2], ("train", "with-audio", renamed(audible[1][2], "with-audio"))]
    folder = tmp_path_factory.mktemp("mixed") / "set"
    write_shards(samples, folder)
    write_card(folder, CardTexts("Mixed"))
    return folder


def renamed(fields, key):
    meta = json.loads(fields[META]) | {"key": key, "song": key, "artist": None, "extra": {"number": len(key)}}
    return fields | {META: json.dumps(meta).encode()}


def check_kind(value, kind, where) -> None:
    """A JSON value against a type of the card."""
    if isinstance(kind, dict):
        assert value is None or list(value) == list(kind), where
        for name, item in (value or {}).items():
            check_kind(item, kind[name], f"{where}.{name}")
    elif isinstance(kind, list):
        for item in value or []:
            check_kind(item, kind[0], f"{where}[]")
    else:
        kinds = {"string": str, "int64": int, "float64": float, "bool": bool}
        assert value is None or type(value) is kinds[kind], where


def test_the_declared_types_are_those_of_real_samples(plain, stream) -> None:
    assert [*META_TYPES, "extra"] == list(FIELD_NAMES)
    for folder in (plain, stream):
        for path in shard_paths(folder):
            for raw in read_raw(path):
                meta = json.loads(raw.fields[META])
                del meta["extra"]
                for name, kind, value in (
                    (GRAPH, GRAPH_TYPES, json.loads(raw.fields[GRAPH])),
                    (TRACE, TRACE_TYPES, json.loads(raw.fields[TRACE])),
                    (META, META_TYPES, meta),
                ):
                    check_kind(value, kind, name)


def test_all_sets_declare_the_same_fields(mixed) -> None:
    head = yaml.safe_load((mixed / "README.md").read_text().split("---\n")[1])
    declared = head["dataset_info"]["features"]
    assert [field["name"] for field in declared] == ["__key__", "__url__", *sorted(LIMITS)]
    assert "&" not in (mixed / "README.md").read_text().split("---\n")[1]  # no references within YAML

    def without_extra(fields):
        meta = next(field for field in fields if field["name"] == META)
        return [field for field in fields if field["name"] != META] + [
            f for f in meta["struct"] if f["name"] != "extra"
        ]

    assert without_extra(declared) == without_extra(features([]))


def test_extras_of_samples_are_united() -> None:
    def extra(*values):
        meta = next(field for field in features(values) if field["name"] == META)
        return next(field for field in meta["struct"] if field["name"] == "extra")["struct"]

    columns = extra({"a": 1, "b": None}, {"a": 0.5, "c": ["x"], "d": [{"e": True}]}, {"b": "text", "c": []})
    assert columns == [
        {"name": "a", "dtype": "float64"},
        {"name": "b", "dtype": "string"},
        {"name": "c", "list": "string"},
        {"name": "d", "list": [{"name": "e", "dtype": "bool"}]},
    ]
    assert extra({"n": None}) == [{"name": "n", "dtype": "null"}]
    with pytest.raises(ValueError, match="extra: values of one type are needed in all samples, got int64 and string"):
        extra({"a": 1}, {"a": "1"})


def test_datasets_reads_samples_of_any_content(mixed, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    reason = "Hugging Face's datasets is not installed; pip install 'mixgraph[dev]'"
    datasets = pytest.importorskip("datasets", reason=reason)
    read = datasets.load_dataset(str(mixed), cache_dir=str(tmp_path / "cache"))
    assert {split: part.num_rows for split, part in read.items()} == {"train": 6, "validation": 1}
    raw = {r.key: r for path in shard_paths(Path(mixed)) for r in read_raw(path)}
    for row in (row for part in read.values() for row in part):
        sample = raw[row["__key__"]]
        assert (row["dry.flac"] is not None, row["mix.flac"] is not None) == (bool(sample.audio),) * 2
        assert row["params.safetensors"] == sample.fields["params.safetensors"]
        assert row[GRAPH] == json.loads(sample.fields[GRAPH])
        meta = json.loads(sample.fields[META])
        assert {name: row[META][name] for name in meta if name not in ("losses", "extra")} == {
            name: meta[name] for name in meta if name not in ("losses", "extra")
        }
        if meta["losses"] is not None:
            assert row[META]["losses"] == meta["losses"]
    assert read["train"].features == read["validation"].features
