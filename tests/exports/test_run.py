"""The frame of all exports: what is refused, what may be replaced, and that nothing half-written is left."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import pytest
import soundfile

from mixgraph.cli.commands import run
from mixgraph.cli.export import FORMAT_NAMES
from mixgraph.exports.formats import FORMATS, ExportFormat
from mixgraph.exports.report import REPORT
from mixgraph.exports.run import export_format, export_result
from mixgraph.exports.settings import ExportSettings


@pytest.fixture
def single_file():
    """A format that is a single file, and writes the mix and a name that is no file's."""

    class SingleFile(ExportFormat):
        name = "single"
        summary = "a test"
        suffix = ".single"

        def write(self, source, folder, report, progress):
            (folder / "project.single").write_bytes(source.mix.numpy().tobytes())
            report.left_out("track kick: reverb", "no reverbs here")

    FORMATS.register(SingleFile)
    yield SingleFile
    del FORMATS._classes["single"]


def test_an_unknown_format_is_refused_with_those_that_there_are(plain_result, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"export format: one of .*sheet.*, got 'shet'\. HINT: did you mean sheet"):
        export_result(plain_result, "shet", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_help_names_all_formats(capsys) -> None:
    export_format("sheet")
    assert set(FORMAT_NAMES) == set(FORMATS.registered())
    with pytest.raises(SystemExit):
        run(["export", "--help"])
    text = capsys.readouterr().out
    assert ", ".join(FORMAT_NAMES) in " ".join(text.split())
    assert all(f"  {name:<11} {line}\n" in text for name, line in FORMAT_NAMES.items())


def test_the_command_exports_and_says_where(plain_result, tmp_path, capsys) -> None:
    assert run(["export", str(plain_result), "--to", "sheet", "--out", str(tmp_path / "new" / "sheet")]) == 0
    out = tmp_path / "new" / "sheet"
    assert f"{out}: written; {out / REPORT}: what it holds" in capsys.readouterr().out
    text = (out / REPORT).read_text()
    assert text.startswith("mixgraph export: sheet\nSong: tiny\n")
    listed = [line.strip() for line in text.partition("\nFiles:\n")[2].splitlines()]
    assert listed == sorted(path.name for path in out.iterdir() if path.name != REPORT)


def test_an_earlier_export_is_replaced_only_when_asked_and_only_where_nothing_was_added(plain_result, tmp_path) -> None:
    out = tmp_path / "sheet"
    export_result(plain_result, "sheet", out)
    with pytest.raises(FileExistsError, match="exists and is kept; choose another name or give --overwrite"):
        export_result(plain_result, "sheet", out)
    export_result(plain_result, "sheet", out, overwrite=True)
    (out / "my session.txt").write_text("hours of work")
    with pytest.raises(FileExistsError, match=r"is no export \(it holds my session.txt\)"):
        export_result(plain_result, "sheet", out, overwrite=True)
    assert (out / "my session.txt").read_text() == "hours of work"


def test_no_folder_of_somebody_else_and_no_result_is_replaced(plain_result, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "song.wav").write_text("x")
    with pytest.raises(FileExistsError, match=r"is no export \(it holds song.wav\)"):
        export_result(plain_result, "sheet", tmp_path / "mine", overwrite=True)
    with pytest.raises((FileExistsError, ValueError), match=r"is no export|holds the result"):
        export_result(plain_result, "sheet", plain_result, overwrite=True)


def test_an_export_is_written_neither_into_the_result_nor_among_the_tracks(plain_result, tiny_song, single_file):
    with pytest.raises(ValueError, match="would be in the folder of the result, which others read"):
        export_result(plain_result, "sheet", plain_result / "sheet")
    for name, out in (("single", "song.single"), ("impulses", "responses")):
        with pytest.raises(ValueError, match=rf"{out} would be among the tracks, in .*; choose another place"):
            export_result(plain_result, name, tiny_song / "tracks" / out, tiny_song)
    assert not (plain_result / "sheet").exists()
    assert not [path for path in (tiny_song / "tracks").iterdir() if path.suffix != ".wav"]


def test_a_single_file_has_its_report_beside_it(plain_result, tiny_song, tmp_path, single_file) -> None:
    out = tmp_path / "new" / "song.single"
    exported = export_result(plain_result, "single", out, tiny_song)
    assert sorted(path.name for path in out.parent.iterdir()) == [f"song.{REPORT}", "song.single"]
    assert "track kick: reverb: no reverbs here" in exported.report.read_text()
    with pytest.raises(FileExistsError, match="exists and is kept"):
        export_result(plain_result, "single", out, tiny_song)
    export_result(plain_result, "single", out, tiny_song, overwrite=True)
    with pytest.raises(ValueError, match=r"a file whose name ends in \.single is needed, got '.*out'"):
        export_result(plain_result, "single", tmp_path / "out", tiny_song)


def test_tracks_are_those_of_the_search_unless_others_are_allowed(plain_result, tiny_song, tmp_path, single_file):
    song = shutil.copytree(tiny_song, tmp_path / "song")
    audio, rate = soundfile.read(song / "tracks" / "hat.wav")
    soundfile.write(song / "tracks" / "hat.wav", 0.9 * audio, rate, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"has others for hat \(hat\.wav\)\. HINT: --changed-tracks allow"):
        export_result(plain_result, "single", tmp_path / "a.single", song)
    exported = export_result(plain_result, "single", tmp_path / "a.single", song, ExportSettings(allow_changed=True))
    assert "Not the files of the search, as allowed: hat (hat.wav)." in exported.lines
    (song / "tracks" / "hat.wav").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks hat \(any audio format\)"):
        export_result(plain_result, "single", tmp_path / "b.single", song)


def test_without_tracks_and_settings_the_message_says_what_to_give(plain_result, tmp_path, single_file) -> None:
    with pytest.raises(ValueError, match=r"does not say where they are .*give --tracks DIR"):
        export_result(plain_result, "single", tmp_path / "a.single")


def test_a_result_with_missing_parts_is_refused_by_their_name(plain_result, tmp_path) -> None:
    copy = shutil.copytree(plain_result, tmp_path / "copy")
    (copy / "parameters.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"parameters\.safetensors is missing"):
        export_result(copy, "sheet", tmp_path / "out")


@pytest.mark.parametrize("name", ["sheet", "impulses", "single"])
def test_a_full_disk_leaves_nothing_half_written(name, plain_result, tiny_song, tmp_path, single_file) -> None:
    out = tmp_path / "new" / f"out{'.single' if name == 'single' else ''}"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            export_result(plain_result, name, out, tiny_song)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.rglob("*.*")) or [p.name for p in tmp_path.rglob("*")] in (["new"], [])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample_rate": "44.1k"}, "sample-rate: file, search or a rate in Hz is needed, got '44.1k'"),
        ({"bits": "16"}, "bits: float or 24 is needed, got '16'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        ExportSettings(**settings)


def test_a_processor_that_is_not_installed_is_named(random_graph, tiny_song, tmp_path) -> None:
    folder: Path = tmp_path / "result"
    random_graph(tiny_song, "e", "").save(folder)
    (folder / "graph.json").write_text((folder / "graph.json").read_text().replace('"equalizer"', '"wobbler"'))
    with pytest.raises(ValueError, match="wobbler"):
        export_result(folder, "sheet", tmp_path / "out")
