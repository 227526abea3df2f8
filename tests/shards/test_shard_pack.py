"""From result folders to shards and back: everything survives, nothing leaks, the same bytes every time."""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from mixgraph.results.found_graph import load_result
from mixgraph.shards import pack_result, read_raw, read_shards, shard_paths
from mixgraph.shards.config import portable_config
from mixgraph.shards.graphs import TRACE_KEYS

ROOT = Path(__file__).parent.parent.parent
SCRIPT = """
import sys
from pathlib import Path
from mixgraph.shards import pack_result, write_card, write_shards
from mixgraph.songs import load_song
out, *pairs = sys.argv[1:]
def samples():
    for folder, path in zip(pairs[::2], pairs[1::2]):
        song = load_song(path, sample_rate=8000)
        options = {"dataset": "Tiny", "artist": None, "audio": True, "extra_meta": {"set": "a", "b": 1.5}}
        for key, fields in pack_result(Path(folder), song, excerpt_seconds=1.3, **options):
            yield "train", key, fields
write_shards(samples(), Path(out), max_count=2)
write_card(Path(out))
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_everything_survives(results, full) -> None:
    samples = list(read_shards(full))
    assert [s.key for s in samples] == ["Tiny-duo", "Tiny-tiny"]  # splits in alphabetical order: test, train
    for sample, (folder, song) in zip(samples, reversed(results), strict=True):
        loaded = load_result(folder)
        assert sample.graph == loaded.graph
        assert sample.parameters.keys() == loaded.parameters.keys()
        for node_type, type_parameters in loaded.parameters.items():
            assert type_parameters.keys() == sample.parameters[node_type].keys()
            assert all(
                torch.equal(value, sample.parameters[node_type][name]) for name, value in type_parameters.items()
            )
        assert torch.equal(sample.weights, loaded.weights)
        metrics = json.loads((folder / "metrics.json").read_text())
        rows = [json.loads(line) for line in (folder / "trace.jsonl").read_text().splitlines()]
        assert [{k: v for k, v in row.items() if v is not None} for row in sample.trace()] == rows
        assert all(tuple(row) == TRACE_KEYS for row in sample.trace())
        end = [r["loss_increase"] for r in rows if r["kind"] == "leave_one_out" and r["when"] == "end"]
        assert sample.loss_increases.tolist() == sample.meta["loss_increases"] == end
        assert sample.meta["losses"] == metrics["losses"]
        assert sample.meta["level"] == song.level
        assert {t["file"]: t["sha256"] for t in sample.meta["tracks"]} | {
            sample.meta["mix"]["file"]: sample.meta["mix"]["sha256"]
        } == metrics["file_hashes"]
        assert sample.meta["types"] == [
            {
                "type": t,
                "console": n,
                "found": metrics["num_processors_by_type"][t],
                "pruning_ratio": metrics["pruning_ratio_by_type"][t],
            }
            for t, n in sorted(metrics["num_console_processors_by_type"].items())
        ]
        assert sample.meta["pruning_ratio"] == metrics["pruning_ratio"]
        assert sample.meta["confidence"] is None
        assert sample.meta["config_sha256"] == hashlib.sha256(sample.meta["config"].encode()).hexdigest()


def test_audio_is_that_of_the_search_to_24_bits(results, full) -> None:
    for sample, (_, song) in zip(read_shards(full), reversed(results), strict=True):
        audio, length = sample.audio, song.num_samples
        assert (audio.num_samples, audio.sample_rate) == (length, 8000)
        for unpacked, expected in (
            (audio.tracks(0, length), song.sources),
            (audio.mix(0, length).unsqueeze(0), song.mix.unsqueeze(0)),
        ):
            # Half a step of 24 bits below the power of two at or above the peak.
            steps = torch.tensor([2.0 ** torch.tensor(p).log2().ceil() for p in expected.abs().amax((1, 2)).tolist()])
            assert ((unpacked - expected).abs() <= steps[:, None, None] * 2.0**-23).all()
        whole = audio.tracks(0, length)
        assert torch.equal(audio.tracks(1000, 1777), whole[..., 1000:1777])
        padded = audio.tracks(-100, length + 50)
        assert torch.equal(padded[..., 100:-50], whole)
        assert not padded[..., :100].any()
        assert not padded[..., -50:].any()


def test_the_graph_renders_what_was_found(results, full) -> None:
    for sample, (folder, song) in zip(read_shards(full), reversed(results), strict=True):
        mix = load_result(folder).render(song.sources / song.level) * song.level
        assert (sample.render(song.sources) - mix).abs().max() < 1e-6  # float32: the level is applied twice


def test_excerpts_have_a_stated_length_and_start(results, full) -> None:
    folder, song = results[0]
    packed = list(pack_result(folder, song, dataset="d", artist=None, audio=True, excerpt_seconds=1.25))
    metas = [json.loads(fields["meta.json"]) for _, fields in packed]
    assert [key for key, _ in packed] == ["d-tiny-0000", "d-tiny-0001", "d-tiny-0002"]
    assert [(m["excerpt_start"], m["num_samples"], m["song_num_samples"]) for m in metas] == [
        (0, 10000, 24000), (10000, 10000, 24000), (20000, 4000, 24000),
    ]  # fmt: skip


@pytest.mark.long
def test_the_same_results_give_the_same_bytes_and_nothing_leaks(results, tiny_song, duo_song, tmp_path) -> None:
    pairs = [str(p) for (folder, _), song in zip(results, (tiny_song, duo_song), strict=True) for p in (folder, song)]
    sets = []
    for seed in ("1", "2"):
        out = tmp_path / seed / "set"
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "TZ": f"UTC+{seed}"}
        subprocess.run([sys.executable, "-c", SCRIPT, str(out), *pairs], check=True, env=environment, cwd=tmp_path)
        sets.append(contents(out))
    assert sets[0] == sets[1]
    assert {name for name in sets[0] if name.endswith(".tar")} == {f"train/00000{i}.tar" for i in range(3)}
    forbidden = [str(tmp_path), str(results[0][0].parent), str(tiny_song.parent), "/home/", "/tmp", str(ROOT)]
    forbidden += [platform.node(), os.environ.get("USER", "root"), time_year()]
    for name, data in sets[0].items():
        if name.endswith((".png", ".svg")):
            continue
        text = re.sub(rb"[0-9a-f]{64}", b"", data)
        if name.endswith(".tar"):
            text = b"".join(d for raw in read_raw(tmp_path / "1" / "set" / name) for d in raw.fields.values())
            text = re.sub(rb"[0-9.]{5,}", b"", text)
        leaks = [word for word in forbidden if len(word) > 3 and word.encode() in text]
        assert not leaks, (name, leaks)


def time_year() -> str:
    import datetime

    return str(datetime.datetime.now(tz=datetime.UTC).year) + "-"


def test_tar_headers_state_nothing_about_who_wrote_them(full) -> None:
    import tarfile

    for shard in shard_paths(full):
        with tarfile.open(shard) as tar:  # Python's own reader, too
            members = tar.getmembers()
            assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.type) for m in members} == {
                (0, 0, 0, "", "", 0o644, tarfile.REGTYPE)
            }
            assert [m.name.partition(".")[2] for m in members] == [
                "dry.flac", "graph.json", "meta.json", "mix.flac", "params.safetensors", "trace.json"
            ]  # fmt: skip


def test_webdataset_reads_the_shards(full) -> None:
    from webdataset.tariterators import group_by_keys, tar_file_expander

    for shard in shard_paths(full):
        with shard.open("rb") as stream:  # which it would leave open
            (sample,) = group_by_keys(tar_file_expander([{"url": str(shard), "stream": stream}]))
        (raw,) = read_raw(shard)
        assert sample["__key__"] == raw.key
        assert {name: sample[name] for name in raw.fields} == dict(raw.fields)


def test_configuration_without_places() -> None:
    settings = """
    data: {path: songs/x, cache_dir: /var/cache, sample_rate: 30000, layout: auto}
    trainer: {accelerator: cpu, logger: {init_args: {save_dir: /home/me}}, devices: 1}
    result: {path: ../../results/x}
    start: ../results/one
    model: {loss: null, weights: /home/me/w.bin, chain: ecnsgdr}
    """
    assert yaml.safe_load(portable_config(settings)) == {
        "data": {"sample_rate": 30000, "layout": "auto"},
        "trainer": {"accelerator": "cpu"},
        "start": "one",
        "model": {"loss": None, "weights": "w.bin", "chain": "ecnsgdr"},
    }
    assert portable_config("") == ""
    with pytest.raises(ValueError, match="config: a mapping is needed, got list"):
        portable_config("[1]")
    with pytest.raises(ValueError, match="config: readable YAML is needed"):
        portable_config("a: [")


def test_what_cannot_be_packed_is_refused(results, tmp_path) -> None:
    (folder, song), (_, other) = results

    def pack(folder, song, **options):
        return list(pack_result(folder, song, **({"dataset": "d", "artist": None, "audio": False} | options)))

    with pytest.raises(FileNotFoundError, match=r"graph\.json is missing"):
        pack(tmp_path, None)
    with pytest.raises(ValueError, match="song: needed for shards with audio, got None"):
        pack(folder, None, audio=True)
    with pytest.raises(ValueError, match="song: name 'tiny' is needed, as in the search, got 'duo'"):
        pack(folder, other)
    with pytest.raises(ValueError, match=r"excerpt_seconds: above 0 is needed, got 0"):
        pack(folder, song, excerpt_seconds=0)
    with pytest.raises(ValueError, match=r"confidence: \d+ values are needed, one a processor, got 1"):
        pack(folder, song, confidence=[0.5])
    with pytest.raises(ValueError, match=r"extra: a: b: a text of 0 to 10000 characters is needed"):
        pack(folder, song, extra_meta={"a": {"b": "x" * 20000}})
