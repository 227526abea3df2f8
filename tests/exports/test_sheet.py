"""The sheet: exact values in the units of plug-ins, the same in text, CSV and JSON, and thresholds that are met."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
import torch

from mixgraph.exports.report import REPORT
from mixgraph.exports.run import export_result
from mixgraph.exports.settings import ExportSettings
from mixgraph.report.bands import Band, bands_db, coefficients
from mixgraph.results.found_graph import load_result

RATE = 8000


def with_units(found, kind, weight=1.0, **units):
    """The graph with the same settings in units for every processor of a type."""
    declared = found.processors[kind].specification
    values = {
        name: declared[name].from_unit(torch.as_tensor(value, dtype=torch.float64).reshape(declared[name].shape))
        for name, value in units.items()
    }
    parameters = {name: value.float().expand_as(found.parameters[kind][name]) for name, value in values.items()}
    weights = found.weights.clone()
    for place, node in enumerate(found.graph.processors):
        if found.graph.types[node] == kind:
            weights[place] = weight
    return found.with_parameters({kind: parameters}, weights)


def exported(found, folder, **settings):
    found.save(folder / "r")
    export_result(folder / "r", "sheet", folder / "out", settings=ExportSettings(**settings) if settings else None)
    record = json.loads((folder / "out" / "sheet.json").read_text())
    return {chain["place"]: chain["plugins"] for chain in record["chains"]}


@pytest.mark.parametrize(("past", "reduction"), [(-1.0, 0.0), (10.0, 7.5), (20.0, 15.0)])
def test_a_sine_at_the_stated_threshold_is_at_the_threshold(past, reduction, random_graph, tiny_song, tmp_path):
    # The threshold is at the input of the plug-in, behind a gain of +6 dB; ratio 4 leaves a quarter of what is above.
    found = with_units(random_graph(tiny_song, "gc", ""), "gain_panning", log_gain=[6.0, 6.0])
    units = {"log_threshold": -25, "log_ratio": 4, "log_knee": 0.05, "smoothing_logit": 100}
    found = with_units(found, "compressor", **units)
    settings = exported(found, tmp_path)["track kick"][1]["settings"]
    level = -20 * math.log10(found.level)
    floor = 10 * math.log10(10**-2.5 - 1e-5)  # the detector adds -50 dB to every signal
    assert settings["threshold_rms_dbfs"] == pytest.approx(floor + level, abs=1e-3)
    assert settings["threshold_sine_peak_dbfs"] == pytest.approx(settings["threshold_rms_dbfs"] + 3.0103, abs=1e-3)
    assert (settings["ratio"], settings["knee_db"]) == pytest.approx((4, 0.05), rel=1e-3)
    assert (settings["time_constant_ms"], settings["mix_percent"]) == pytest.approx((100, 100), rel=1e-3)
    peak = 10 ** ((settings["threshold_sine_peak_dbfs"] + past - 6) / 20)
    sine = peak * torch.sin(2 * torch.pi * 1000 / RATE * torch.arange(2 * RATE))
    sources = torch.zeros(3, 2, 2 * RATE)
    sources[0] = sine
    steady = found.render(sources)[:, RATE:]
    rise = 20 * math.log10(float(steady.abs().max() / peak)) - 6
    assert rise == pytest.approx(-reduction, abs=0.15)  # the envelope of a sine ripples a little


def test_a_gate_says_how_far_it_closes(random_graph, tiny_song, tmp_path) -> None:
    units = {"log_threshold": -30, "log_ratio": 3, "log_knee": 1, "smoothing_logit": 10}
    found = with_units(random_graph(tiny_song, "n", ""), "noisegate", weight=0.75, **units)
    settings = exported(found, tmp_path)["track kick"][0]["settings"]
    assert settings["range_db"] == pytest.approx(-(3 - 1) * 20, abs=0.01)  # from -30 dB to the detector's -50 dB
    assert settings["ratio"] == pytest.approx(3, rel=1e-3)
    assert settings["mix_percent"] == pytest.approx(75)
    silent = with_units(found, "noisegate", weight=0.75, **(units | {"log_threshold": -70}))
    text = exported(silent, tmp_path / "never")["track kick"][0]
    assert "threshold_rms_dbfs" not in text["settings"]
    assert "never acts" in (tmp_path / "never" / "out" / "sheet.txt").read_text()


def test_a_limiter_has_no_bound(random_graph, tiny_song, tmp_path) -> None:
    units = {"log_threshold": -30, "log_ratio": 1000, "log_knee": 1, "smoothing_logit": 10}
    found = with_units(random_graph(tiny_song, "c", ""), "compressor", **units)
    assert exported(found, tmp_path)["track kick"][0]["settings"]["ratio"] is None
    assert "∞:1" in (tmp_path / "out" / "sheet.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("gains", [(-3.0103, -3.0103), (0.0, -6.0206), (-20.0, 2.0), (1.0, -60.0)])
def test_pan_and_balance_give_the_gains_back_by_the_stated_laws(gains, random_graph, tiny_song, tmp_path) -> None:
    found = with_units(random_graph(tiny_song, "g", ""), "gain_panning", log_gain=gains)
    settings = exported(found, tmp_path)["track kick"][0]["settings"]
    assert (settings["left_db"], settings["right_db"]) == pytest.approx(gains, abs=1e-3)
    angle = math.pi / 4 * (1 + settings["pan_percent"] / 100)
    fader = 10 ** (settings["mono_fader_db"] / 20)
    by_pan = fader * math.cos(angle), fader * math.sin(angle)
    balance, louder = settings["balance_percent"] / 100, 10 ** (settings["stereo_fader_db"] / 20)
    by_balance = louder * min(1, 1 - balance), louder * min(1, 1 + balance)
    expected = [10 ** (gain / 20) for gain in gains]
    assert by_pan == pytest.approx(expected, abs=1e-4)
    assert by_balance == pytest.approx(expected, abs=1e-4)
    if gains[0] == gains[1]:
        assert (settings["pan_percent"], settings["balance_percent"]) == pytest.approx((0, 0), abs=1e-3)
        assert settings["mono_fader_db"] == pytest.approx(0, abs=1e-3)


@pytest.mark.long
def test_the_bands_filter_as_the_equalizer_does_with_its_dry_sound(random_graph, tiny_song, tmp_path) -> None:
    found = random_graph(tiny_song, "e", "", {"all": ["kick"]})
    equalizer = found.processors["equalizer"]
    hertz = torch.arange(equalizer.num_bins) * (RATE / (2 * equalizer.num_bins - 1))
    wanted = bands_db([Band("bell", 700, 8, 1), Band("high shelf", 2000, -9, 0.7)], hertz.numpy() + 1e-3, 48000)
    found = with_units(found, "equalizer", weight=0.7, log_magnitude=wanted)
    (plugin,) = exported(found, tmp_path)["track kick"]
    bands = [Band(row["kind"], row["frequency_hz"], row["gain_db"], row["q"]) for row in plugin["bands"]]
    sections = [np.concatenate(coefficients(band, 48000)) for band in bands]
    between = np.geomspace(100, 3300, 40)
    played = scipy.signal.freqz_sos(np.array([row / row[3] for row in sections]), between, fs=48000)[1]
    levels = 20 * np.log10(np.abs(played)) + plugin["settings"]["output_gain_db"]
    taps = equalizer.impulse_response({"log_magnitude": found.parameters["equalizer"]["log_magnitude"]})[0, 0]
    wet = scipy.signal.freqz(taps.numpy(), 1, between, fs=RATE)[1]
    acting = 20 * np.log10(0.3 + 0.7 * np.abs(wet))
    assert np.abs(levels - acting).max() < plugin["fit"]["max_error_db"] + 0.02
    assert plugin["fit"]["max_error_db"] < 0.5
    picture = (tmp_path / "out" / plugin["picture"]).read_bytes()
    assert picture.startswith(b"\x89PNG")
    report = (tmp_path / "out" / REPORT).read_text()
    error = f"{plugin['fit']['rms_error_db']:.2f} dB (rms) and {plugin['fit']['max_error_db']:.1f} dB (at most)"
    assert f"track kick: equalizer: its curve, by {len(bands)} bands: {error}" in report
    assert "mix_percent" not in plugin["settings"]


def test_a_parametric_equalizer_keeps_its_own_bands(random_graph, tiny_song, tmp_path) -> None:
    hertz, gains, q = (60, 180, 500, 1000, 1500, 2500), (3, -2, 4, 0, -5, 2), (0.7, 1, 2, 1, 1.5, 0.7)
    units = {"frequency_logit": hertz, "log_gain": gains, "q_logit": q}
    found = with_units(random_graph(tiny_song, "p", "", {"all": ["kick"]}), "parametric_equalizer", **units)
    (plugin,) = exported(found, tmp_path)["track kick"]
    rows = [(row["frequency_hz"], row["gain_db"], row["q"]) for row in plugin["bands"]]
    assert np.array(rows) == pytest.approx(np.array([hertz, gains, q]).T, rel=1e-3, abs=1e-3)
    assert [row["kind"] for row in plugin["bands"]] == ["low shelf", *["bell"] * 4, "high shelf"]
    assert plugin["settings"] == {"output_gain_db": 0}


def test_effects_have_times_levels_and_both_sounds(random_graph, tiny_song, tmp_path) -> None:
    found = random_graph(tiny_song, "sdr", "", {"all": ["kick"]})
    found = with_units(found, "stereo_imager", log_gain=[-6.0206])
    plugins = exported(found, tmp_path)["track kick"]
    assert plugins[0]["settings"]["width_percent"] == pytest.approx(50, abs=0.01)
    readings = [row["readings"] for row in found.settings()]
    by_time = sorted(readings[1]["taps"], key=lambda tap: tap["time_ms"])
    for name, error in (("time_ms", 1e-3), ("level_db", 1e-3)):
        echoes, taps = ([row[name] for row in rows] for rows in (plugins[1]["echoes"], by_time))
        assert echoes == pytest.approx(taps, abs=error)
    for plugin, weight in zip(plugins[1:], found.weights[1:].tolist(), strict=True):
        settings = plugin["settings"]
        assert settings["mix_percent"] == pytest.approx(100 * weight, rel=1e-5)
        dry, wet = (10 ** (settings[f"{name}_db"] / 20) for name in ("dry", "wet"))
        assert (dry, wet) == pytest.approx((1 - weight, weight), rel=1e-5)
    assert plugins[2]["settings"]["t60_mid_1000_hz_seconds"] == pytest.approx(
        readings[2]["t60_1000_hz_seconds"], rel=1e-3
    )
    assert plugins[2]["settings"]["level_db"] == pytest.approx(readings[2]["level_against_dry_db"], rel=1e-6)
    report = (tmp_path / "out" / REPORT).read_text()
    assert "track kick: delay: the tone of each echo" in report


def test_text_and_tables_hold_the_same_and_name_keys_branches_and_ways(random_graph, tiny_song, tmp_path) -> None:
    console = {"returns": {"hall": "l"}, "sidechains": {"hat": "kick"}, "master_chain": "kqh"}
    random_graph(tiny_song, "t(g,c)", "f", **console).save(tmp_path / "r")
    export_result(tmp_path / "r", "sheet", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "sheet.json").read_text())
    rows = list(csv.DictReader((tmp_path / "out" / "sheet.csv").read_text().splitlines()))
    plugins = [plugin for chain in record["chains"] for plugin in chain["plugins"]]
    assert len(plugins) == len(load_result(tmp_path / "r").graph.processors)
    for chain in record["chains"]:
        for position, plugin in enumerate(chain["plugins"], start=1):
            table = {
                row["setting"]: row
                for row in rows
                if (row["chain"], row["position"]) == (plugin["place"], str(position))
            }
            for name, value in plugin["settings"].items():
                assert float(table[name]["value"]) == pytest.approx(value, rel=1e-5)
    text = (tmp_path / "out" / "sheet.txt").read_text()
    assert "track hat  ->  subgroup drums, return hall" in text
    (keyed,) = [plugin for plugin in plugins if plugin["processor"] == "sidechain_compressor"]
    assert all(key.startswith("track kick") for key in keyed["key"])
    assert f"key: the output of {', '.join(keyed['key'])}" in text
    assert "Without processors, summed as they are:\n  subgroup" not in text
    assert "(on mid)" in text
    assert "(on side)" in text
    (fader,) = next(chain["plugins"] for chain in record["chains"] if chain["place"] == "subgroup drums")
    assert [point["seconds"] for point in fader["automation"]] == pytest.approx([0, 2, 3], abs=1e-3)


def test_tracks_that_lie_elsewhere_are_said(random_graph, tiny_song, tmp_path) -> None:
    found = replace(random_graph(tiny_song, "g", ""), placements={"kick": (800, -1), "hat": (-80, 1), "lead": (0, 1)})
    exported(found, tmp_path, sample_rate=16000)
    text = (tmp_path / "out" / "sheet.txt").read_text()
    assert (
        "Track kick: polarity inverted; its file begins 1600 samples (0.100 s) before the song: place it earlier by "
        "that." in text
    )
    assert "Track hat: its file begins 160 samples (0.010 s) after it: place it later by that." in text
    assert "Track lead" not in text
