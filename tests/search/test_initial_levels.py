"""Levels, places and colours that a mix asks of its tracks, and consoles that start from them."""

import json

import pytest
import soundfile
import torch

from datamodules import SongData
from mixgraph.dsp.fir import hann, zero_phase_fir
from mixgraph.graph import build_console
from mixgraph.processors import make_processors
from mixgraph.processors.base import wet_gains
from mixgraph.search import search
from mixgraph.search.initial_levels import fit_initial_levels
from mixgraph.search.module import ConsoleModule

RATE = 8000
LEVELS = {"a": (0.5, 0.25), "b": (2.0, 2.0), "c": (0.125, 0.5)}
COLOURED, HERTZ, FACTOR = "b", 1000.0, 2.0  # up by 6 dB above, down by 6 dB below


def colour(audio):
    """The filter of track b, 34 ms to either side."""
    bins = 1 + round(0.034 * RATE)
    hertz = torch.arange(bins) * (RATE / (2 * bins - 1))
    levels = torch.where(hertz > HERTZ, FACTOR, 1 / FACTOR).log().unsqueeze(0)
    taps = zero_phase_fir(levels, hann(2 * bins - 1, periodic=False).float())
    return torch.nn.functional.conv1d(audio.unsqueeze(1), taps.unsqueeze(0), padding=bins - 1).squeeze(1)


@pytest.fixture(scope="module")
def parts():
    """Three tracks of noise that swells at different times, 12 s, and a mix that delays one and flips another."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(12 * RATE) / RATE
    tracks = {}
    for k, name in enumerate(LEVELS):
        swell = (torch.sin(2 * torch.pi * (time / 3 + k / 3)).clamp(min=0.0)).sqrt()
        tracks[name] = 0.1 * swell * torch.randn(2, 12 * RATE, generator=generator)
    mixed = dict(tracks)
    mixed["a"] = -tracks["a"]
    mixed["c"] = tracks["c"].roll(round(0.003 * RATE), -1)
    mixed[COLOURED] = colour(tracks[COLOURED])
    mix = sum(torch.tensor(LEVELS[name]).unsqueeze(-1) * audio for name, audio in mixed.items())
    return torch.stack(list(tracks.values())), mix


def decibels(amplitude):
    return 20 * torch.log10(torch.as_tensor(amplitude))


def test_levels_and_colours_are_read_off_a_mix(parts) -> None:
    sources, mix = parts
    initial = fit_initial_levels(sources, mix, RATE)
    total = decibels(initial.levels.unsqueeze(-1) * initial.colours.unsqueeze(1))  # (K, 2, bands)
    expected = decibels(list(LEVELS.values())).unsqueeze(-1).expand_as(total).clone()
    expected[1] += decibels(torch.where(initial.hertz > HERTZ, FACTOR, 1 / FACTOR))
    clear = (initial.hertz > 80) & ((initial.hertz / HERTZ).log2().abs() > 0.5)  # bands of enough bins, off the step
    error = (total - expected)[:, :, clear].abs()
    assert error[:2].max() < 1.5
    assert error.median() < 0.5
    # Track c is 12 dB below the others on the left: there, what others do hides it.
    assert error[2, 1].max() < 1.5


@pytest.mark.parametrize("gains", [[0.3], [1.0], [0.6, 4.0], [0.2, 1.0, 8.0]])
def test_wet_gains_make_the_gains_with_their_dry_part(gains) -> None:
    gains = torch.tensor(gains, dtype=torch.float64)
    wet, weight = wet_gains(gains)
    assert 0.5 <= weight <= 0.97
    torch.testing.assert_close(1 - weight + weight * wet, gains)
    assert float(wet.min()) >= 0.1 - 1e-9


def test_what_cannot_be_reached_is_approached() -> None:
    wet, weight = wet_gains(torch.tensor([0.001, 1.0], dtype=torch.float64))
    assert weight == 0.97
    assert (1 - weight + weight * wet).tolist() == pytest.approx([0.127, 1.0])  # -18 dB, and what need not change


@pytest.mark.parametrize("rate", [8000, 30000])
def test_an_equalizer_acts_as_it_is_told(rate) -> None:
    equalizer = make_processors(rate)["equalizer"]
    hertz = torch.tensor([100.0, 400.0, 1600.0, 3200.0], dtype=torch.float64)
    gains = torch.tensor([[0.4, 1.0, 3.0, 1.5]], dtype=torch.float64).expand(2, -1)
    values, weight = equalizer.values_for_gains(hertz, gains)
    assert {name: value.shape for name, value in values.items()} == {"log_magnitude": (equalizer.num_bins,)}
    response = equalizer.response({"log_magnitude": values["log_magnitude"].unsqueeze(0)}, 2 * rate)[0, 0].real
    acting = 1 - weight + weight * response[(2 * hertz).long()]
    torch.testing.assert_close(acting, gains[0], rtol=0.05, atol=0)  # the window smooths corners


def test_most_processors_act_as_no_gain() -> None:
    hertz, gains = torch.tensor([100.0, 200.0]), torch.ones(2, 2)
    able = {
        name
        for name, processor in make_processors(RATE).items()
        if processor.values_for_gains(hertz, gains) is not None
    }
    assert able == {"equalizer", "gain_panning"}


@pytest.fixture(scope="module")
def song(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("songs") / "levels"
    sources, mix = parts
    (folder / "tracks").mkdir(parents=True)
    for name, audio in zip(LEVELS, sources, strict=True):
        soundfile.write(folder / "tracks" / f"{name}.wav", audio.T.numpy(), RATE, subtype="FLOAT")
    soundfile.write(folder / "mix.wav", mix.T.numpy(), RATE, subtype="FLOAT")
    (folder / "song.yaml").write_text(json.dumps({"subgroups": {"one": ["a.wav", "b.wav"], "two": ["c.wav"]}}))
    return folder


def started(paths, chain, subgroup_chain="", **options):
    module = ConsoleModule(chain, subgroup_chain, sample_rate=RATE, **options)
    data = SongData(paths, sample_rate=RATE, steps_per_stage=1, scored_seconds=1.0, cache_dir=None)
    search(module, data, [], 0, "cpu", enable_progress_bar=False)
    return module, data.songs


def test_a_console_starts_near_the_mix(song) -> None:
    losses = {}
    for initial in ("fitted", "heard", "drawn"):
        module, (song_record,) = started(str(song), "ecngr", "g", initial_values=initial)
        losses[initial] = module.score(song_record).loss["full"]
    assert losses["fitted"] < 0.7 * losses["heard"]
    assert losses["heard"] == pytest.approx(losses["drawn"])  # without a delay there is nothing to hear


def test_gains_alone_are_those_of_the_mix(song) -> None:
    module, _ = started(str(song), "g", initial_values="fitted")
    graph = module.graph
    for node, weight in zip(graph.processors, module.weights.tolist(), strict=True):
        wet = module.values["gain_panning"]["log_gain"][graph.rows[node]].exp()
        acting = decibels(1 - weight + weight * wet.detach())
        expected = decibels(LEVELS[graph.names[node]]).clone()
        if graph.names[node] != COLOURED:  # the level of that one has its colour in it
            assert acting.tolist() == pytest.approx(expected.tolist(), abs=1.5)


def test_only_the_tracks_own_chains_are_set_and_each_song_by_itself(song, tiny_song) -> None:
    both, songs = started([str(song), str(tiny_song)], "eg", "eg", initial_values="fitted")
    for loaded_song in songs:
        path = str({"levels": song, "tiny": tiny_song}[loaded_song.name])
        alone, _ = started(path, "eg", "eg", initial_values="fitted")
        drawn, _ = started(path, "eg", "eg", initial_values="drawn")
        part = both.part(loaded_song)
        for i, node in enumerate(part.graph.processors):
            node_type, row = part.graph.types[node], part.graph.rows[node]
            ((name, values),) = part.parameters[node_type].items()
            torch.testing.assert_close(values[row], alone.values[node_type][name][row], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(part.weights[i], alone.weights[i], rtol=1e-5, atol=1e-5)
            same = torch.equal(values[row], drawn.values[node_type][name][row])
            assert same == (part.graph.level(node) == "subgroup")


def test_a_search_that_goes_on_is_not_started_anew(song) -> None:
    module, _ = started(str(song), "g", initial_values="fitted")
    values = module.values["gain_panning"]["log_gain"].detach().clone()
    module.values["gain_panning"]["log_gain"].data += 1.0
    data = SongData(str(song), sample_rate=RATE, steps_per_stage=1, scored_seconds=1.0, cache_dir=None)
    search(module, data, [], 0, "cpu", enable_progress_bar=False)
    torch.testing.assert_close(module.values["gain_panning"]["log_gain"].detach(), values + 1.0)


def test_a_given_graph_without_gains_starts_as_drawn(song) -> None:
    module = ConsoleModule(sample_rate=RATE, initial_values="fitted")
    module.build(build_console({"one": ["a", "b"], "two": ["c"]}, "c", "e", "levels"))
    data = SongData(str(song), sample_rate=RATE, steps_per_stage=1, scored_seconds=1.0, cache_dir=None)
    search(module, data, [], 0, "cpu", enable_progress_bar=False)
    assert module.weights.tolist() == pytest.approx([0.5] * 5)
