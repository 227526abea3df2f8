"""Gains of engineers who listen: tracks get the loudness that they shall have."""

import math
import statistics
from dataclasses import replace

import pytest
import torch

from mixgraph.graph import build_console
from mixgraph.losses import make_match_loss
from mixgraph.processors import make_processors
from mixgraph.processors.usage import RandomSettings
from mixgraph.songs.loudness import integrated_loudness
from mixgraph.synthetic import MixingSettings, generate
from mixgraph.synthetic.balance import GAINS_DB, LEAST_CHANGE_LU, ROLES, WAY, Balance, draw_balance
from mixgraph.synthetic.engineer import Engineer, draw_settings
from mixgraph.synthetic.studio import Studio

RATE = 8000


def noise(seed: int, gain_db: float = 0.0) -> torch.Tensor:
    white = torch.randn(2, RATE, generator=torch.Generator().manual_seed(seed))
    return 0.05 * 10 ** (gain_db / 20) * white


def drawn(names: list[str], sources: torch.Tensor, seed: int, engineer: Engineer | None = None) -> Balance:
    draw = RandomSettings(torch.Generator().manual_seed(seed))
    return draw_balance(names, names, sources, -16.0, RATE, draw, engineer)


def test_the_gain_makes_a_track_as_loud_as_wanted_wherever_it_is_panned() -> None:
    processor = make_processors(RATE)["gain_panning"]
    for seed, wanted in enumerate((-30.0, -24.0, -20.0)):
        signal = noise(seed)
        balance = Balance({"pad": wanted}, {"pad": integrated_loudness(signal, RATE)}, RATE)
        values, _ = draw_settings(processor, signal, 1.0, torch.Generator().manual_seed(seed))
        moved = balance.set_gain(processor, values, "pad", signal)
        panning = [float(v["log_gain"][0] - v["log_gain"][1]) for v in (values, moved)]
        assert panning[1] == pytest.approx(panning[0], abs=1e-5)
        louder = processor(signal.unsqueeze(0), {"log_gain": moved["log_gain"].unsqueeze(0)})[0]
        assert integrated_loudness(louder, RATE) == pytest.approx(wanted, abs=0.2)  # both sides are nearly as loud


def test_gains_stay_in_their_range_and_silence_gets_none() -> None:
    balance = Balance({"pad": -10.0, "kick": -60.0}, {"pad": -40.0, "kick": -20.0}, RATE)
    assert balance.gain_db("pad", noise(0, -40)) == GAINS_DB[1]
    assert balance.gain_db("kick", noise(0)) == GAINS_DB[0]
    assert balance.gain_db("pad", torch.zeros(2, RATE)) == 0.0


def test_only_tracks_that_are_off_need_a_gain() -> None:
    near, far = -20 + 0.9 * LEAST_CHANGE_LU, -20 - 1.1 * LEAST_CHANGE_LU
    balance = Balance({"pad": -20.0, "kick": -20.0}, {"pad": near, "kick": far}, RATE)
    assert [balance.needs_gain(name) for name in ("pad", "kick")] == [False, True]


@pytest.mark.parametrize("sounding", [True, False])
def test_tracks_without_sound_get_no_gain(sounding: bool) -> None:
    balance = drawn(["pad", "kick"], torch.stack([noise(0) if sounding else 0 * noise(0), 0 * noise(1)]), 3)
    assert not balance.needs_gain("kick")
    assert all(math.isfinite(wanted) for wanted in balance.wanted_lufs.values())


def test_tracks_move_towards_equal_loudness_and_their_roles() -> None:
    sources = torch.stack([noise(0), noise(1), noise(2, -12)])
    balances = [drawn(["vox", "pad", "saw"], sources, seed) for seed in range(60)]
    vocals, pads, quiet = (statistics.mean(b.wanted_lufs[name] for b in balances) for name in ("vox", "pad", "saw"))
    way = statistics.mean(WAY)
    assert vocals - pads == pytest.approx(way * ROLES["lead_vocals"], abs=0.9)
    assert pads - quiet == pytest.approx(12 * (1 - way), abs=0.9)  # they came 12 dB apart
    silent = drawn(["vox", "pad"], torch.stack([noise(0), torch.zeros(2, RATE)]), 0)
    assert math.isinf(silent.dry_lufs["pad"])
    assert math.isfinite(silent.wanted_lufs["pad"])


def test_an_engineer_has_the_same_taste_in_every_song() -> None:
    sources = torch.stack([noise(0), noise(1)])

    def differences(engineers: list[str]) -> list[float]:
        balances = [drawn(["vox", "pad"], sources, seed, Engineer(name)) for seed, name in enumerate(engineers)]
        return [balance.wanted_lufs["vox"] - balance.wanted_lufs["pad"] for balance in balances]

    same = statistics.stdev(differences(["ann"] * 30))
    others = statistics.stdev(differences([f"engineer_{i}" for i in range(30)]))
    assert same < 0.7 * others  # a fifth of the variance is the song's: .45


@pytest.mark.long
def test_samples_of_engineers_who_listen_are_balanced(plan) -> None:
    settings = replace(
        plan.settings,
        least_increase=None,
        track_chain="g",
        subgroup_chain="r",
        recording=replace(plan.settings.recording, level_db=12.0),
    )
    spreads = []
    for share in (0.0, 1.0):
        changed = replace(plan, settings=replace(settings, mixing=MixingSettings(balanced_share=share)))
        levels = []
        for sample in generate(changed, {"train": 16}):
            graph, sources = sample.values.graph, sample.sources
            gains = torch.ones(len(sources), 2, 1)
            for node in graph.nodes_of("gain_panning"):
                track = next(graph.rows[i] for i in graph.inputs if graph.names[i] == graph.names[node])
                wet = sample.values.parameters["gain_panning"]["log_gain"][graph.rows[node]].exp()
                weight = float(sample.values.weights[graph.processors.index(node)])
                gains[track, :, 0] = 1 + weight * (wet - 1)
            loudness = [integrated_loudness(source, changed.settings.sample_rate) for source in sources * gains]
            levels += [one - max(loudness) for one in loudness]
        spreads.append(statistics.pstdev(levels))
    assert spreads[1] < 0.75 * spreads[0]


def test_other_effects_follow_the_balance_too() -> None:
    sources = torch.stack([noise(0), noise(1, -12)])
    console = build_console({"synths": ["pad", "saw"]}, "g", "e")
    level = integrated_loudness(sources.sum(dim=0), RATE)
    dry = {name: integrated_loudness(s, RATE) - level - 16 for name, s in zip(("pad", "saw"), sources, strict=True)}
    balance = Balance({"pad": dry["pad"] - 5, "saw": dry["saw"] + 4}, dry, RATE)
    studio = Studio(make_match_loss(RATE), -16.0, None, balance)
    mix = studio.mix(console, console.nodes_of("gain_panning"), sources, torch.Generator().manual_seed(0))
    assert mix is not None
    assert [text.split(": ")[-1].split(" dB")[0] for text in mix.settings[:2]] == ["-5.0", "+4.0"]
