"""Impulse responses: tracks convolved with the files, with the non-linear processors between them, make the mix."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
import torch.nn.functional as F

from mixgraph.exports.impulses import LIST, README
from mixgraph.exports.report import REPORT
from mixgraph.exports.run import export_result
from mixgraph.exports.settings import ExportSettings
from mixgraph.exports.stretches import find_chains, impulse_response, node_labels
from mixgraph.results.found_graph import load_result
from mixgraph.results.rendering import read_tracks
from mixgraph.results.stems import render_stem, stem_places

BELOW = 1e-5  # -100 dB of the peak


def read_rows(folder):
    return list(csv.DictReader((folder / LIST).read_text().splitlines()))


def convolved(folder, row, signal, pair=False):
    """What a convolver plays, earlier by the stated latency: (2, L)."""
    if not row["file"]:
        return signal
    samples, _ = soundfile.read(folder / row["file"], always_2d=True)
    matrix = np.zeros((2, 2, len(samples)))
    if pair:
        for side, letter in enumerate("LR"):
            matrix[side] = soundfile.read(folder / row["file"].replace(".wav", f"_{letter}.wav"))[0].T
    elif samples.shape[1] == 4:  # LL, LR, RL, RR
        matrix = samples.T.reshape(2, 2, -1)
    else:
        matrix[[0, 1], [0, 1]] = samples.T
    wet = scipy.signal.oaconvolve(signal.double().numpy()[:, None], matrix, axes=-1).sum(axis=0)
    late = int(row["latency_samples"])
    return torch.from_numpy(wet[:, late : late + signal.shape[-1]])


class Session:
    """A session of a DAW that has nothing but the tracks, convolvers with the files, and the non-linear processors."""

    def __init__(self, folder, found_graph, sources, pair=False):
        self.folder, self.found, self.pair = folder, found_graph, pair
        self.around = found_graph.sample_rate // 2  # equalizers ring before the song and after it
        self.sources = F.pad(sources, (self.around, self.around))
        self.rows = read_rows(folder)
        self.nodes = {label: node for node, label in node_labels(found_graph.graph).items()}
        self.known = {}

    def arriving(self, label):
        total = torch.zeros(self.sources.shape[1:], dtype=torch.float64)
        for row in self.rows:
            if label in row["to"].split(" and "):
                total = total + convolved(self.folder, row, self.leaving(row["chain"], row["from"]), self.pair)
        for node in self.found.graph.feeders[self.nodes[label]] if label in self.nodes else ():
            graph = self.found.graph
            head = graph.label(graph.chain_head(node))
            if head not in {row["chain"] for row in self.rows}:  # a chain without processors
                total = total + self.leaving(head, "input")
        return total

    def leaving(self, chain, start):
        graph = self.found.graph
        if start == "input":
            node = self.nodes[chain]
            if node in graph.inputs:
                return self.sources[graph.rows[node]].double()
            return self.arriving(chain)
        if start not in self.known:
            self.known[start] = self.processed(self.nodes[start], self.arriving(start), f"key of {start}")
        return self.known[start]

    def processed(self, node, signal, key):
        graph, found = self.found.graph, self.found
        processor = found.processors[graph.types[node]]
        row, place = graph.rows[node], graph.processors.index(node)
        values = {n: v[row : row + 1].double() for n, v in found.parameters[graph.types[node]].items()}
        dry = signal.unsqueeze(0) * found.level
        if processor.inlets == 2:
            wet, _ = processor.process_keyed(dry, self.arriving(key).unsqueeze(0) * found.level, values)
        else:
            state = processor.state_at(torch.tensor([-self.around])) if processor.timed else None
            wet, _ = processor.process(dry, values, state)
        return torch.lerp(dry, wet, found.weights[place].double())[0] / found.level

    @property
    def mix(self):
        return self.arriving("the mix")[:, self.around : -self.around]


CONSOLES = {
    "plain": {"track_chain": "ecsgdr", "subgroup_chain": "egh"},
    "parted": {"track_chain": "t(e,sgc)l", "subgroup_chain": "b(c,b(ec,g))p"},
    "full": {
        **{"track_chain": "ekge", "subgroup_chain": "gf", "master_chain": "ese"},
        **{"returns": {"hall": "er", "echo": "d"}, "sidechains": {"hat": "kick"}},
    },
    "twice": {"track_chain": "cecec", "subgroup_chain": "nn"},
}


@pytest.mark.parametrize(
    ("console", "rate"),
    [
        *(("plain", 8000), ("parted", 8000), ("twice", 8000)),
        *(pytest.param("plain", rate, marks=pytest.mark.long) for rate in (44100, 48000)),
        *(pytest.param("full", rate, marks=pytest.mark.long) for rate in (8000, 48000)),
        pytest.param("parted", 48000, marks=pytest.mark.long),
    ],
)
def test_a_session_of_convolvers_plays_the_mix(console, rate, random_graph, tiny_song, tmp_path) -> None:
    random_graph(tiny_song, **CONSOLES[console]).save(tmp_path / "r")
    out = tmp_path / "out"
    export_result(tmp_path / "r", "impulses", out, tiny_song, ExportSettings(sample_rate=rate))
    found = load_result(tmp_path / "r").at_sample_rate(rate)
    sources = read_tracks(found, tiny_song).sources
    mix = found.render(sources)
    session = Session(out, found, sources)
    assert {row["chain"].partition(" ")[0] for row in session.rows} <= {"track", "subgroup", "return", "master"}
    assert (session.mix - mix).abs().max() < BELOW * mix.abs().max()
    assert all(soundfile.info(path).samplerate == rate for path in out.glob("*.wav"))


@pytest.mark.parametrize("rate", [8000, pytest.param(44100, marks=pytest.mark.long)])
def test_linear_chains_are_one_file_each_which_makes_their_stem(rate, random_graph, tiny_song, tmp_path) -> None:
    random_graph(tiny_song, "esgdr", "").save(tmp_path / "r")
    out = tmp_path / "out"
    exported = export_result(tmp_path / "r", "impulses", out, tiny_song, ExportSettings(sample_rate=rate))
    found = load_result(tmp_path / "r").at_sample_rate(rate)
    sources = read_tracks(found, tiny_song).sources
    rows = read_rows(out)
    assert [row["file"] for row in rows] == ["01_track kick.wav", "02_track hat.wav", "03_track lead.wav"]
    for number, (row, place) in enumerate(zip(rows, stem_places(found.graph), strict=False)):
        stem = render_stem(found, sources, place)
        assert (row["channels"], row["chain"]) == ("4", f"track {place.name}")
        latency = sum(found.processors[kind].before for kind in row["processors"].split())
        assert int(row["latency_samples"]) == latency
        for pair in (False, True):
            played = convolved(out, row, sources[number], pair)
            assert (played - stem).abs().max() < BELOW * stem.abs().max()
    text = (out / REPORT).read_text()
    assert "Left out:\n  nothing" in text
    assert exported.lines[0].startswith(f"Sample rate: {rate} Hz")
    assert f"kick: {rows[0]['latency_samples']} samples" in (out / README).read_text()


def test_what_no_response_holds_is_named_between_its_files(random_graph, tiny_song, tmp_path) -> None:
    random_graph(tiny_song, "ecg", "").save(tmp_path / "r")
    out = tmp_path / "out"
    export_result(tmp_path / "r", "impulses", out, tiny_song, ExportSettings(sample_rate="search"))
    rows = [row for row in read_rows(out) if row["chain"] == "track kick"]
    assert [(row["file"], row["from"], row["to"]) for row in rows] == [
        ("01_track kick_part1.wav", "input", "track kick: compressor"),
        ("01_track kick_part2.wav", "track kick: compressor", "subgroup drums"),
    ]
    assert "track kick: compressor: has no impulse response" in (out / REPORT).read_text()
    found = load_result(tmp_path / "r")
    gain = found.processors["gain_panning"].impulse_response(found.parameters["gain_panning"])[0, :, 0]
    weight = found.weights[2]
    acting = 20 * torch.log10(1 - weight + weight * gain)
    assert [float(rows[1][name]) for name in ("left_db", "right_db")] == pytest.approx(acting.tolist(), abs=0.006)
    text = (out / README).read_text()
    assert "Without processors, summed as they are: subgroup drums, subgroup lead." in text
    assert "input -> [01_track kick_part1.wav] -> compressor" in text


def test_latencies_of_all_chains_on_the_way_add_up(random_graph, tiny_song, tmp_path) -> None:
    random_graph(tiny_song, "ee", "e", master_chain="e", returns={"hall": "d"}).save(tmp_path / "r")
    export_result(tmp_path / "r", "impulses", tmp_path / "out", settings=ExportSettings(sample_rate="search"))
    look_ahead = load_result(tmp_path / "r").processors["equalizer"].before
    text = (tmp_path / "out" / README).read_text()
    for name in ("kick", "hat", "lead"):
        assert f"    {name}: {4 * look_ahead} samples" in text
        assert f"track {name}: latency {2 * look_ahead} samples" in text
    assert "return hall: latency none" in text


def test_a_response_ends_where_130_db_are_left(random_graph, tiny_song) -> None:
    found = random_graph(tiny_song, "l", "")
    found.parameters["late_reverb"]["log_t60"] -= 3  # short
    chain = find_chains(found)[0]
    response = impulse_response(found, chain, chain.stretches[0])
    whole = found.processors["late_reverb"].after + 1
    assert response.shape[-1] < whole / 2
    level = response.square().sum(dim=(0, 1)).flip(0).cumsum(0).flip(0)
    assert level[-1] > 1e-14 * level[0]


def test_without_tracks_the_rate_is_a_usual_one_and_said(random_graph, tiny_song, tmp_path) -> None:
    random_graph(tiny_song, "e", "").save(tmp_path / "r")
    exported = export_result(tmp_path / "r", "impulses", tmp_path / "a")
    assert any(line.startswith("Sample rate: 48000 Hz, for the tracks") for line in exported.lines)
    assert soundfile.info(tmp_path / "a" / "01_track kick.wav").samplerate == 48000
    exported = export_result(tmp_path / "r", "impulses", tmp_path / "b", tiny_song)
    assert any(line == "Sample rate: 8000 Hz." for line in exported.lines)


def test_names_with_colons_are_whole(tiny_song, random_graph) -> None:
    found = random_graph(tiny_song, "e", "", {"drums: all": ["kick: in", "hat"]}, master_chain="c")
    places = [chain.place for chain in find_chains(found)]
    assert places[:3] == ["track kick: in", "track hat", "subgroup drums: all"]
    assert all("equalizer" not in place and "compressor" not in place for place in places)
