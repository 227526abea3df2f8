"""DAWproject files: valid by the format's own schemas, and what they play when they are opened and when they are live.

A player in a few lines plays the mixer of project.xml: clips, mutes, volumes, linear balances, sends, groups.
"""

from __future__ import annotations

import dataclasses
import io
import math
import resource
import shutil
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
import torch
import xmlschema

from mixgraph.exports.dawproject import DawProject
from mixgraph.exports.report import ExportReport
from mixgraph.exports.run import export_result
from mixgraph.exports.settings import ExportSettings
from mixgraph.exports.source import ExportSource
from mixgraph.processors import make_processors
from mixgraph.report.bands import Band, bands_db, fit_hertz
from mixgraph.results.found_graph import load_result
from mixgraph.results.rendering import read_tracks
from mixgraph.songs.track_files import TrackOrigin

SCHEMAS = Path(__file__).parent / "dawproject_schemas"
BELOW = 1e-5  # -100 dB of the mix


@pytest.fixture(scope="session")
def schemas():
    return {name: xmlschema.XMLSchema(SCHEMAS / f"{name}.xsd") for name in ("Project", "MetaData")}


class Project:
    """A DAWproject, read by its schema's words alone."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            self.files = {name: archive.read(name) for name in archive.namelist()}
        self.root = ElementTree.fromstring(self.files["project.xml"])
        self.tracks = self.root.findall(".//Structure//Track")
        lanes = self.root.findall("./Arrangement/Lanes/Lanes")
        self.clips = {lane.attrib["track"]: lane.find("./Clips/Clip") for lane in lanes}

    def track(self, name: str, number: int = 0):
        return [track for track in self.tracks if track.attrib["name"] == name][number]

    def value(self, track, path: str) -> str:
        return track.find(f"./Channel/{path}").attrib["value"]

    def mute(self, name: str, muted: bool) -> None:
        self.track(name).find("./Channel/Mute").attrib["value"] = str(muted).lower()

    def is_muted(self, name: str) -> bool:
        return self.value(self.track(name), "Mute") == "true"

    def play(self) -> np.ndarray:
        """The output of the master, (2, frames)."""
        arriving: dict[str, np.ndarray] = {}
        channels = {track: track.find("Channel") for track in self.tracks}
        order = [t for t in self.tracks if self.clips.get(t.attrib["id"]) is not None]
        order += [t for t in self.tracks if t not in order and channels[t].attrib["role"] == "submix"]
        order += [t for t in self.tracks if t not in order]
        for track in order:
            channel = channels[track]
            clip = self.clips.get(track.attrib["id"])
            if clip is not None:
                assert clip.attrib["time"] == "0"
                file = clip.find("./Audio/File").attrib["path"]
                signal = soundfile.read(io.BytesIO(self.files[file]))[0].T
            elif channel.attrib["id"] in arriving:
                signal = arriving[channel.attrib["id"]]
            else:
                continue
            if self.value(track, "Mute") == "true":
                continue
            pan = float(self.value(track, "Pan"))
            balance = np.array([min(1.0, 2 * (1 - pan)), min(1.0, 2 * pan)])
            signal = signal * float(self.value(track, "Volume")) * balance[:, None]
            gains = {send.attrib["destination"]: send for send in channel.findall("./Sends/Send")}
            out = {name: signal * float(send.find("Volume").attrib["value"]) for name, send in gains.items()}
            if "destination" in channel.attrib:
                out[channel.attrib["destination"]] = signal
            for name, part in out.items():
                arriving[name] = arriving.get(name, 0) + part
        return arriving[self.root.find(".//Channel[@role='master']").attrib["id"]]


def exported(result: Path, song: Path, out: Path, **settings) -> Project:
    export_result(result, "dawproject", out, song, ExportSettings(**settings))
    return Project(out)


def rendered(result: Path, song: Path) -> np.ndarray:
    found = load_result(result)
    return found.render(read_tracks(found, song).sources).numpy()


def check_valid(project: Project, schemas) -> None:
    for name in ("Project", "MetaData"):
        schemas[name].validate(io.BytesIO(project.files[f"{name.lower()}.xml"]))
    paths = [file.attrib["path"] for file in project.root.iter("File")]
    assert len(paths) == len({path.casefold() for path in paths})
    assert len({Path(path).name.casefold() for path in paths}) == len(paths)
    assert set(paths) == project.files.keys() - {"project.xml", "metadata.xml"}
    for audio in project.root.iter("Audio"):
        about = soundfile.info(io.BytesIO(project.files[audio.find("File").attrib["path"]]))
        assert (about.samplerate, about.channels) == (int(audio.attrib["sampleRate"]), int(audio.attrib["channels"]))
        assert float(audio.attrib["duration"]) * about.samplerate == pytest.approx(about.frames, abs=1e-3)
    assert project.root.find("./Arrangement/Lanes").attrib["timeUnit"] == "seconds"


def relative_error(played: np.ndarray, mix: np.ndarray) -> float:
    return float(np.abs(played - mix).max() / np.abs(mix).max())


CONSOLES = {
    "paper": ("cnsgdr", "cnsgdr", {}),
    "more": (
        "ht(c,sg)f",
        "b(c,e)g",
        {"returns": {"space": "rg"}, "master_chain": "cg", "sidechains": {"lead": "kick"}},
    ),
    "single": ("g", "", {"subgroups": {"drums": ["kick"]}}),
    "dry": ("", "", {}),
}


@pytest.mark.parametrize("console", CONSOLES)
@pytest.mark.parametrize("bits", ["float", pytest.param("24", marks=pytest.mark.long)])
def test_projects_are_valid_and_sound_like_the_mix_when_opened(
    console, bits, random_graph, tiny_song, tmp_path, schemas
) -> None:
    track_chain, subgroup_chain, options = CONSOLES[console]
    graph = random_graph(tiny_song, track_chain, subgroup_chain, **options)
    graph.save(tmp_path / "r")
    project = exported(tmp_path / "r", tiny_song, tmp_path / "a.dawproject", bits=bits)
    check_valid(project, schemas)
    assert relative_error(project.play(), rendered(tmp_path / "r", tiny_song)) < BELOW


def go_live(project: Project) -> None:
    for track in project.tracks:
        if track.find("Channel").attrib["role"] in ("submix", "effect"):
            project.mute(track.attrib["name"], False)
            project.mute(f"{track.attrib['name']} (printed)", True)


def test_live_mixers_of_gains_sends_and_groups_sound_like_the_mix(random_graph, tiny_song, tmp_path) -> None:
    graph = random_graph(tiny_song, "gg", "g", {"drums": ["kick", "hat"], "voices": ["lead"]}, returns={"space": "g"})
    graph.save(tmp_path / "r")
    project = exported(tmp_path / "r", tiny_song, tmp_path / "a.dawproject")
    mix = rendered(tmp_path / "r", tiny_song)
    assert not project.is_muted("kick")
    assert project.is_muted("kick (printed)")
    go_live(project)
    assert relative_error(project.play(), mix) < BELOW
    for name in ("kick", "hat", "lead"):
        project.mute(name, True)
        project.mute(f"{name} (printed)", False)
    assert relative_error(project.play(), mix) < BELOW


def test_tracks_that_the_format_cannot_hold_are_printed_in_live_groups(random_graph, tiny_song, tmp_path) -> None:
    random_graph(tiny_song, "csgdr", "").save(tmp_path / "r")
    project = exported(tmp_path / "r", tiny_song, tmp_path / "a.dawproject")
    assert project.is_muted("kick")
    assert not project.is_muted("kick (printed)")
    report = (tmp_path / "a.export_report.txt").read_text()
    for line in (
        "track kick: reverb: the format has no such device; it is in the printed stem",
        "track kick: multitap delay: the format has no such device",
        "track kick: stereo imager: the format has no such device",
        "no DAW has opened it here",
        "the song's tempo is not known, the project has 120 beats per minute",
        "opens on the printed stems, because they sum to the found mix in every DAW",
    ):
        assert line in report


def lead_with(
    random_graph, song: Path, folder: Path, chain: str, weight: float = 1.0, **values
) -> tuple[Project, list]:
    """A project of the track lead alone, with settings `type__parameter` in units; and all settings, as read."""
    graph = random_graph(song, chain, "", {"voices": ["lead"]})
    for name, setting in values.items():
        node_type, _, parameter = name.partition("__")
        declared = graph.processors[node_type].specification[parameter]
        rows = graph.parameters[node_type][parameter]
        rows[:] = declared.from_unit(torch.tensor(setting, dtype=torch.float64)).to(rows)
    graph.weights[:] = weight
    graph.save(folder / "r")
    return exported(folder / "r", song, folder / "a.dawproject"), graph.settings()


def parameter(device, name: str) -> tuple[float, str]:
    attributes = device.find(name).attrib
    return float(attributes["value"]), attributes["unit"]


def test_compressors_have_the_units_of_the_format(random_graph, tiny_song, tmp_path) -> None:
    values = {
        "compressor__log_ratio": [4.0],
        "compressor__smoothing_logit": [25.0],
        "compressor__log_threshold": [-20.0],
    }
    project, settings = lead_with(random_graph, tiny_song, tmp_path, "c", **values)
    device = project.track("lead").find("./Channel/Devices/Compressor")
    assert parameter(device, "Ratio") == (pytest.approx(75.0), "percent")
    assert parameter(device, "Attack") == (pytest.approx(0.025), "seconds")
    assert parameter(device, "Release") == (pytest.approx(0.025), "seconds")
    assert parameter(device, "Threshold") == (pytest.approx(settings[0]["readings"]["threshold_db"]), "decibel")
    assert device.find("AutoMakeup").attrib["value"] == "false"


def test_attack_release_and_make_up_are_those_of_the_device(random_graph, tiny_song, tmp_path) -> None:
    name = "attack_release_compressor"
    values = {f"{name}__attack_logit": [2.0], f"{name}__release_logit": [80.0], f"{name}__log_makeup": [3.5]}
    project, _ = lead_with(random_graph, tiny_song, tmp_path, "k", **values)
    device = project.track("lead").find("./Channel/Devices/Compressor")
    assert parameter(device, "Attack") == (pytest.approx(0.002), "seconds")
    assert parameter(device, "Release") == (pytest.approx(0.080), "seconds")
    assert parameter(device, "OutputGain") == (pytest.approx(3.5), "decibel")


def test_the_dry_sound_of_a_compressor_is_in_its_ratio(random_graph, tiny_song, tmp_path) -> None:
    project, _ = lead_with(random_graph, tiny_song, tmp_path, "c", weight=0.5, compressor__log_ratio=[4.0])
    amount, _ = parameter(project.track("lead").find("./Channel/Devices/Compressor"), "Ratio")
    wet = 10 ** (-12 * (1 - 1 / 4) / 20)  # 12 dB past the threshold
    assert 12 * amount / 100 == pytest.approx(-20 * math.log10(0.5 + 0.5 * wet))


def test_gates_turn_down_to_the_dry_sound(random_graph, tiny_song, tmp_path) -> None:
    values = {"noisegate__log_ratio": [5.0], "noisegate__log_threshold": [-30.0]}
    project, _ = lead_with(random_graph, tiny_song, tmp_path, "n", weight=0.9, **values)
    device = project.track("lead").find("./Channel/Devices/NoiseGate")
    assert parameter(device, "Ratio") == (pytest.approx(80.0), "percent")
    assert parameter(device, "Range") == (pytest.approx(-20.0, abs=1e-4), "decibel")


def test_a_gate_that_turns_up_is_left_to_the_stem(random_graph, tiny_song, tmp_path) -> None:
    options = {"noisegate": {"ratio": "positive"}}
    graph = random_graph(tiny_song, "n", "", {"voices": ["lead"]})
    graph = dataclasses.replace(graph, processors=make_processors(8000, options), processor_options=options)
    graph.parameters["noisegate"]["log_ratio"].fill_(math.log(0.5))
    graph.parameters["noisegate"]["log_threshold"].fill_(4.0)
    graph.save(tmp_path / "r")
    project = exported(tmp_path / "r", tiny_song, tmp_path / "a.dawproject")
    assert project.track("lead").find("./Channel/Devices/NoiseGate") is None
    report = (tmp_path / "a.export_report.txt").read_text()
    assert "noisegate: it turns up what is below its threshold, which no gate does" in report


def test_a_gate_without_a_bound_says_so_as_the_format_does(random_graph, tiny_song, tmp_path) -> None:
    project, _ = lead_with(random_graph, tiny_song, tmp_path, "n", noisegate__log_threshold=[-30.0])
    assert project.track("lead").find("./Channel/Devices/NoiseGate/Range").attrib["value"] == "-inf"


def test_a_gain_before_a_compressor_is_the_same_as_a_lower_threshold(random_graph, tiny_song, tmp_path) -> None:
    values = {"gain_panning__log_gain": [-9.0, -9.0], "compressor__log_threshold": [-20.0]}
    project, settings = lead_with(random_graph, tiny_song, tmp_path, "gc", **values)
    device = project.track("lead").find("./Channel/Devices/Compressor")
    found = next(row["readings"]["threshold_db"] for row in settings if row["type"] == "compressor")
    assert parameter(device, "Threshold")[0] == pytest.approx(found + 9.0, abs=1e-4)
    # The graph with the compressor first and the threshold of the device plays the same.
    other = random_graph(tiny_song, "cg", "", {"voices": ["lead"]})
    other.parameters.update(load_result(tmp_path / "r").parameters)
    other.parameters["compressor"]["log_threshold"] += 9.0 * math.log(10) / 10
    other.weights[:] = 1
    other.save(tmp_path / "other")
    mix = rendered(tmp_path / "r", tiny_song)
    assert relative_error(rendered(tmp_path / "other", tiny_song), mix) < 2e-3  # the detector's floor at -50 dB stays


def test_the_bands_of_a_parametric_equalizer_are_those_of_the_device(random_graph, tiny_song, tmp_path) -> None:
    project, settings = lead_with(random_graph, tiny_song, tmp_path, "p")
    bands = project.track("lead").findall("./Channel/Devices/Equalizer/Band")
    assert [band.attrib["type"] for band in bands] == ["lowShelf", "bell", "bell", "bell", "bell", "highShelf"]
    for band, found in zip(bands, settings[0]["readings"]["wet_bands"], strict=True):
        assert parameter(band, "Freq") == (pytest.approx(found["frequency_hz"]), "hertz")
        assert parameter(band, "Gain") == (pytest.approx(found["gain_db"]), "decibel")
        assert parameter(band, "Q") == (pytest.approx(found["q"]), "linear")


def test_an_equalizer_is_fitted_by_bands_with_its_dry_sound(random_graph, tiny_song, tmp_path) -> None:
    """The bands of the device, as filters of the audio EQ cookbook, make the curve up to the error that is told."""
    graph = random_graph(tiny_song, "e", "", {"voices": ["lead"]})
    hertz = graph.processors["equalizer"]._hertz
    bell = 8.0 * torch.exp(-0.5 * (torch.log2(hertz.clamp(min=1) / 900) / 0.6) ** 2) - 3.0
    graph.parameters["equalizer"]["log_magnitude"][0] = (bell * math.log(10) / 20).float()
    graph.weights[:] = 0.8
    graph.save(tmp_path / "r")
    project = exported(tmp_path / "r", tiny_song, tmp_path / "a.dawproject")
    device = project.track("lead").find("./Channel/Devices/Equalizer")
    names = {"lowShelf": "low shelf", "bell": "bell", "highShelf": "high shelf"}
    bands = [
        Band(names[band.attrib["type"]], *(parameter(band, name)[0] for name in ("Freq", "Gain", "Q")))
        for band in device.findall("Band")
    ]
    wet = torch.exp(torch.from_numpy(np.interp(fit_hertz(8000), hertz.numpy(), bell.numpy())) * math.log(10) / 20)
    curve = 20 * np.log10(0.2 + 0.8 * wet.numpy())
    error = bands_db(bands, fit_hertz(8000), 8000) + parameter(device, "OutputGain")[0] - curve
    assert 1 <= len(bands) <= 8
    assert np.abs(error).max() < 0.5
    report = (tmp_path / "a.export_report.txt").read_text()
    assert f"track lead: equalizer: by {len(bands)} bands with an error of 0." in report
    assert not project.is_muted("lead")


def test_gains_beyond_the_fader_are_in_an_equalizer_without_bands(random_graph, tiny_song, tmp_path) -> None:
    project, _ = lead_with(random_graph, tiny_song, tmp_path, "g", gain_panning__log_gain=[10.0, 4.0])
    lead = project.track("lead")
    assert float(project.value(lead, "Volume")) == pytest.approx(2.0)
    assert float(project.value(lead, "Pan")) == pytest.approx(0.5 * 10 ** (-6 / 20))
    gain, unit = parameter(lead.find("./Channel/Devices/Equalizer"), "OutputGain")
    assert (gain, unit) == (pytest.approx(10 - 20 * math.log10(2), abs=1e-5), "decibel")


def test_a_fader_is_automation_of_the_volume_in_seconds(random_graph, tiny_song, tmp_path) -> None:
    project, settings = lead_with(random_graph, tiny_song, tmp_path, "f")
    lead = project.track("lead")
    points = project.root.find(".//Points")
    assert points.find("Target").attrib["parameter"] == lead.find("./Channel/Volume").attrib["id"]
    found = settings[0]["readings"]
    told = [(float(p.attrib["time"]), float(p.attrib["value"])) for p in points.findall("RealPoint")]
    assert [time for time, _ in told] == pytest.approx(found["time_seconds"])
    assert [20 * math.log10(value) for _, value in told] == pytest.approx(found["gain_db"], abs=1e-5)


def test_devices_of_the_master_are_off_since_the_printed_rest_holds_them(random_graph, tiny_song, tmp_path) -> None:
    random_graph(tiny_song, "", "", master_chain="cg").save(tmp_path / "r")
    project = exported(tmp_path / "r", tiny_song, tmp_path / "a.dawproject")
    devices = project.root.findall(".//Channel[@role='master']/Devices/*")
    assert [device.tag for device in devices] == ["Compressor", "Equalizer"]
    assert {device.find("Enabled").attrib["value"] for device in devices} == {"false"}
    assert not project.is_muted("rest (printed)")
    assert "devices on the master are switched off" in (tmp_path / "a.export_report.txt").read_text()


def test_hostile_and_equal_names_and_equal_audio_stay_apart(random_graph, tiny_song, tmp_path, schemas) -> None:
    song = shutil.copytree(tiny_song, tmp_path / "song")
    names = ['<b>&"\x1b[31m', "../../etc", "CON", "con", "é\uffff"]
    (song / "tracks").rename(tmp_path / "old")
    (song / "tracks").mkdir()
    files = ["a.wav", "b.wav", "c.wav", "d.wav", "e.wav"]
    for file in files:
        shutil.copy(tmp_path / "old" / "kick.wav", song / "tracks" / file)
    graph = random_graph(song, "g", "g", {"kick": names, "KICK": ["kick"]})
    shutil.copy(tmp_path / "old" / "kick.wav", song / "tracks" / "kick.wav")
    origins = {name: TrackOrigin(f"tracks/{file}", "") for name, file in zip(names, files, strict=True)}
    graph = dataclasses.replace(graph, origins={**origins, "kick": TrackOrigin("tracks/kick.wav", "")})
    source = ExportSource(graph, graph, ExportSettings(), torch.randn(6, 2, 800))
    folder = tmp_path / "out"
    folder.mkdir()
    DawProject().write(source, folder, ExportReport("dawproject", "<&>\x00"), lambda line: None)
    assert [path.name for path in folder.iterdir()] == ["project.dawproject"]
    project = Project(folder / "project.dawproject")
    check_valid(project, schemas)
    assert relative_error(project.play(), source.mix.numpy()) < BELOW
    assert project.track('<b>&"\\x1b[31m')


@pytest.mark.long
def test_130_tracks(random_graph, tiny_song, tmp_path, schemas) -> None:
    names = [f"track {i}" for i in range(130)]
    graph = random_graph(tiny_song, "g", "g", {f"group {i}": names[i::10] for i in range(10)})
    source = ExportSource(graph, graph, ExportSettings(), torch.randn(130, 2, 800))
    (tmp_path / "out").mkdir()
    DawProject().write(source, tmp_path / "out", ExportReport("dawproject", ""), lambda line: None)
    project = Project(tmp_path / "out" / "project.dawproject")
    check_valid(project, schemas)
    assert len(project.tracks) == 2 * 130 + 2 * 10 + 2
    assert relative_error(project.play(), source.mix.numpy()) < BELOW


def test_dry_tracks_that_would_clip_in_24_bits_stay_float(random_graph, tiny_song, tmp_path) -> None:
    graph = random_graph(tiny_song, "g", "")
    source = ExportSource(graph, graph, ExportSettings(bits="24"), torch.full((3, 2, 800), 1.5))
    (tmp_path / "out").mkdir()
    report = ExportReport("dawproject", "")
    DawProject().write(source, tmp_path / "out", report, lambda line: None)
    assert "is 32-bit float: in 24 bits it would clip" in report.text([])
    project = Project(tmp_path / "out" / "project.dawproject")
    assert relative_error(project.play(), source.mix.numpy()) < BELOW


def test_equal_exports_are_equal_files_and_a_full_disk_leaves_nothing(random_graph, tiny_song, tmp_path) -> None:
    result = tmp_path / "r"
    random_graph(tiny_song, "g", "g").save(result)
    for name in ("a", "b"):
        export_result(result, "dawproject", tmp_path / f"{name}.dawproject", tiny_song)
    assert (tmp_path / "a.dawproject").read_bytes() == (tmp_path / "b.dawproject").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (300, 1_000_000):  # in the first WAV file, and in the zip
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                export_result(result, "dawproject", tmp_path / "new" / "c.dawproject", tiny_song)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert not list((tmp_path / "new").iterdir())
