"""The plain layout: song.yaml, subgroups and their rule, and everything that can be wrong with a song."""

import os
import unicodedata

import numpy as np
import pytest
import soundfile
import yaml

from mixgraph.songs import SongWarning, load_song, song_files
from mixgraph.songs.folder import read_tracks_and_mix
from mixgraph.songs.manifest import Problems, slug
from mixgraph.songs.subgroup_rule import OTHER, subgroup_of, words_of

GROUPS = {"rhythm": ["b_bass.wav", "a_kick.wav"]}


def test_subgroups_of_song_yaml_set_the_order_of_the_tracks(make):
    texts = {"title": "A song", "artist": "A band", "licence": "CC0 1.0"}
    settings = texts | {"subgroups": {"voice": ["c_vox.wav"], **GROUPS}}
    song = load_song(make.folder("my song.v2", settings, tracks=3), make.rate, loudness_lufs=None)
    assert (song.name, song.title, song.licence) == ("my_song_v2", "A song", "CC0 1.0")
    assert song_files(make.root / "my song.v2").artist == "A band"
    assert song.subgroups == {"voice": ("c_vox",), "rhythm": ("b_bass", "a_kick")}
    assert song.tracks == ("c_vox", "b_bass", "a_kick")
    for row, seed in enumerate((2, 1, 0)):
        expected = make.noise(make.rate, 1, seed).astype(np.float32)[:, 0]
        assert np.array_equal(song.sources[row, 0].numpy(), expected)


def test_without_song_yaml_the_rule_gives_the_subgroups(make):
    files = song_files(make.folder(tracks=4))
    groups = {group: [track.name for track in members] for group, members in files.subgroups.items()}
    assert groups == {"drums": ["a_kick"], "bass": ["b_bass"], "synths": ["d_pad"], "lead_vocals": ["c_vox"]}
    assert (files.title, files.artist, files.licence) == ("song", None, "not stated")


@pytest.mark.parametrize(
    ("subgrouping", "expected"),
    [
        ("auto", {"rhythm": ["b_bass", "a_kick"]}),
        ("rule", {"drums": ["a_kick"], "bass": ["b_bass"]}),
        ("one_per_track", {"b_bass": ["b_bass"], "a_kick": ["a_kick"]}),
    ],
)
def test_subgrouping(make, subgrouping, expected):
    files = song_files(make.folder(settings={"subgroups": GROUPS}), subgrouping=subgrouping)
    groups = {group: [track.name for track in members] for group, members in files.subgroups.items()}
    assert groups == expected
    assert list(groups) == list(expected)


def test_one_per_track_without_song_yaml(make):
    assert list(song_files(make.folder(), subgrouping="one_per_track").subgroups) == ["a_kick", "b_bass"]


def test_unknown_subgrouping(make):
    with pytest.raises(ValueError, match="subgrouping: one of auto, rule, one_per_track expected, got 'none'"):
        song_files(make.folder(), subgrouping="none")


@pytest.mark.parametrize(
    ("name", "subgroup"),
    [
        ("01_KickIn", "drums"),
        ("bass drum", "drums"),
        ("tomThree", "drums"),
        ("OH_L", "drums"),
        ("Percussion2", "drums"),
        ("01_electric_bass", "bass"),
        ("BassGuitarDI", "bass"),
        ("EG1", "guitars"),
        ("guitOne", "guitars"),
        ("Piano", "keys"),
        ("MINILOGUE_SYNTH", "synths"),
        ("Strings", "strings"),
        ("05_TenorSax", "winds"),
        ("01_BGVOX_ALT", "backing_vocals"),
        ("Backing Vox 3", "backing_vocals"),
        ("04_male_singer", "lead_vocals"),
        ("LeadVox", "lead_vocals"),
        ("LV", "lead_vocals"),
        ("SFX", "fx"),
        ("weather_report", OTHER),
        ("12", OTHER),
    ],
)
def test_the_rule_on_names(name, subgroup):
    assert subgroup_of(name) == subgroup


def test_words_of_a_name():
    assert words_of("03_KickIn-LVox2DIBox") == ("kick", "in", "l", "vox", "di", "box")


def test_settings_of_a_track(make):
    tracks = {
        "a_kick.wav": {"name": "kick", "offset_samples": 100, "polarity": -1},
        "b_bass.wav": {"offset_seconds": -0.05},
    }
    song = load_song(make.folder(settings={"tracks": tracks}), make.rate, loudness_lufs=None)
    kick, bass = (make.noise(make.rate, 1, seed).astype(np.float32)[:, 0] for seed in (0, 1))
    assert song.tracks == ("kick", "b_bass")
    assert np.array_equal(song.sources[0, 0, :-100].numpy(), -kick[100:])
    assert not song.sources[0, 0, -100:].any()
    assert np.array_equal(song.sources[1, 0, 400:].numpy(), bass[:-400])
    assert not song.sources[1, 0, :400].any()


def test_offset_samples_count_at_the_rate_of_the_file(make):
    folder = make.folder(settings={"tracks": {"a_kick.wav": {"offset_samples": 107}}})
    assert song_files(folder).tracks[0].read_offset(30000, 44100) == 73


def test_files_that_are_no_audio_are_left_out_with_a_warning(make):
    folder = make.folder()
    (folder / "tracks" / "notes.txt").write_text("x")
    (folder / "tracks" / "._a_kick.wav").write_text("what macOS leaves behind")
    files = song_files(folder)
    assert files.warnings == (SongWarning("not_audio", "tracks/notes.txt: left out, since it is no audio file"),)
    assert [track.name for track in files.tracks] == ["a_kick", "b_bass"]


def test_descriptions_of_other_programs_are_allowed(make):
    settings = {"window_seconds": [155, 12], "mix": "by hand", "how": "x", "notes": "y", "source": None}
    assert len(song_files(make.folder(settings=settings)).tracks) == 2
    (make.root / "song" / "song.yaml").write_text("")
    assert len(song_files(make.root / "song").tracks) == 2
    (make.root / "song" / "song.yaml").write_text("title: ''\nartist: ''\nlicence: ''")
    files = song_files(make.root / "song")
    assert (files.title, files.artist, files.licence) == ("song", None, "not stated")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"licens": "x"}, "unknown key licens; allowed are title, artist, licence.*did you mean licence"),
        ({"title": [3]}, r"song.yaml: title: text expected, got \['3'\]"),
        ({"window_seconds": "all"}, "window_seconds: .* got 'all'"),
        ({"subgroups": ["a"]}, r"subgroups: \{name: \[file names\]\} expected, got \['a'\]"),
        ({"subgroups": {"a": "b_bass.wav"}}, "subgroups: .* expected, got"),
        ({"tracks": {"a_kick.wav": -1}}, "tracks: .* expected, got"),
        ({"tracks": {"kick.wav": {}}}, "kick.wav matches no file; the files are a_kick.wav.*mean a_kick.wav"),
        ({"tracks": {"a_kick.wav": {"offset": 1}}}, "unknown key offset; allowed are name, offset_samples"),
        ({"tracks": {"a_kick.wav": {"offset_samples": 1, "offset_seconds": 1}}}, "expected, got both"),
        (
            {"tracks": {"a_kick.wav": {"offset_samples": 1.5}}},
            "offset_samples: a whole number up to 1e\\+12 expected, got '1.5'",
        ),
        ({"tracks": {"a_kick.wav": {"offset_samples": 10**13}}}, "offset_samples: a whole number up to 1e\\+12"),
        ({"tracks": {"a_kick.wav": {"offset_seconds": "one"}}}, "offset_seconds: a number up to .* got 'one'"),
        ({"tracks": {"a_kick.wav": {"offset_seconds": float("nan")}}}, "offset_seconds: a number up to .* got '.nan'"),
        ({"tracks": {"a_kick.wav": {"polarity": 0}}}, "polarity: 1 or -1 expected, got '0'"),
        ({"tracks": {"a_kick.wav": {"name": ""}}}, "name: text expected, got ''"),
        ({"tracks": {"a_kick.wav": {"name": "b_bass"}}}, "track b_bass: one file expected, got a_kick.wav, b_bass"),
        ({"subgroups": {"a": ["a_kick.wav"]}}, "track b_bass.wav: one subgroup expected, got none"),
        ({"subgroups": {"a": ["a_kick.wav", "b_bass.wav"], "b": ["b_bass.wav"]}}, "got 2: a, b"),
        ({"subgroups": {"a": [*GROUPS["rhythm"], "kick.wav"]}}, "kick.wav matches no track; the tracks are"),
        ({"subgroups": {**GROUPS, "empty": []}}, "subgroup empty: at least one track expected, got none"),
    ],
)
def test_what_can_be_wrong_in_song_yaml(make, settings, message):
    with pytest.raises(ValueError, match=f"song: 1 problem\n.*{message}"):
        song_files(make.folder(settings=settings))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", r"song.yaml: a mapping with keys title, .* expected, got \['a'\]"),
        ("title: [", "song.yaml: readable YAML expected"),
        ("title: a\ntitle: b", "key 'title': given once expected, got it again"),
        ("subgroups: {a: [a_kick.wav], a: [b_bass.wav]}", "key 'a': given once expected, got it again"),
    ],
)
def test_song_yaml_that_is_no_mapping(make, text, message):
    folder = make.folder()
    (folder / "song.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        song_files(folder)


def test_the_mix_must_be_one_file(make):
    folder = make.folder()
    make.save(folder / "Mix.flac", make.noise(10), subtype="PCM_16")
    with pytest.raises(ValueError, match=r"mix\.\*: one file .* expected, got Mix\.flac, mix\.wav"):
        song_files(folder)


def test_tracks_must_be_there(make):
    folder = make.folder(tracks=1)
    (folder / "tracks" / "a_kick.wav").rename(folder / "tracks" / "a_kick.mid")
    with pytest.raises(ValueError, match=r"tracks: files with suffix \.wav, .* expected, got a_kick\.mid"):
        song_files(folder)
    (folder / "tracks" / "a_kick.mid").unlink()
    with pytest.raises(ValueError, match="expected, got an empty folder"):
        song_files(folder)
    (folder / "tracks").rmdir()
    with pytest.raises(ValueError, match="tracks: a folder with the dry tracks expected, got none"):
        song_files(folder, layout="folder")


def test_all_problems_are_reported_at_once(make):
    folder = make.folder(settings={"titel": "x", "subgroups": {"a": ["nothing.wav"]}}, tracks=3)
    (folder / "mix.wav").unlink()
    (folder / "tracks" / "a_kick.wav").write_bytes(b"broken")
    make.save(folder / "tracks" / "b_bass.wav", np.array([0.1, np.nan, 0.2]))
    with pytest.raises(ValueError, match="song: 8 problems") as caught:
        load_song(folder, make.rate)
    lines = str(caught.value).splitlines()[1:]
    for expected in (
        "unknown key titel",
        "mix.*: one file",
        "nothing.wav matches no track",
        "track a_kick.wav: one subgroup expected, got none",
        "track b_bass.wav: one subgroup expected, got none",
        "track c_vox.wav: one subgroup expected, got none",
        "a_kick.wav: cannot be read as audio",
        "b_bass.wav: finite samples expected, up to 1000 (+60 dBFS), got nan on channel 1 at 0.000 s (sample 1). HINT",
    ):
        assert sum(expected in line for line in lines) == 1, expected


def test_all_broken_tracks_of_a_sound_manifest_are_reported(make):
    folder = make.folder(tracks=3)
    (folder / "tracks" / "a_kick.wav").write_bytes(b"broken")
    make.save(folder / "tracks" / "c_vox.wav", np.array([0.1, 0.2, np.inf]))
    with pytest.raises(ValueError, match=r"2 problems\n.*a_kick.wav: cannot be read(.|\n)*got inf on .* \(sample 2\)"):
        load_song(folder, make.rate)


def test_a_mix_with_nan_is_refused(make):
    folder = make.folder()
    make.save(folder / "mix.wav", np.array([np.nan, 0.2]))
    with pytest.raises(ValueError, match=r"mix\.wav: finite samples expected"):
        load_song(folder, make.rate)


@pytest.mark.parametrize(
    ("there", "hint"),
    [
        ("Final Mix.flac", r"got none\. HINT: is Final Mix\.flac the mix\? Rename it to mix\.flac"),
        ("mix.m4a", r"got none\. HINT: mix\.m4a is of a format that cannot be read; convert it to mix\.wav"),
        ("notes.txt", "got none$"),
    ],
)
def test_a_mix_under_another_name_is_pointed_at(make, there, hint):
    folder = make.folder()
    (folder / "mix.wav").rename(folder / f"{there}.wav")
    soundfile.write(folder / "x.flac", make.noise(100), make.rate)
    (folder / "x.flac").rename(folder / there)
    (folder / f"{there}.wav").unlink()
    with pytest.raises(ValueError, match=hint):
        song_files(folder)


def test_loose_files_are_told_where_to_go(make):
    folder = make.folder()
    (folder / "tracks").rename(folder / "stems")
    (folder / "song.yaml").unlink(missing_ok=True)
    with pytest.raises(
        ValueError, match=r"the mark of a layout expected .* HINT: put the dry tracks into a folder tracks"
    ):
        song_files(folder)


def test_folders_of_other_names_are_told_how_to_name_them(tmp_path):
    (tmp_path / "Dry").mkdir()
    (tmp_path / "Mixdown").mkdir()
    with pytest.raises(ValueError, match=r"got Dry, Mixdown\. HINT: .* --mix FILE --tracks FOLDER"):
        song_files(tmp_path)


@pytest.mark.parametrize(("name", "song"), [("Dry", "My Song"), ("tracks", "My Song"), ("Night Drive", "Night Drive")])
def test_a_song_of_two_places_is_named_after_the_folder_that_says_more(tmp_path, name, song):
    folder = tmp_path / "My Song" / name
    folder.mkdir(parents=True)
    soundfile.write(folder / "a.wav", [0.1, 0.2], 8000)
    soundfile.write(tmp_path / "mix.wav", [0.1, 0.2], 8000)
    assert read_tracks_and_mix(folder, tmp_path / "mix.wav", Problems(folder)).name == song


def test_names_of_songs_lose_their_accents_only():
    assert slug("Mein Süßes Lied (v2)") == "Mein_Susses_Lied_v2"
    assert slug("Köln – 1.wav") == "Koln_1_wav"
    lost = ["名前", "歌", "Привет 1", "Пока 1", "~"]
    assert len({slug(name) for name in lost}) == len(lost)  # names of other scripts stay apart
    assert slug("Привет 1") == "1_5658e0" == slug(slug("Привет 1"))


def test_texts_of_song_yaml_are_what_was_written(make):
    folder = make.folder()
    (folder / "song.yaml").write_text(
        "title: 1999\nartist: Yes\nlicence: 2001-12-14\nwindow_seconds: [1e-3, 12]\n"
        "subgroups: {no: [a_kick.wav], 1e3: [b_bass.wav]}\n"
        "tracks: {a_kick.wav: {name: on, offset_seconds: 1e-3, polarity: -1}, b_bass.wav: {name: 0x10}}"
    )
    files = song_files(folder)
    assert (files.title, files.artist, files.licence) == ("1999", "Yes", "2001-12-14")
    assert {group: [track.name for track in members] for group, members in files.subgroups.items()} == {
        "no": ["on"],
        "1e3": ["0x10"],
    }
    assert (files.tracks[0].offset_seconds, files.tracks[0].polarity) == (0.001, -1)


@pytest.mark.parametrize(("on_disk", "in_yaml"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_names_meet_whatever_their_unicode_form(make, on_disk, in_yaml):
    folder = make.folder(tracks=1)
    disk, stated = (unicodedata.normalize(form, "Ångström é.wav") for form in (on_disk, in_yaml))
    (folder / "tracks" / "a_kick.wav").rename(folder / "tracks" / disk)
    settings = {"subgroups": {"g": [stated]}, "tracks": {stated: {"polarity": -1}}}
    (folder / "song.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True))
    (track,) = song_files(folder).tracks
    assert (track.name, track.polarity, track.path.name) == ("Ångström é", -1, disk)


def test_two_files_whose_names_read_the_same_are_refused(make):
    folder = make.folder(tracks=1)
    for form in ("NFC", "NFD"):
        make.save(folder / "tracks" / unicodedata.normalize(form, "é.wav"), make.noise(10))
    with pytest.raises(
        ValueError, match=r"é\.wav: one file expected, got 'e\\u0301\.wav' and '\\xe9\.wav', which read"
    ):
        song_files(folder)


def test_names_are_text_and_no_commands(make):
    folder = make.folder(tracks=1)
    (folder / "tracks" / "a_kick.wav").rename(folder / "tracks" / "\x1b[31mkick\n\u202e.wav")
    (folder / "tracks" / "notes\x07.txt").write_text("x")
    (folder / "song.yaml").write_text('title: "T\\e[2J"\nartist: "A\\x9b"')
    files = song_files(folder, subgrouping="one_per_track")
    assert files.tracks[0].name == r"\x1b[31mkick\n\u202e"
    assert list(files.subgroups) == [r"\x1b[31mkick\n\u202e"]
    assert (files.title, files.artist) == (r"T\x1b[2J", r"A\x9b")
    assert files.warnings == (SongWarning("not_audio", r"tracks/notes\x07.txt: left out, since it is no audio file"),)
    (folder / "song.yaml").write_text('"k\\e": 1')
    with pytest.raises(ValueError, match=r"unknown key k\\x1b; allowed"):
        song_files(folder)


def test_a_file_name_that_is_no_text_is_refused(make):
    folder = make.folder(tracks=1)
    (folder / "tracks" / "a_kick.wav").rename(folder / "tracks" / os.fsdecode(b"caf\xe9.wav"))
    with pytest.raises(ValueError, match=r"caf\\udce9\.wav: a file name in UTF-8 expected, got other bytes"):
        song_files(folder)


@pytest.mark.parametrize("subgrouping", ["one_per_track", "rule"])
@pytest.mark.parametrize(
    ("subgroups", "warning"),
    [
        ({"a": ["a_kick.wav", "b_bass.wav"], "b": ["b_bass.wav"]}, "track b_bass.wav: one subgroup expected, got 2"),
        ({"a": ["b_bass.wav"]}, "track a_kick.wav: one subgroup expected, got none"),
        ({"a": ["b_bass.wav", "a_kick.wav", "x.wav"]}, "subgroup a: x.wav matches no track"),
        (["a"], "song.yaml: subgroups: {name: [file names]} expected, got ['a']"),
    ],
)
def test_a_wrong_grouping_that_is_not_used_is_a_warning(make, subgrouping, subgroups, warning):
    folder = make.folder(settings={"subgroups": subgroups})
    files = song_files(folder, subgrouping=subgrouping)
    assert {track.name for track in files.tracks} == {"a_kick", "b_bass"}
    assert len(files.warnings) == 1
    assert files.warnings[0].code == "unused_subgroups"
    assert files.warnings[0].text.startswith(warning)
    assert files.warnings[0].text.endswith("(the subgroups are not used)")


def test_problems_are_said_up_to_a_hundred(make):
    folder = make.folder(settings={f"key {n}": 1 for n in range(300)})
    with pytest.raises(ValueError, match="song: 100 or more problems") as caught:
        song_files(folder)
    assert len(str(caught.value).splitlines()) == 101


def test_a_song_yaml_that_is_no_file_is_named(make):
    song = make.folder(tracks=3)
    (song / "song.yaml").unlink(missing_ok=True)
    (song / "song.yaml").mkdir()
    with pytest.raises(ValueError, match=r"song\.yaml: a file expected, got a folder"):
        song_files(song)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"title": "x" * 100_000},
            r"title: at most 1000 characters expected, got 100000 \(xxxxxxxxxxxxxxxxxxxx\.\.\.\)",
        ),
        ({"artist": "a" * 1001}, r"artist: at most 1000 characters expected, got 1001"),
        ({"tracks": {"a_kick.wav": {"name": "n" * 256}}}, r"name of a track or subgroup: at most 255 .* got 256"),
    ],
)
def test_texts_that_no_result_could_hold_are_refused(make, settings, message):
    with pytest.raises(ValueError, match=message):
        song_files(make.folder(settings=settings))


def test_the_longest_title_is_kept(make):
    assert song_files(make.folder(settings={"title": "x" * 1000})).title == "x" * 1000
