"""From a mix and stems to a song, to a search of it, and the trap of stems that sum to the mix."""

import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from callbacks import IterativePruning, ResultFolder
from datamodules import BlindData
from mixgraph import ConsoleModule, load_result
from mixgraph.blind import BlindSource, make_blind_song, read_reference
from mixgraph.blind.normalise import loudness
from mixgraph.blind.stems import find_stem_files, instrument_of
from mixgraph.demixing import Demixer, DemixerTransform, NetworkSettings
from mixgraph.report.verdict import what_tracks_are
from mixgraph.search import search
from mixgraph.songs import load_song, read_audio, write_audio

RATE = 8000
INSTRUMENTS = ("vocals", "drums", "bass", "other")


def stems(seconds: float = 3.0) -> dict[str, torch.Tensor]:
    """A bass to the left, drums to the right, and other in the middle."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(round(seconds * RATE)) / RATE
    drums = torch.randn(len(time), generator=generator) * torch.exp(-20 * (time % 0.25)) * 0.3
    bass = 0.3 * torch.sin(2 * math.pi * 110 * time) + 0.1 * torch.sin(2 * math.pi * 220 * time)
    other = sum(0.05 * torch.sin(2 * math.pi * hertz * time) for hertz in (440, 550, 660, 1320, 1980))
    return {
        "bass": torch.stack([bass, 0.25 * bass]),
        "drums": torch.stack([0.25 * drums, drums]),
        "other": torch.stack([other, other]),
    }


def write_song(folder: Path, parts: dict[str, torch.Tensor], mix: torch.Tensor | None = None) -> Path:
    write_audio(folder / "mix.wav", sum(parts.values()) if mix is None else mix, RATE)
    for name, audio in parts.items():
        write_audio(folder / "stems" / f"{name}.wav", audio, RATE)
    return folder


@pytest.fixture(scope="module")
def song(tmp_path_factory) -> Path:
    return write_song(tmp_path_factory.mktemp("blind") / "my_song", stems())


def test_the_trap_stems_that_sum_to_the_mix_are_refused_without_a_reference(song: Path, tmp_path: Path) -> None:
    source = BlindSource(song, song / "stems", reference="none")
    message = r"plain sum of the stems is the mix already \(match loss 0\.0000; 0\.15.*empty one.*HINT: leave data.ref"
    with pytest.raises(ValueError, match=message):
        make_blind_song(source, tmp_path / "song", RATE)
    assert list(tmp_path.iterdir()) == []
    louder = {name: audio * (3 if name == "drums" else 0.4) for name, audio in stems().items()}
    other = write_song(tmp_path / "other", louder, sum(stems().values()))
    made = make_blind_song(BlindSource(other, other / "stems", reference="none"), tmp_path / "song", RATE)
    assert torch.equal(read_audio(made.folder / "tracks" / "drums.wav", RATE), louder["drums"])  # left as they are


def test_a_song_of_normalised_stems_is_a_song_as_any_other(song: Path, tmp_path: Path) -> None:
    made = make_blind_song(BlindSource(song, song / "stems"), tmp_path / "n" / "my_song", RATE)
    read = load_song(made.folder, RATE, loudness_lufs=None)
    assert read.subgroups == {"bass": ("bass",), "drums": ("drums",), "other": ("other",)}
    assert read.mono == (True, True, True)
    assert torch.equal(read.mix, sum(stems().values()))
    whole = loudness(read.mix, RATE)
    for name, track in zip(read.tracks, read.sources, strict=True):
        constant = read_reference().instruments[name].loudness_lu
        assert loudness(track, RATE) - whole == pytest.approx(constant, abs=0.01)
    (warning,) = [warning for warning in read.warnings if warning.code == "normalised_stems"]
    assert what_tracks_are(read.warnings) == [f"What this is: {warning.text}."]
    assert "never the graph of its engineer" in warning.text
    record = json.loads((made.folder / "blind.json").read_text())
    assert record["losses"]["plain_sum"] < 1e-4 < 0.5 < record["losses"]["normalised_sum"]
    again = make_blind_song(BlindSource(song, song / "stems"), made.folder, RATE)
    assert "normalised stems of an earlier run are used" in again.notes[-1]
    changed = write_song(tmp_path / "changed", stems() | {"bass": stems()["other"]})
    with pytest.raises(FileExistsError, match=r"data\.overwrite=true"):
        make_blind_song(BlindSource(changed, changed / "stems"), made.folder, RATE)
    own = made.folder / "tracks" / "my_take.wav"
    own.write_bytes(b"one of the user's")
    with pytest.raises(FileExistsError, match=r"it holds tracks/my_take\.wav"):
        make_blind_song(BlindSource(changed, changed / "stems"), made.folder, RATE, overwrite=True)
    own.unlink()
    make_blind_song(BlindSource(changed, changed / "stems"), made.folder, RATE, overwrite=True)


def test_what_is_odd_about_stems_is_said_before_the_search(tmp_path: Path) -> None:
    parts = stems()
    mix = sum(parts.values())
    high = 0.2 * torch.sin(2 * math.pi * 2000 * torch.arange(mix.shape[-1]) / RATE)
    song = write_song(
        tmp_path / "song", parts | {"vocals": torch.zeros(2, 3 * RATE), "piano": parts["other"]}, mix + high
    )
    soundfile.write(song / "stems" / "drums.wav", np.zeros((4 * 4000, 2)) + 0.1, 4000)
    write_audio(song / "stems" / "bass.wav", parts["bass"][:, :RATE], RATE)
    write_audio(song / "stems" / "mixture.wav", mix, RATE)
    notes = "\n".join(make_blind_song(BlindSource(song, song / "stems"), tmp_path / "out", RATE).notes)
    for line in (
        "mixture.wav: left out, since it is named like a mix",
        "vocals.wav: silent, so it is left out",
        "piano.wav: taken for other, by its name; --data.stem_names tells it otherwise",
        "drums.wav: resampled from 4000 Hz to 8000 Hz",
        "drums.wav: has 4.000 s, the mix 3.000 s: its end was cut",
        "bass.wav: has 1.000 s, the mix 3.000 s: silence was put after it",
    ):
        assert line in notes
    assert "the stems do not sum to the mix: the difference is at " in notes
    assert not (tmp_path / "out" / "tracks" / "vocals.wav").exists()


def test_a_stem_whose_channels_cancel_is_not_called_silent(tmp_path: Path) -> None:
    parts = stems()
    parts["other"] = torch.stack([parts["other"][0], -parts["other"][0]])
    song = write_song(tmp_path / "song", parts)
    notes = make_blind_song(BlindSource(song, song / "stems"), tmp_path / "out", RATE).notes
    assert "other.wav: its channels cancel each other in the centre, so it is left out" in notes


@pytest.mark.parametrize(
    ("name", "instrument"),
    [
        ("1_Bass Line_(Vocals)", "vocals"),
        ("1_Bass Line_(Instrumental)", "other"),
        ("song_(No Vocals)", "other"),
        ("mix_no_drums", "other"),
        ("mix_other", "other"),
        ("No Woman_(Drums)", "drums"),
    ],
)
def test_the_end_of_a_name_says_the_instrument_of_a_stem(name: str, instrument: str) -> None:
    assert instrument_of(name, INSTRUMENTS) == instrument


def test_a_difference_from_the_mix_is_told_by_octave_and_a_common_level_is_recognised(tmp_path: Path) -> None:
    parts = stems()
    mix = sum(parts.values())
    tone = 0.5 * torch.sin(2 * math.pi * 1000 * torch.arange(mix.shape[-1]) / RATE)
    song = write_song(tmp_path / "a", parts, mix + tone)
    (line,) = [
        n for n in make_blind_song(BlindSource(song, song / "stems"), tmp_path / "x", RATE).notes if "sum to" in n
    ]
    octaves = dict(part.split() for part in line.partition("(Hz, dB): ")[2].partition(".")[0].split(", "))
    assert max(octaves, key=lambda name: float(octaves[name])) == "1k"
    assert float(octaves["1k"]) > -1 > -20 > float(octaves["125"])
    quiet = write_song(tmp_path / "b", {name: 0.5 * audio for name, audio in parts.items()}, mix)
    notes = make_blind_song(BlindSource(quiet, quiet / "stems"), tmp_path / "y", RATE).notes
    assert any("HINT: all stems +6.0 dB would leave" in note for note in notes)


def test_names_of_stems(tmp_path: Path) -> None:
    for name in ("Vocals", "guitar", "no_vocals", "x1"):
        write_audio(tmp_path / f"{name}.wav", torch.zeros(1, 10), RATE)
    message = r"names that say an instrument \(vocals, .* are needed, got x1\. HINT: .*stem_names \"\{x1: other\}\""
    with pytest.raises(ValueError, match=message):
        find_stem_files(tmp_path, INSTRUMENTS)
    files, notes = find_stem_files(tmp_path, INSTRUMENTS, {"x1": "bass"})
    assert notes == [
        f"{name}.wav: taken for other, by its name; --data.stem_names tells it otherwise"
        for name in ("guitar", "no_vocals")
    ]
    assert {file.name: file.instrument for file in files} == {
        **{"Vocals": "vocals", "guitar": "other", "no_vocals": "other", "x1": "bass"}
    }
    for names, wrong in (({"x2": "bass"}, r"\(Vocals, .*got x2\."), ({"x1": "base"}, r"got base for x1\. HINT")):
        with pytest.raises(ValueError, match=wrong):
            find_stem_files(tmp_path, INSTRUMENTS, names)
    assert instrument_of("guitar", ("vocals", "guitars")) == "guitars"
    assert instrument_of("guitar", ("vocals",)) is None
    with pytest.raises(FileNotFoundError, match=r"data\.stems: .* a folder of stems is needed, got none"):
        find_stem_files(tmp_path / "none", INSTRUMENTS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"are needed, got an empty folder\. HINT: name the folder"):
        find_stem_files(tmp_path / "empty", INSTRUMENTS)
    write_audio(tmp_path / "x1.flac", torch.zeros(1, 10), RATE)
    with pytest.raises(ValueError, match=r"one file a stem is needed, got x1\.flac and x1\.wav"):
        find_stem_files(tmp_path, INSTRUMENTS)
    (tmp_path / "x1.flac").rename(tmp_path / "VOCALS.flac")
    with pytest.raises(ValueError, match=r"one file a stem is needed, got VOCALS\.flac and Vocals\.wav"):
        find_stem_files(tmp_path, INSTRUMENTS)


@pytest.mark.parametrize(
    ("stems_of_it", "instruments"),
    [
        (("bass", "drums", "other", "vocals"), ("bass", "drums", "other", "vocals")),
        (("no_vocals", "vocals"), ("other", "vocals")),
        (("bass", "drums", "guitar", "other", "piano", "vocals"), ("bass", "drums", *["other"] * 3, "vocals")),
    ],
    ids=["four", "two", "six"],
)
def test_folders_of_a_public_demixer_are_read_as_they_are(tmp_path: Path, stems_of_it, instruments) -> None:
    model = tmp_path / "separated" / "htdemucs"
    for name in stems_of_it:
        write_audio(model / "my_song" / f"{name}.wav", torch.zeros(2, 10), RATE)
    files, _ = find_stem_files(model / "my_song", INSTRUMENTS)
    assert tuple((file.name, file.instrument) for file in files) == tuple(zip(stems_of_it, instruments, strict=True))
    with pytest.raises(ValueError, match=r"got my_song\. HINT: name the folder that holds the stems themselves"):
        find_stem_files(model, INSTRUMENTS)


def test_the_rate_of_a_search_is_that_of_the_mix_where_song_stands_for_it(song: Path, tmp_path: Path) -> None:
    for path in (song, song / "mix.wav"):
        assert BlindData(str(path), "stems", sample_rate="song").sample_rate == RATE
    with pytest.raises(FileNotFoundError, match=r"data\.path: .*the file of a mix, is needed, got none"):
        BlindData(str(tmp_path / "none"), "stems", sample_rate="song")


def test_what_is_missing_is_refused(song: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"needed, got neither\. HINT: --data\.stems=FOLDER that any demixer wrote, or"
    ):
        BlindData(str(song)).read()
    with pytest.raises(ValueError, match="one of them is needed, got both"):
        BlindData(str(song), "stems", "demixer.ckpt").read()
    with pytest.raises(FileNotFoundError, match="the file of a mix, is needed, got none"):
        BlindData(str(tmp_path / "none"), str(song / "stems")).read()
    with pytest.raises(ValueError, match=r"needed, got bass\.wav, drums\.wav, other\.wav\. HINT: name the file itself"):
        BlindData(str(song / "stems"), str(song / "stems")).read()
    with pytest.raises(FileNotFoundError, match=r"data\.demixer: a checkpoint of a demixer is needed, got no file"):
        make_blind_song(BlindSource(song, demixer=tmp_path / "none.ckpt"), tmp_path / "out", RATE)
    silent = write_song(
        tmp_path / "silent", {name: 0 * audio for name, audio in stems().items()}, sum(stems().values())
    )
    with pytest.raises(ValueError, match="stems that sound are needed, got 3 silent ones"):
        make_blind_song(BlindSource(silent, silent / "stems"), tmp_path / "out", RATE)
    write_audio(silent / "mix.wav", torch.zeros(2, RATE), RATE)
    with pytest.raises(ValueError, match="a mix that sounds is needed"):
        make_blind_song(BlindSource(silent, silent / "stems"), tmp_path / "out", RATE)
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_a_search_from_a_mix_alone_says_what_its_graph_is_and_finds_sides(song: Path, tmp_path: Path) -> None:
    data = BlindData(
        *(str(song), str(song / "stems")),
        normalised=str(tmp_path / "normalised" / "my_song"),
        sample_rate=RATE,
        steps_per_stage=25,
        scored_seconds=1.0,
        warm_up_seconds=0.2,
        cache_dir=None,
    )
    console = ConsoleModule(track_chain="g", subgroup_chain="", sample_rate=RATE, warm_up_seconds=0.2)
    pruning = IterativePruning(console_stages=1, rounds=1, leave_one_out=False)
    search(console, data, [pruning, ResultFolder(str(tmp_path / "result"), page=False)], stages=2)
    text = (tmp_path / "result" / "settings.txt").read_text()
    assert "What this is: the tracks are stems" in text
    assert "never the graph of its engineer" in text
    result = load_result(tmp_path / "result")
    normalised = load_song(data.paths[0], RATE, loudness_lufs=None)
    sides = {}
    for row, name in enumerate(normalised.tracks):
        alone = torch.zeros_like(normalised.sources)
        alone[row] = normalised.sources[row]
        left, right = result.render(alone).square().sum(-1)
        sides[name] = float(left / right)
    assert sides["bass"] > 1.2 > 1 / 1.2 > sides["drums"]
    assert yaml.safe_load((data.paths[0] / "song.yaml").read_text())["reference_state"].endswith("of 3 songs")
    assert data.settings_of_song()["path"] == str(data.paths[0])


def test_a_demixer_makes_the_stems(song: Path, tmp_path: Path) -> None:
    transform = DemixerTransform(num_bands=14, low_hz=150.0, slice_samples=256, sample_rate=RATE)
    torch.manual_seed(0)
    demixer = Demixer(INSTRUMENTS, transform, network=NetworkSettings(6, 3, 2)).eval()
    content: dict = {"state_dict": demixer.state_dict()}
    demixer.on_save_checkpoint(content)
    torch.save(content, tmp_path / "demixer.ckpt")
    source = BlindSource(song, demixer=tmp_path / "demixer.ckpt")
    made = make_blind_song(source, tmp_path / "song", RATE)
    assert sorted(path.stem for path in (made.folder / "tracks").iterdir()) == sorted(INSTRUMENTS)
    assert not any("do not sum to the mix" in note for note in made.notes)  # softmax masks do
    assert "an earlier run" in make_blind_song(source, tmp_path / "song", RATE).notes[-1]


@pytest.mark.long
def test_the_command_from_a_mix_to_a_result_that_is_repeated_exported_and_shown(
    song: Path, tmp_path: Path, warm_python
) -> None:
    def run(*words: str) -> subprocess.CompletedProcess:
        return warm_python.run("mixgraph", *words, cwd=tmp_path)

    small = ["--data.steps_per_stage=2", "--data.scored_seconds=1", "--pruning.console_stages=1", "--pruning.rounds=1"]
    words = ["fit", "--config", "blind.yaml", "--data.path", str(song), f"--data.sample_rate={RATE}"]
    trapped = run(*words, "--data.stems", str(song / "stems"), "--data.reference=none")
    assert trapped.returncode == 1
    (line,) = [line for line in trapped.stderr.splitlines() if "the best graph is the empty one" in line]
    assert line.startswith("mixgraph: data.reference: none: ")
    done = run(*words, "--data.stems", str(song / "stems"), *small, "--model.track_chain=eg")
    assert done.returncode == 0, done.stderr
    assert "never the graph of its engineer" in done.stdout + done.stderr
    result = tmp_path / "results" / "my_song"
    saved = yaml.safe_load((result / "config.yaml").read_text())["data"]
    assert saved["path"] == "../../normalised_stems/my_song"
    assert "class_path" not in saved
    assert "What this is" in (result / "report.html").read_text()
    for command in (
        ["fit", "--config", "results/my_song/config.yaml", "--result.path=again"],
        ["export", "results/my_song", "--to", "sheet", "--out", "sheet"],
        ["report", "results/my_song", "--out", "page.html"],
    ):
        done = run(*command)
        assert done.returncode == 0, (command, done.stderr)
    graphs = [(folder / "graph.json").read_bytes() for folder in (result, tmp_path / "again")]
    assert graphs[0] == graphs[1]


def test_names_of_files_are_kept_as_they_are(tmp_path: Path) -> None:
    names = ["1", "yes", "null", "a: b #c", "e\u0301pe\u0301e"]
    parts = {
        name: (0.5 + n) * audio for n, (name, audio) in enumerate(zip(names, [*stems().values()] * 2, strict=False))
    }
    song = write_song(tmp_path / "song", parts)
    source = BlindSource(song, song / "stems", stem_names=dict.fromkeys(names, "other"))
    read = load_song(make_blind_song(source, tmp_path / "out", RATE).folder, RATE)
    assert sorted(read.tracks) == sorted([*names[:-1], "\u00e9p\u00e9e"])
