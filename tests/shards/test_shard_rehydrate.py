"""Audio for shards without audio, from the user's own copy of the songs."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch
import yaml

from datamodules import GraphShards
from mixgraph.shards import CardTexts, SongFinder, load_index, read_shards, write_card
from mixgraph.shards.texts import choice_section, read_texts
from mixgraph.shards.validate import validate_shards
from mixgraph.songs import load_song


@pytest.fixture
def copies(tiny_song, duo_song, tmp_path):
    """The songs as a user has them: in other folders, under other names, among other files."""
    shutil.copytree(tiny_song, tmp_path / "mine" / "rock" / "renamed")
    shutil.copytree(duo_song, tmp_path / "mine" / "duo")
    (tmp_path / "mine" / "a").mkdir()
    shutil.copy(tiny_song / "tracks" / "hat.wav", tmp_path / "mine" / "a" / "kick.wav")  # the name, not the content
    return tmp_path / "mine"


def test_audio_is_what_the_search_read_bit_for_bit(results, plain, copies) -> None:
    samples = list(read_shards(plain, audio_root=copies))
    assert len(samples) == 2
    for sample, (_, song) in zip(samples, reversed(results), strict=True):
        assert torch.equal(sample.audio.tracks(0, song.num_samples), song.sources)
        assert torch.equal(sample.audio.mix(0, song.num_samples), song.mix)
        assert torch.equal(sample.audio.tracks(500, 777), song.sources[..., 500:777])
        assert torch.equal(sample.audio.mix(-5, 5)[:, 5:], song.mix[:, :5])
        assert not sample.audio.mix(-5, 5)[:, :5].any()
        assert sample.audio.num_samples == song.num_samples


def test_placement_polarity_and_resampling_are_repeated(tiny_song, tmp_path, monkeypatch) -> None:
    from callbacks import IterativePruning, ResultFolder
    from datamodules import SongData
    from mixgraph.search import search
    from mixgraph.search.module import ConsoleModule
    from mixgraph.shards import pack_result, write_shards

    folder = shutil.copytree(tiny_song, tmp_path / "songs" / "placed")
    settings = yaml.safe_load((folder / "song.yaml").read_text())
    settings["tracks"] = {
        "kick.wav": {"offset_samples": 123, "polarity": -1},
        "hat.wav": {"offset_samples": -77, "name": "high hat"},
    }
    (folder / "song.yaml").write_text(yaml.safe_dump(settings))
    data = SongData(str(folder), sample_rate=6000, steps_per_stage=2, scored_seconds=1.0, cache_dir=None)
    search(
        ConsoleModule("g", "", sample_rate=6000),
        data,
        [IterativePruning(1, 0), ResultFolder(str(tmp_path / "r"), page=False)],
        1,
        "cpu",
        enable_progress_bar=False,
    )
    packed = pack_result(tmp_path / "r", None, dataset="d", artist=None, audio=False, excerpt_seconds=1.0)
    write_shards((("train", *sample) for sample in packed), tmp_path / "set")
    song = load_song(folder, sample_rate=6000)
    assert song.placements[0] == (round(123 * 6 / 8), -1)
    samples = list(read_shards(tmp_path / "set", audio_root=[tmp_path / "songs"]))
    assert [s.audio.num_samples for s in samples] == [6000, 6000, 6000]
    assert torch.equal(torch.cat([s.audio.tracks(0, 6000) for s in samples], dim=-1), song.sources)
    assert torch.equal(torch.cat([s.audio.mix(0, 6000) for s in samples], dim=-1), song.mix)
    assert samples[0].meta["tracks"][1]["name"] == "high hat"


def test_what_was_not_found_is_listed(plain, copies) -> None:
    (copies / "duo" / "tracks" / "lead.wav").unlink()
    kick = copies / "rock" / "renamed" / "tracks" / "kick.wav"
    audio, rate = soundfile.read(kick)
    soundfile.write(kick, audio * 0.5, rate, subtype="FLOAT")
    shutil.rmtree(copies / "a")
    finder = SongFinder([copies])
    missing = {}
    for sample in read_shards(plain):
        missing[sample.key] = finder.locate(sample.meta)[1]
    # The two songs have equal tracks of one name, but not of one length.
    assert [line.split(" ")[0] for line in missing["Tiny-duo"]] == ["tracks/lead.wav"]
    assert missing["Tiny-tiny"][0].endswith("...): 1 of that name, but with other content")
    for reading in (
        lambda: list(read_shards(plain, audio_root=copies)),
        lambda: GraphShards(str(plain), audio=True, audio_root=str(copies)).setup("fit"),
    ):
        with pytest.raises(FileNotFoundError, match=r"files were not found below .*\n- Tiny-(duo|tiny): tracks/"):
            reading()
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        SongFinder(copies / "none")


def test_links_to_folders_are_followed_once(plain, copies, tmp_path) -> None:
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "songs").symlink_to(copies)
    (tmp_path / "linked" / "loop").symlink_to(tmp_path / "linked")
    finder = SongFinder([tmp_path / "linked", copies])
    assert [finder.locate(sample.meta)[1] for sample in read_shards(plain)] == [[], []]
    kicks = {path.resolve() for path in copies.rglob("kick.wav")}
    assert len(finder._by_name["kick.wav"]) == len(kicks)


@pytest.mark.long
def test_the_command_writes_the_set_with_audio(plain, full, copies, tmp_path, warm_python) -> None:
    """And its card says what the old one said, for which there was none in the samples."""
    texts = CardTexts("Tiny set", "Two songs.", "2026-11-28", choice=choice_section({"why": "they are small"}))
    plain = shutil.copytree(plain, tmp_path / "plain")
    write_card(plain, texts)
    command = ["mixgraph", "rehydrate", str(plain), "--root", str(copies)]
    options = ["--out", str(tmp_path / "set"), "--date-published=2026-11-29"]
    done = warm_python.run(*command, *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the audio of all 2 samples was found" in done.stdout
    assert validate_shards(tmp_path / "set").num_with_audio == 2
    assert validate_shards(tmp_path / "set").problems == []
    assert read_texts(tmp_path / "set") == replace(texts, date_published="2026-11-29")
    assert "and the audio. Made with" in (tmp_path / "set" / "README.md").read_text()
    assert "*.dry.flac" in (tmp_path / "set" / "croissant.json").read_text()
    for shard in ("train/000000.tar", "test/000000.tar", "index.json", "SHA256SUMS"):
        assert (tmp_path / "set" / shard).read_bytes() == (full / shard).read_bytes()
    shutil.rmtree(copies / "duo")
    done = warm_python.run(*command)
    assert done.returncode == 1
    assert "- Tiny-duo: tracks/lead.wav" in done.stderr
    again = warm_python.run(*command[:2], str(full), *command[3:], "--out", str(tmp_path / "x"))
    assert "has audio already" in again.stderr


def test_the_guides_example_reads_shards_beside_a_copy_of_the_songs(plain, copies, tmp_path, capsys) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "datasets.md").read_text()
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "read_shards" in c)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    (tmp_path / "dataset").mkdir()
    shutil.copytree(plain, tmp_path / "dataset" / "shards")
    code = code.replace('"dataset', f'"{tmp_path}/dataset').replace('"songs"', f'"{copies}"')
    exec(compile(code, "datasets.md", "exec"), {})
    printed = capsys.readouterr().out
    samples, batch = printed[: printed.index("tensor(")], printed[printed.index("tensor(") :]
    assert "Tiny-tiny" in samples
    assert "torch.Size(" in batch
    for name in ("dataset", "dataset/train"):
        with pytest.raises(FileNotFoundError, match="index of a data set is needed"):
            load_index(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=rf"HINT: .* in {tmp_path}/dataset/shards"):
        load_index(tmp_path / "dataset")
