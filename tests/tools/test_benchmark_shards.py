"""The benchmark of shards runs, reads every sample in every kind of pass, and writes what it prints."""

from __future__ import annotations

import json

import pytest

from mixgraph.shards import read_shards, validate_shards, write_shards
from tools.benchmark_shards import AUDIO, DECODED, PLAIN, PYG, made_samples, main, passes, rate


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "set"
    write_shards(made_samples(5, 0.2, audio=True), folder, max_count=2)
    return folder


def test_what_is_made_is_a_valid_data_set(data_set) -> None:
    assert not validate_shards(data_set).problems
    samples = list(read_shards(data_set))
    assert [len(sample.graph.inputs) for sample in samples] == [4, 5, 6, 7, 8]
    assert all(len(sample.trace()) == 100 and sample.audio.num_samples == 6000 for sample in samples)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_kind_of_pass_reads_every_sample(data_set, workers) -> None:
    samples = {name: list(loader(workers)) for name, loader in passes(sorted(data_set.glob("*/*.tar")), 0.1).items()}
    assert list(samples) == [PLAIN, DECODED, PYG, AUDIO]
    keys = [f"s{i:05d}" for i in range(5)]
    assert sorted(sample["__key__"] for sample in samples[PLAIN]) == keys
    assert all(sample["graph.json"][:1] == b"{" for sample in samples[PLAIN])
    assert sorted(example.sample.key for (example,) in samples[DECODED]) == keys
    assert sorted(key for batch in samples[PYG] for key in batch.key) == keys
    assert all(example.tracks.shape[1:] == (2, 3000) for (example,) in samples[AUDIO])


def test_a_rate_needs_samples_after_the_first() -> None:
    assert rate(iter(range(3))) > 0
    with pytest.raises(ValueError, match="more than 1 samples are needed"):
        rate(iter(range(1)))


def test_report(tmp_path, capsys) -> None:
    small = ["--count", "3", "--audio-count", "2", "--seconds", "0.2", "--stretch", "0.1", "--repeats", "1"]
    main([*small, "--workers", "0", "--out", str(tmp_path / "report")])
    text = capsys.readouterr().out
    assert text == (tmp_path / "report" / "shard_speed.md").read_text()
    sets = json.loads((tmp_path / "report" / "shard_speed.json").read_text())["sets"]
    assert [(measured["name"], measured["samples"]) for measured in sets] == [("without_audio", 3), ("with_audio", 2)]
    assert [[row["what"] for row in measured["reading"]] for measured in sets] == [
        [PLAIN, DECODED, PYG],
        [PLAIN, DECODED, PYG, AUDIO],
    ]
    assert all(row["rate"] == pytest.approx(row["rates"][0]) for measured in sets for row in measured["reading"])


def test_a_given_set_is_read_and_not_written(data_set, capsys) -> None:
    before = sorted(data_set.rglob("*"))
    main(["--shards", str(data_set), "--stretch", "0.1", "--repeats", "1", "--workers", "0"])
    assert "5 samples in 3 shards" in capsys.readouterr().out
    assert sorted(data_set.rglob("*")) == before
