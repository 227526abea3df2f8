"""The layouts: what each finds, how they are told apart, and the songs of a data set."""

import json
import pickle
import shutil

import numpy as np
import pytest

from mixgraph.songs import LAYOUTS, SongWarning, detect_layout, find_songs, load_song, song_files
from mixgraph.songs.medleydb import DEFAULT_SKIP
from mixgraph.songs.mixing_secrets import DEFAULT_SKIP as SKIPPED_SECRETS
from mixgraph.songs.track_files import TrackOrigin, list_tracks, match_tracks


def _members(files):
    return {group: [track.path.name for track in members] for group, members in files.subgroups.items()}


def test_every_layout_is_detected(make):
    makers = {
        "folder": make.folder(),
        "medleydb": make.medleydb(),
        "mixing_secrets": make.mixing_secrets(),
        "musdb": make.musdb(),
    }
    assert makers.keys() == LAYOUTS.keys()
    for layout, folder in makers.items():
        assert detect_layout(folder) == layout
        assert song_files(folder).layout == layout
        assert load_song(folder, make.rate).sources.abs().sum((1, 2)).min() > 0


def test_no_layout_fits(tmp_path):
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"mark of a layout expected \(folder: tracks/.*got readme\.txt"):
        detect_layout(tmp_path)


def test_two_layouts_fit(make):
    folder = make.folder()
    make.save(folder / "mixture.wav", make.noise(10))
    with pytest.raises(ValueError, match="one layout expected, got folder, musdb"):
        detect_layout(folder)
    assert song_files(folder, layout="folder").layout == "folder"


def test_no_folder(tmp_path):
    (tmp_path / "absence").mkdir()
    with pytest.raises(FileNotFoundError, match=r"absent: folder expected, got none\. HINT: did you mean absence\?"):
        detect_layout(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    for function in (load_song, song_files, find_songs):
        with pytest.raises(FileNotFoundError, match="file: folder expected, got a file"):
            function(tmp_path / "file")


def test_unknown_layout(make):
    for function in (load_song, song_files, find_songs):
        with pytest.raises(ValueError, match=r"layout: auto or one of folder, medleydb.* got 'medley'"):
            function(make.folder(), layout="medley")


def test_medleydb_groups_raw_recordings_by_stem(make):
    files = song_files(make.medleydb())
    assert _members(files) == {
        "S01_drum_set": ["Artist_Song_RAW_01_01.wav", "Artist_Song_RAW_01_02.wav"],
        "S02_electric_bass": ["Artist_Song_RAW_02_01.wav"],
    }
    assert [track.name for track in files.tracks] == [
        "S01_R01_kick_drum",
        "S01_R02_snare_hat",
        "S02_R01_electric_bass",
    ]
    assert (files.title, files.artist, files.mix.name) == ("Artist - Song", "Artist", "Artist_Song_MIX.wav")
    assert files.licence == "CC BY-NC-SA 4.0 (MedleyDB)"


def test_medleydb_reports_what_its_metadata_leaves_out(make):
    folder = make.medleydb()
    make.save(folder / "Artist_Song_RAW" / "extra.wav", make.noise(10))
    assert song_files(folder).warnings == (
        SongWarning("not_listed", "Artist_Song_RAW/extra.wav: left out, since the metadata does not name it"),
    )


def test_medleydb_problems(make, edit_yaml):
    folder = make.medleydb()
    (folder / "Artist_Song_RAW" / "Artist_Song_RAW_01_01.wav").unlink()
    metadata = folder / "Artist_Song_METADATA.yaml"
    edit_yaml(metadata, lambda content: content["stems"]["S02"].pop("raw"))
    edit_yaml(metadata, lambda content: content.update(mix_filename="../Artist_Song_MIX.wav"))
    with pytest.raises(ValueError, match="3 problems") as caught:
        song_files(folder)
    message = str(caught.value)
    assert "metadata: a plain file name expected, got '../Artist_Song_MIX.wav'" in message
    assert "stem S01: R01: a file of the raw folder expected, got 'Artist_Song_RAW_01_01.wav'" in message
    assert "stem S02: raw recordings expected, got none. HINT: put the song on the skip list" in message

    edit_yaml(metadata, lambda content: content.pop("stems"))
    with pytest.raises(ValueError, match="a mapping with stems expected, got dict without"):
        song_files(folder)
    metadata.write_text("stems: [")
    with pytest.raises(ValueError, match=r"METADATA\.yaml: readable YAML expected"):
        song_files(folder)
    shutil.copy(metadata, folder / "Other_METADATA.yaml")
    with pytest.raises(ValueError, match=r"\*_METADATA\.yaml: one file expected, got Artist_Song.*, Other"):
        song_files(folder)


def test_medleydb_without_raw_folder(make):
    folder = make.medleydb()
    shutil.rmtree(folder / "Artist_Song_RAW")
    with pytest.raises(ValueError, match="Artist_Song_RAW: expected in the song's folder, got none"):
        song_files(folder)


@pytest.mark.parametrize("form", ["json", "pickle"])
def test_mixing_secrets_reads_the_dry_tracks_later_by_the_offset(make, form):
    folder = make.mixing_secrets(offset=0.25)
    if form == "pickle":
        (folder / "alignment.json").unlink()
        alignment = {"mix.wav": np.float64(1.5), "rough_mix.wav": np.float64(1.25), "rankings": {"a": [1, 2]}}
        (folder / "alignment.pickle").write_bytes(pickle.dumps(alignment))
    song = load_song(folder, make.rate, loudness_lufs=None)
    assert song.subgroups == {"Drum": ("01_Kick",), "LV": ("02_Vox",)}
    for row, source in enumerate(song.sources):
        dry = make.noise(make.rate + 2000, 1, row).astype(np.float32)[:, 0]
        assert np.array_equal(source[0].numpy(), dry[2000:])
        assert np.array_equal(source[1].numpy(), dry[2000:])


def test_mixing_secrets_with_a_negative_offset_starts_with_zeros(make):
    folder = make.mixing_secrets(offset=-0.25)
    song = load_song(folder, make.rate, loudness_lufs=None)
    assert not song.sources[:, :, :2000].any()
    dry = make.noise(make.rate + 2000, 1, 0).astype(np.float32)[:, 0]
    assert np.array_equal(song.sources[0, 0, 2000:].numpy(), dry[:6000])


def test_mixing_secrets_offset_is_rounded_at_the_rate_asked_for(make):
    files = song_files(make.mixing_secrets(offset=0.1))
    assert [track.read_offset(30000, 44100) for track in files.tracks] == [3000, 3000]
    assert files.tracks[0].read_offset(16003, 44100) == 1600


@pytest.mark.parametrize("offset", [807.8, -1.0])
def test_mixing_secrets_refuses_an_offset_beyond_the_song(make, offset):
    folder = make.mixing_secrets()
    (folder / "alignment.json").write_text(json.dumps({"mix.wav": offset, "rough_mix.wav": 0}))
    with pytest.raises(ValueError, match=f"offset of the tracks: within the tracks' own length expected, got {offset}"):
        load_song(folder, make.rate)
    if offset > 60:
        assert song_files(folder).warnings == (
            SongWarning("unusual_offset", "the alignment reads the dry tracks at +807.8 s, which is unusually far"),
        )


def test_mixing_secrets_leaves_out_what_is_not_listed(make):
    folder = make.mixing_secrets()
    make.save(folder / "Dry_Tracks" / "03_Unused.wav", make.noise(10))
    (folder / "Notes").mkdir()
    files = song_files(folder)
    assert _members(files) == {"Drum": ["01_Kick.wav"], "LV": ["02_Vox.wav"]}
    assert files.warnings == (
        SongWarning("not_listed", "Dry_Tracks/03_Unused.wav: left out, since correspondence.yaml does not name it"),
    )


def test_mixing_secrets_refuses_two_dry_folders(make):
    folder = make.mixing_secrets()
    shutil.copytree(folder / "Dry_Tracks", folder / "Another")
    with pytest.raises(ValueError, match=r"one sub-folder with the files .* got Another, Dry_Tracks"):
        song_files(folder)
    for name in ("01_Kick.wav", "02_Vox.wav"):
        (folder / "Another" / name).rename(folder / "Another" / f"x{name}")
    assert song_files(folder).tracks[0].path.parent.name == "Dry_Tracks"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("correspondence.yaml", "[]", r"correspondence.yaml: \{subgroup: \[file names\]\} expected, got \[\]"),
        ("correspondence.yaml", "a: [", "correspondence.yaml: readable YAML expected"),
        ("correspondence.yaml", "a: [01_Kick.wav, 2_Vox.wav]", "2_Vox.wav matches no track; the tracks are 01_Kick"),
        ("alignment.json", '{"mix.wav": 1.0}', r"alignment.json: finite seconds .* at mix.wav and rough_mix.wav"),
        ("alignment.json", '{"mix.wav": NaN, "rough_mix.wav": 0}', "finite seconds"),
        ("alignment.json", "{", "alignment.json: readable JSON expected, got Expecting property name"),
        ("alignment.json", None, "alignment.json or alignment.pickle: one expected, got none"),
        ("mix.wav", None, r"mix\.\*: one file with suffix .* expected, got none"),
        ("Dry_Tracks", None, "dry tracks: one sub-folder with the files of correspondence.yaml expected, got none"),
    ],
)
def test_mixing_secrets_problems(make, file, content, message):
    folder = make.mixing_secrets()
    if (folder / file).is_dir():
        shutil.rmtree(folder / file)
    elif content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(ValueError, match=message):
        song_files(folder, layout="mixing_secrets")


def test_mixing_secrets_without_correspondence(make):
    folder = make.mixing_secrets()
    (folder / "correspondence.yaml").unlink()
    with pytest.raises(ValueError, match=r"correspondence\.yaml: expected, got none"):
        song_files(folder, layout="mixing_secrets")


def test_musdb_gives_each_stem_a_subgroup(make):
    files = song_files(make.musdb(stems=("vocals", "synth", "other", "bass", "drums")))
    assert list(files.subgroups) == ["drums", "bass", "other", "vocals", "synth"]
    assert files.name == "Artist_-_Song"
    assert files.mix.name == "mixture.wav"


@pytest.mark.parametrize("stem", ["E\u0301", "\u00c9"])
def test_musdb_stems_are_read_in_any_unicode_form(make, stem):
    files = song_files(make.musdb(stems=(stem, "drums")))
    assert {group: track.name for group, (track,) in files.subgroups.items()} == {"drums": "drums", "É": "É"}


def test_musdb_names_the_artist_in_the_folder(make):
    assert song_files(make.musdb("A Band - A Song")).artist == "A Band"
    assert song_files(make.musdb("Untitled")).artist is None


def test_musdb_without_stems(make):
    with pytest.raises(ValueError, match="stems: audio files such as drums, bass, other, vocals"):
        song_files(make.musdb(stems=()))


def test_songs_of_a_data_set_are_sorted_and_nested(make):
    for name in ("train/b", "train/a", "test/c", ".hidden/d"):
        make.musdb(name)
    paths = find_songs(make.root)
    assert [path.relative_to(make.root.resolve()).as_posix() for path in paths] == ["test/c", "train/a", "train/b"]
    assert find_songs(make.root / "train" / "a") == [(make.root / "train" / "a").resolve()]
    assert find_songs(make.root, layout="musdb", skip=["a", "test"]) == [(make.root / "train" / "b").resolve()]


def test_skip_lists(make):
    for name in ("Artist_Song", DEFAULT_SKIP[0]):
        make.medleydb(name)
    assert len(DEFAULT_SKIP) == 8
    assert [path.name for path in find_songs(make.root)] == ["Artist_Song"]
    assert [path.name for path in find_songs(make.root, skip=[])] == [DEFAULT_SKIP[0], "Artist_Song"]
    assert [path.name for path in find_songs(make.root, skip=["Artist_Song"])] == [DEFAULT_SKIP[0]]
    with pytest.raises(ValueError, match="skip: a list of folder names expected, got the text 'Artist_Song'"):
        find_songs(make.root, skip="Artist_Song")


def test_mixing_secrets_has_the_published_skip_list():
    assert len(set(SKIPPED_SECRETS)) == 32
    assert LAYOUTS["mixing_secrets"].default_skip == SKIPPED_SECRETS


def test_a_broken_song_does_not_vanish_from_a_data_set(make):
    make.folder("good")
    make.save(make.root / "broken" / "mix.wav", make.noise(10))
    with pytest.raises(ValueError, match=r"broken: holds audio, but no mark of a layout .* skip list"):
        find_songs(make.root)
    assert [path.name for path in find_songs(make.root, skip=["broken"])] == ["good"]


def test_two_songs_of_one_name(make):
    make.folder("x/song one")
    make.folder("y/song.one")
    with pytest.raises(ValueError, match=r"song song_one: one folder expected, got x/song one, y/song\.one"):
        find_songs(make.root)


def test_a_data_set_without_songs(tmp_path):
    with pytest.raises(ValueError, match="at least one song of layout 'auto' expected, got none"):
        find_songs(tmp_path)


def test_medleydb_uses_a_recording_of_two_stems_once(make, edit_yaml):
    folder = make.medleydb()
    shared = {"filename": "Artist_Song_RAW_01_02.wav", "instrument": "room"}
    more = {"S03": {"instrument": "room", "raw": {"R01": shared}}}
    edit_yaml(folder / "Artist_Song_METADATA.yaml", lambda content: content["stems"].update(more))
    files = song_files(folder)
    assert _members(files) == {
        "S01_drum_set": ["Artist_Song_RAW_01_01.wav", "Artist_Song_RAW_01_02.wav"],
        "S02_electric_bass": ["Artist_Song_RAW_02_01.wav"],
    }
    assert [(warning.code, warning.text) for warning in files.warnings] == [
        (
            "several_subgroups",
            "Artist_Song_RAW_01_02.wav: belongs to S01_drum_set and S03_room; it is used once, in S01_drum_set",
        ),
        ("empty_subgroup", "subgroup S03_room: left out, since it has no tracks of its own"),
    ]
    assert [track.name for track in song_files(folder, subgrouping="one_per_track").tracks] == [
        "S01_R01_kick_drum",
        "S01_R02_snare_hat",
        "S02_R01_electric_bass",
    ]


def test_mixing_secrets_uses_a_track_of_two_groups_once(make):
    folder = make.mixing_secrets()
    (folder / "correspondence.yaml").write_text(
        "Drum: [01_Kick.wav, 01_Kick.wav]\nAll: [01_Kick.wav, 02_Vox.wav]\nX: []"
    )
    files = song_files(folder)
    assert _members(files) == {"Drum": ["01_Kick.wav"], "All": ["02_Vox.wav"]}
    assert [(warning.code, warning.text) for warning in files.warnings] == [
        ("several_subgroups", "01_Kick.wav: belongs to Drum and All; it is used once, in Drum"),
        ("empty_subgroup", "subgroup X: left out, since it has no tracks of its own"),
    ]


def test_mixing_secrets_reads_names_and_texts_as_they_are(make):
    folder = make.mixing_secrets()
    (folder / "Dry_Tracks" / "02_Vox.wav").rename(folder / "Dry_Tracks" / "e\u0301.wav")
    (folder / "correspondence.yaml").write_text("\ufeffno: [01_Kick.wav]\n1999: [\u00e9.wav]", encoding="utf-8")
    (folder / "alignment.json").write_text('\ufeff{"mix.wav": 0.5, "rough_mix.wav": 0.25}', encoding="utf-8")
    files = song_files(folder)
    assert [(group, track.name, track.offset_seconds) for group, (track,) in files.subgroups.items()] == [
        ("no", "01_Kick", 0.25),
        ("1999", "é", 0.25),
    ]


def test_medleydb_takes_texts_as_they_are(make, edit_yaml):
    folder = make.medleydb("Künstler_1999")
    metadata = folder / "Künstler_1999_METADATA.yaml"
    text = metadata.read_text().replace("artist: Artist", "artist: Yes").replace("title: Song", "title: 1999")
    metadata.rename(folder / "Ku\u0308nstler_1999_METADATA.yaml").write_text("\ufeff" + text, encoding="utf-8")
    files = song_files(folder)
    assert (files.artist, files.title, len(files.tracks)) == ("Yes", "Yes - 1999", 3)


@pytest.mark.parametrize("name", ["..", ".", "", "/", "../Artist_Song", "Artist_Song_RAW/", "a\0b", "*absolute*", 7])
@pytest.mark.parametrize("key", ["raw_dir", "mix_filename"])
def test_medleydb_names_do_not_lead_out_of_the_song(make, edit_yaml, key, name):
    folder = make.medleydb()
    raw_name = str(folder / "Artist_Song_RAW") if name == "*absolute*" else name
    edit_yaml(folder / "Artist_Song_METADATA.yaml", lambda content: content.update({key: raw_name}))
    with pytest.raises(ValueError, match=r"metadata: a plain file name expected, got|7: expected in the song's folder"):
        song_files(folder)


@pytest.mark.parametrize(
    "link", ["Artist_Song_RAW", "Artist_Song_MIX.wav", "Artist_Song_RAW/Artist_Song_RAW_01_01.wav"]
)
def test_medleydb_links_do_not_lead_out_of_the_song(make, link):
    folder = make.medleydb()
    outside = (folder / link).rename(make.root / "outside")
    (folder / link).symlink_to(outside)
    with pytest.raises(ValueError, match="a file of the song's folder expected, got a link out of it"):
        song_files(folder)
    linked = make.root / "a link to the song"
    (folder / link).unlink()
    outside.rename(folder / link)
    linked.symlink_to(folder)
    assert len(song_files(linked).tracks) == 3


def test_tracks_of_every_layout_are_found_again_for_rendering(make):
    """By name in the song's folder; by content, or by file name once converted, in the folder of the files alone."""
    folders = [
        (make.medleydb(), "Artist_Song_RAW"),
        (make.mixing_secrets(offset=0.25), "Dry_Tracks"),
        (make.musdb(), "."),
        (
            make.folder(settings={"tracks": {"a_kick.wav": {"name": "kick"}}}),
            "tracks",
        ),
    ]
    for folder, below in folders:
        song = load_song(folder, make.rate)
        files = list(song.file_hashes.items())[1:]
        origins = {name: TrackOrigin(*file) for name, file in zip(song.tracks, files, strict=True)}
        paths = [folder / name for name, _ in files]
        for tracks, known in ((folder, {}), (folder, origins), (folder / below, origins)):
            matches = match_tracks(song.tracks, known, list_tracks(tracks), tracks)
            assert [match.file.path for match in matches] == paths
            assert all(match.is_original for match in matches) == bool(known)
            assert {match.how for match in matches} <= {"content", "track name"}
