"""The list of searches: songs, ranges, hashes, order, and when a result no longer stands."""

import json
import os
import re
import shutil

import pytest
import soundfile
import yaml

from mixgraph.dataset import BuildFolder, FileHashes, Job, find_sources, may_share_audio, select
from mixgraph.dataset.jobs import why_redo
from mixgraph.dataset.settings import differences, digest, essential
from mixgraph.results.contents import RESULT_FILES
from mixgraph.songs import song_files

CONFIG = {
    "seed_everything": 7,
    "data": {"path": "x", "steps_per_stage": 4, "warm_up_seconds": 1.0, "scored_seconds": 1.0, "cache_dir": None},
    "pruning": {"console_stages": 2, "rounds": 3, "tolerance": 0.01},
    "trainer": {"accelerator": "cpu", "precision": None},
}


@pytest.fixture
def songs(tiny_song, duo_song, tmp_path):
    for path in (tiny_song, duo_song):
        shutil.copytree(path, tmp_path / "songs" / path.name)
    return tmp_path / "songs"


def find(songs, *options, **named):
    return find_sources([songs], FileHashes(songs.parent / "hashes.json"), *options, **named)


def test_songs_are_read_with_their_hashes_and_order(songs) -> None:
    (duo, tiny), unreadable = find(songs)
    assert (duo.name, tiny.name, unreadable) == ("duo", "tiny", {})
    assert (tiny.seconds, tiny.num_tracks, tiny.licence, tiny.artist) == (3.0, 3, "CC0", None)
    assert sorted(tiny.file_hashes) == ["mix.wav", "tracks/hat.wav", "tracks/kick.wav", "tracks/lead.wav"]
    names = {group["name"]: [t["name"] for t in group["tracks"]] for group in tiny.arrangement["subgroups"]}
    assert names == {"drums": ["kick", "hat"], "lead": ["lead"]}


def test_a_song_that_cannot_be_read_does_not_stop_the_others(songs) -> None:
    shutil.rmtree(songs / "duo" / "tracks")
    sources, unreadable = find(songs)
    assert [song.name for song in sources] == ["tiny"]
    assert list(unreadable) == ["duo"]
    assert "track" in unreadable["duo"]
    (songs / "tiny" / "mix.wav").write_bytes(b"no audio")
    sources, unreadable = find(songs)
    assert sources == []
    assert "mix.wav" in unreadable["tiny"]


def test_the_artist_is_taken_from_titles_of_layouts_that_name_it(songs) -> None:
    for name in ("Some Band - First", "Some Band - Second"):
        folder = songs.parent / "musdb" / name
        folder.mkdir(parents=True)
        shutil.copy(songs / "tiny" / "mix.wav", folder / "mixture.wav")
        for stem in ("drums", "vocals"):
            shutil.copy(songs / "tiny" / "tracks" / "kick.wav", folder / f"{stem}.wav")
    sources, unreadable = find_sources([songs.parent / "musdb"], FileHashes(songs.parent / "h.json"))
    assert unreadable == {}
    assert [song.artist for song in sources] == ["Some Band", "Some Band"]


def test_two_songs_of_one_name_are_named_and_the_others_go_on(songs) -> None:
    shutil.copytree(songs / "tiny", songs.parent / "more" / "tiny")
    sources, unreadable = find_sources([songs, songs.parent / "more"], FileHashes(songs.parent / "hashes.json"))
    assert [song.name for song in sources] == ["duo"]
    assert list(unreadable) == ["tiny"]
    assert f"{songs / 'tiny'} and {songs.parent / 'more' / 'tiny'} are all named tiny" in unreadable["tiny"]


def odd_songs(root, model) -> dict[str, str]:
    """Puts songs that something is wrong with beside others; returns name -> a part of the reason."""

    def song(name, **description):
        shutil.copytree(model, root / name)
        text = yaml.safe_dump(yaml.safe_load((model / "song.yaml").read_text()) | description)
        (root / name / "song.yaml").write_text(text)
        return root / name

    # Texts, whatever YAML makes of them: these songs are read.
    (song("tag") / "song.yaml").write_text("title: !!bool abc")
    (song("day") / "song.yaml").write_text("title: 2026-99-99")
    (song("deep") / "song.yaml").write_text("a: " + "[" * 5000)
    (song("half", licence="\ud800")).is_dir()
    (song("latin") / "song.yaml").unlink()
    os.rename(root / "latin" / "tracks" / "lead.wav", os.fsencode(root / "latin" / "tracks") + b"/l\xe9ad.wav")
    os.rename(song("folder"), os.fsencode(root) + b"/f\xf6lder")
    (song("unmixed") / "mix.wav").unlink()
    (song("list") / "song.yaml").write_text("[]")
    (song("dangling") / "tracks" / "lead.wav").unlink()
    (root / "dangling" / "tracks" / "lead.wav").symlink_to("nowhere")
    (root / "gone").symlink_to("nowhere")
    (root / "circle").symlink_to("circle")
    (root / "again").symlink_to(model)  # a song that is there already is no second one
    (root / "loose").mkdir()
    shutil.copy(model / "mix.wav", root / "loose" / "mix.wav")
    return {
        "deep": "song.yaml", "latin": "UTF-8", "f_lder": "a file name of text (UTF-8)", "unmixed": "mix.*",
        "list": "song.yaml", "dangling": "lead.wav", "gone": "a link that leads nowhere",
        "circle": "a link that leads nowhere", "loose": "no mark of a layout",
    }  # fmt: skip


def test_odd_songs_are_named_and_the_others_go_on(songs) -> None:
    expected = odd_songs(songs, songs / "tiny")
    shutil.copytree(songs / "tiny", songs / "line\nbreak")
    shutil.copytree(songs / "tiny", songs / "empty")
    (songs / "empty" / "song.yaml").write_text("")
    hashes = FileHashes(songs.parent / "hashes.json")
    sources, unreadable = find_sources([songs], hashes)
    assert [song.name for song in sources] == ["day", "duo", "empty", "half", "line_break", "tag", "tiny"]
    assert unreadable.keys() == expected.keys()
    for name, part in expected.items():
        assert part in unreadable[name], name
    hashes.save()
    folder = BuildFolder(songs.parent / "out")
    folder.root.mkdir()
    for name, why in unreadable.items():
        folder.add_failure(name, None, why)
        assert why  # to be shown
    assert [row["song"] for row in map(json.loads, folder.failures.read_text().splitlines())] == list(unreadable)


@pytest.mark.parametrize("error", [KeyError("abc"), RecursionError("too deep"), MemoryError(), ValueError()])
def test_an_error_of_any_type_is_that_of_one_song(songs, monkeypatch, error) -> None:
    def files(folder, *settings):
        if folder.name == "duo":
            raise error
        return song_files(folder, *settings)

    monkeypatch.setattr("mixgraph.dataset.sources.song_files", files)
    sources, unreadable = find(songs)
    assert [song.name for song in sources] == ["tiny"]
    assert unreadable == {"duo": f"{type(error).__name__}: {error}"}


def test_a_root_without_songs_does_not_stop_the_others(songs) -> None:
    (songs.parent / "empty").mkdir()
    hashes = FileHashes(songs.parent / "hashes.json")
    sources, unreadable = find_sources([songs / "tiny", songs.parent / "empty", songs / "typo"], hashes)
    assert [song.name for song in sources] == ["tiny"]
    assert "at least one song" in unreadable["empty"]
    assert "folder expected, got none" in unreadable["typo"]
    with pytest.raises(FileNotFoundError, match="folder expected, got none"):
        find_sources([songs / "typo"], hashes)


def test_a_folder_that_goes_away_while_it_is_read_is_named(songs, monkeypatch) -> None:
    def fits(folder):
        if folder.name == "duo":
            shutil.rmtree(folder)
        return bool(list(folder.iterdir()))

    monkeypatch.setattr("mixgraph.songs.layouts.fitting_layouts", lambda folder: ["folder"] if fits(folder) else [])
    sources, unreadable = find_sources([songs / "duo", songs / "tiny"], FileHashes(songs.parent / "hashes.json"))
    assert [song.name for song in sources] == ["tiny"]
    assert "cannot be read (No such file or directory)" in unreadable["duo"]


def test_a_root_that_is_given_twice_counts_once(songs) -> None:
    sources, _ = find_sources([songs, songs / "tiny"], FileHashes(songs.parent / "hashes.json"))
    assert [song.name for song in sources] == ["duo", "tiny"]


@pytest.mark.parametrize(
    ("patterns", "songs", "left"),
    [
        ((), ":", "a1 a2 b1 b2"),
        (("a*",), ":", "a1 a2"),
        (("a*", "*2"), ":", "a1 a2 b2"),
        ((), "1:3", "a2 b1"),
        ((), "3:", "b2"),
        (("b*",), ":1", "b1"),
        ((), "2:100", "b1 b2"),
    ],
)
def test_selection_by_pattern_then_range(patterns, songs, left) -> None:
    assert select(["a1", "a2", "b1", "b2"], patterns, songs) == left.split()


@pytest.mark.parametrize("songs", ["3", "x:", "-1:2", "2:1"])
def test_a_range_that_is_none_is_refused(songs) -> None:
    with pytest.raises(ValueError, match="a range such as 0:100"):
        select(["a"], (), songs)


def test_a_selection_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves none of 1 songs"):
        select(["a"], ("b*",), ":")


def test_hashes_are_kept_until_a_file_changes(tmp_path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"one")
    hashes = FileHashes(tmp_path / "hashes.json")
    first = hashes(file)
    assert first == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"  # sha256sum
    hashes.save()
    again = FileHashes(tmp_path / "hashes.json")
    again.known[str(file)][2] = "kept"
    assert again(file) == "kept"  # not read again
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert again(file) == "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"


def test_settings_without_effect_are_not_compared() -> None:
    other = json.loads(json.dumps(CONFIG))
    other["seed_everything"], other["data"]["path"], other["trainer"]["accelerator"] = 1, "y", "gpu"
    assert essential(other) == essential(CONFIG)
    assert digest(essential(dict(reversed(other.items())))) == digest(essential(CONFIG))
    other["pruning"]["tolerance"] = 0.02
    assert digest(essential(other)) != digest(essential(CONFIG))
    assert differences(essential(CONFIG), essential(other)) == ["pruning.tolerance: 0.01 -> 0.02"]
    assert differences({"a": {"b": 1}}, {"a": {"c": None}}) == ["a.b: 1 -> none", "a.c: none -> null"]


def test_another_estimator_at_the_same_path_is_told(songs, tmp_path) -> None:
    estimator = tmp_path / "estimator.safetensors"
    estimator.write_bytes(b"one")
    config = CONFIG | {"model": {**CONFIG.get("model", {}), "estimated_checkpoint": str(estimator)}}
    saved = record(songs, config)
    assert str(tmp_path) not in json.dumps(saved)
    estimator.rename(tmp_path / "moved.safetensors")
    moved = CONFIG | {"model": config["model"] | {"estimated_checkpoint": str(tmp_path / "moved.safetensors")}}
    assert why_redo(saved, record(songs, moved)) == ""
    estimator.write_bytes(b"two")  # sha256sum of both
    assert re.fullmatch(
        'settings changed: model.estimated_checkpoint: "sha256 7692c3ad.*" -> "sha256 3fc4ccfe.*"',
        why_redo(saved, record(songs, config)),
    )


def test_run_0_has_the_seed_of_a_plain_search(songs) -> None:
    song = find(songs)[0][0]
    assert [Job(song, run, CONFIG).seed for run in range(3)] == [7, 8, 9]
    assert [Job(song, 1, CONFIG | {"seed_everything": seed}).seed for seed in (True, None)] == [43, 43]


def test_work_counts_tracks_steps_and_length(songs) -> None:
    duo, tiny = (Job(song, 0, CONFIG) for song in find(songs)[0])
    assert tiny.work == pytest.approx(3 * (3 * 4 * 5 * 2.0 + 5 * 5 * 3.0))
    assert duo.work == pytest.approx(2 * (3 * 4 * 5 * 2.0 + 5 * 5 * 3.7))


def record(songs, config=CONFIG, run=0):
    return Job(find(songs)[0][1], run, config).record()


def test_a_record_has_no_path_of_this_machine(songs) -> None:
    assert str(songs.parent) not in json.dumps(record(songs))


def test_results_stand_until_settings_audio_or_description_change(songs) -> None:
    saved = json.loads(json.dumps(record(songs)))
    assert why_redo(saved, record(songs)) == ""
    changed = CONFIG | {"pruning": CONFIG["pruning"] | {"rounds": 9}}
    assert why_redo(saved, record(songs, changed)) == "settings changed: pruning.rounds: 3 -> 9"
    assert why_redo(saved, record(songs, CONFIG | {"seed_everything": 8})) == "seed changed: 7 -> 8"
    assert why_redo({}, record(songs)).startswith("record of version None")

    description = yaml.safe_load((songs / "tiny" / "song.yaml").read_text())
    description["licence"] = "CC BY 4.0"
    (songs / "tiny" / "song.yaml").write_text(yaml.safe_dump(description))
    assert why_redo(saved, record(songs)) == ""
    description["tracks"] = {"hat.wav": {"polarity": -1}}
    (songs / "tiny" / "song.yaml").write_text(yaml.safe_dump(description))
    assert "description changed" in why_redo(saved, record(songs))
    (songs / "tiny" / "song.yaml").unlink()
    audio, rate = soundfile.read(songs / "tiny" / "tracks" / "kick.wav")
    soundfile.write(songs / "tiny" / "tracks" / "kick.wav", audio[:-100], rate, subtype="FLOAT")
    assert "audio changed: tracks/kick.wav" in why_redo(saved, record(songs))


def whole_result(folder):
    """A folder with the names of a result's files."""
    folder.mkdir(parents=True)
    for name in RESULT_FILES:
        (folder / (f"{name}.flac" if name.startswith("mix_") else name)).write_text("")
    return folder


def test_what_is_due_and_why(songs, tmp_path) -> None:
    folder = BuildFolder(tmp_path / "out")
    duo, tiny = (Job(song, 0, CONFIG) for song in find(songs)[0])
    assert folder.why_due([duo, tiny]) == ["new", "new"]
    result = whole_result(tmp_path / "found")
    (result / "job.json").write_text(json.dumps(duo.record()))
    folder.publish(duo, result)
    assert folder.result(duo).is_dir()
    folder.work(tiny).mkdir(parents=True)
    assert folder.why_due([duo, tiny]) == ["", "begun before"]
    folder.add_failure("tiny", 0, "ValueError: no\nmore", "traceback", 1)
    folder.add_failure("other", None, "elsewhere")
    folder.add_failure("duo", 0, "")
    folder.clear(tiny)
    assert not (tmp_path / "out" / "work").exists()
    assert folder.why_due([duo, tiny]) == ["", "failed before: ValueError: no"]
    (folder.result(duo) / "job.json").write_text("[1")
    assert folder.why_due([duo]) == ["job.json is damaged"]
    shutil.rmtree(folder.result(duo))
    assert folder.why_due([duo]) == ["failed before: "]
    assert [row["reason"] for row in folder.read_failures("tiny")] == ["ValueError: no\nmore"]
    folder.forget_failures(["tiny", "duo"])
    assert [row["song"] for row in map(json.loads, folder.failures.read_text().splitlines())] == ["other"]


def test_a_new_result_replaces_an_old_one_whole(songs, tmp_path) -> None:
    folder = BuildFolder(tmp_path / "out")
    job = Job(find(songs)[0][0], 0, CONFIG)
    for name in ("first", "second"):
        result = whole_result(folder.work(job) / "result")
        (result / "log.csv").write_text(name)
        folder.publish(job, result)
    assert (folder.result(job) / "log.csv").read_text() == "second"
    assert [path.name for path in folder.root.iterdir()] == ["results"]
    assert [path.name for path in folder.result(job).parent.iterdir()] == ["run_0"]


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("CC0 1.0", True),
        ("CC0", True),
        ("cc by 4.0", True),
        ("CC-BY-SA-3.0", True),
        ("CC BY-SA 3.0 (2010-2011 Armin Heller)", True),
        ("Public Domain", True),
        ("Creative Commons Attribution 4.0 International", True),
        ("CC BY-NC-SA 4.0 (README of MDBDrums)", False),
        ("CC BY-ND 4.0", False),
        ("GPL-2.0 (OpenMSX); FluidR3_GM sound font: MIT", False),
        ("CC0 drums, vocals: all rights reserved", False),
        ("CC BY 4.0; some tracks CC BY-NC", False),
        ("not public domain", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_licences_that_are_known_to_allow_copies(licence, free) -> None:
    assert may_share_audio(licence) is free


def test_failures_are_whole_lines_whatever_they_say(tmp_path) -> None:
    folder = BuildFolder(tmp_path)
    folder.add_failure("a", 0, "vox\u2028take 2.wav: cannot be read as audio")
    folder.add_failure("b", None, "silent", attempts=3)
    assert {path.name for path in tmp_path.iterdir()} == {"failures.jsonl"}
    assert folder.failures.read_text(encoding="utf-8").count("\n") == 2
    assert [folder.read_failures(song)[0]["reason"] for song in "ab"] == [
        "vox\u2028take 2.wav: cannot be read as audio",
        "silent",
    ]
