"""Synthetic samples that other effects mixed, and recordings that are not clean."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mixgraph.estimators.cache import ExampleMaker, ExampleSettings
from mixgraph.estimators.module import EstimatorModule
from mixgraph.estimators.settings import EstimatorTask, NetworkSettings
from mixgraph.estimators.statistics import training_statistics
from mixgraph.losses import SongTarget, make_match_loss
from mixgraph.processors.usage import RandomSettings
from mixgraph.shards import read_shards, write_card, write_shards
from mixgraph.shards.meta import UNKNOWN_SETTINGS as IN_SHARDS
from mixgraph.songs.loudness import integrated_loudness
from mixgraph.synthetic import (
    UNKNOWN_SETTINGS,
    GenerationSettings,
    MixingSettings,
    RecordingSettings,
    generate,
    load_corpus,
)
from mixgraph.synthetic.cast import joined
from mixgraph.synthetic.corpus import INSTRUMENT_SECONDS
from mixgraph.synthetic.devices import DEVICES, draw_device
from mixgraph.synthetic.recording import as_recorded
from tools.generate_synthetic import pack

RATE = 8000
TASK = EstimatorTask(RATE, 2.0, "esgd", "cgr")
RECORDING = RecordingSettings(level_db=6, fade_share=0.3, bleed_share=0.5, noise_share=0.5)
MIXING = MixingSettings(effects_share=1.0, one_song_share=0.5, random_subgroups=0.5, passages=2)


@pytest.fixture(scope="module")
def others(plan):
    """A plan of samples that other effects mix, and four of them."""
    settings = replace(plan.settings, seconds=1.0, recording=RECORDING, mixing=MIXING, least_increase=0.02)
    changed = replace(plan, settings=settings)
    return changed, list(generate(changed, {"train": 4}))


def test_the_graph_tells_the_types_and_the_words_the_settings(others) -> None:
    plan, samples = others
    for sample in samples:
        graph, texts = sample.values.graph, sample.meta["effects"]
        assert sample.meta[UNKNOWN_SETTINGS] is True
        labels = [graph.label(node) for node in graph.processors]
        assert [text.split(": ")[0] + ": " + text.split(": ")[1] for text in texts[: len(labels)]] == labels
        assert all(text.startswith("behind the sum: ") for text in texts[len(labels) :])
        assert sample.mix.shape == (2, 2 * RATE)  # two passages
        assert float(integrated_loudness(sample.mix, RATE)) == pytest.approx(-16, abs=0.1)
        assert (sample.loss_increases >= plan.settings.least_increase).all()
        # The mix is another one than that of the tracks alone.
        target = SongTarget(make_match_loss(RATE), sample.mix)
        assert target.score(sample.sources.sum(dim=0)).loss["full"] > 0.05


@pytest.mark.long
def test_other_effects_do_not_depend_on_the_number_of_processes(others) -> None:
    plan, samples = others
    again = list(generate(plan, {"train": 4}, num_workers=2))
    for ours, theirs in zip(again, samples, strict=True):
        assert pack(ours, plan.settings) == pack(theirs, plan.settings)


def test_shards_say_that_settings_are_unknown_and_training_passes_them_over(others, generated, plan, tmp_path) -> None:
    assert UNKNOWN_SETTINGS == IN_SHARDS
    changed, samples = others
    mixed = [pack(s, changed.settings) for s in samples] + [pack(replace(generated[0], key="own"), plan.settings)]
    write_shards(mixed, tmp_path / "set")
    write_card(tmp_path / "set")
    assert "4 of them were made by other effects instead" in " ".join((tmp_path / "set/README.md").read_text().split())
    by_key = {sample.key: sample for sample in read_shards(tmp_path / "set")}
    other, own = by_key[samples[0].key], by_key["own"]
    assert (other.settings_known, own.settings_known) == (False, True)
    with pytest.raises(ValueError, match="cannot be rendered: other effects made its mix"):
        other.render(other.audio.tracks(0, other.num_samples))
    maker = ExampleMaker(ExampleSettings(TASK))
    (_, unknown), (_, known) = next(maker.make(other)), next(maker.make(own))
    assert unknown.keep.sum() > 0
    assert unknown.known.sum() == 0
    assert torch.equal(known.known, known.keep)
    statistics = training_statistics([known, unknown], TASK.types)
    alone = training_statistics([known], TASK.types)
    assert all(torch.equal(statistics.code_mean[t], alone.code_mean[t]) for t in TASK.types)
    assert sum(kept for kept, _ in statistics.slots.values()) == int(known.keep.sum() + unknown.keep.sum())
    module = EstimatorModule(TASK, NetworkSettings(width=16, num_layers=1)).eval()
    module.standardise(statistics)
    losses = module.losses_of(unknown, module.network(unknown))
    assert losses["parameters"] == 0
    assert losses["weight"] == 0
    assert losses["loss"] == losses["keep"] > 0
    with pytest.raises(ValueError, match="cannot be rendered"):
        next(ExampleMaker(ExampleSettings(TASK, target="rendered")).make(other))


@pytest.mark.parametrize("node_type", sorted(DEVICES))
def test_every_effect_changes_what_it_gets_and_stays_finite(node_type: str) -> None:
    rng = np.random.default_rng(1)
    envelope = np.exp(-6 * (np.arange(2 * RATE) / RATE % 0.5)) + 0.01
    signal = rng.standard_normal((2, 2 * RATE)) * envelope * 0.1
    for seed in range(6):
        draws = [RandomSettings(torch.Generator().manual_seed(seed)) for _ in range(2)]
        device, again = (draw_device(node_type, signal, RATE, draw) for draw in draws)
        out = device.run(signal)
        assert out.shape == signal.shape
        assert np.isfinite(out).all()
        change_db = 10 * math.log10(np.square(out - signal).sum() / np.square(signal).sum())
        assert change_db > -40
        assert device.text == again.text
        assert np.array_equal(out, again.run(signal))
        silence = draw_device(node_type, 0 * signal, RATE, RandomSettings(torch.Generator().manual_seed(seed)))
        assert np.array_equal(silence.run(0 * signal), 0 * signal)


def test_recordings_fade_bleed_and_hum_by_the_seed() -> None:
    tracks = torch.zeros(3, 2, RATE)
    tracks[0] = 0.5 * torch.sin(torch.arange(RATE) * 0.3)
    generator = torch.Generator()

    def recorded(**shares: float) -> torch.Tensor:
        return as_recorded(tracks, RATE, RecordingSettings(**shares), generator.manual_seed(3))

    assert torch.equal(recorded(), tracks)
    bleeding = recorded(bleed_share=1.0)
    assert torch.equal(bleeding[0], tracks[0])  # nothing else sounds
    levels = 10 * torch.log10(bleeding.square().mean(dim=(1, 2)) / tracks[0].square().mean())
    assert any(-45 < level < -15 for level in levels[1:].tolist())
    noisy = recorded(noise_share=1.0)
    floor = 10 * torch.log10((noisy - tracks).square().mean(dim=(1, 2)))
    assert ((floor > -95) & (floor < -45)).all()
    assert torch.equal(noisy[1, 0], noisy[1, 1])  # a mono track stays one
    faded = recorded(fade_share=1.0)[0, 0].square().view(8, -1).mean(dim=1)
    assert min(faded[0], faded[-1]) < 0.5 * max(faded[0], faded[-1])
    assert torch.equal(recorded(bleed_share=0.5, noise_share=0.5), recorded(bleed_share=0.5, noise_share=0.5))


def test_passages_meet_in_fades() -> None:
    one = torch.ones(2, RATE)
    assert joined([one], RATE) is one
    both = joined([one, 2 * one], RATE)
    assert both.shape == (2, 2 * RATE)
    assert both[0, RATE - 1] == both[0, RATE] == 0
    assert both[0, RATE // 2] == 1
    assert both[0, RATE + RATE // 2] == 2


def test_songs_of_instruments_are_made_once(plan, tmp_path) -> None:
    corpus = load_corpus(plan.songs, RATE, tmp_path, num_instrument_songs=1)
    song = corpus.songs["instruments_0"]
    assert song.num_samples == round(INSTRUMENT_SECONDS * RATE)
    assert song.subgroups["drums"] == ("kick", "snare", "hats")
    (file,) = tmp_path.glob("instruments-*.safetensors")
    stamp = file.stat().st_mtime_ns
    again = load_corpus(plan.songs, RATE, tmp_path, num_instrument_songs=1)
    assert torch.equal(again.songs["instruments_0"].sources, song.sources)
    assert file.stat().st_mtime_ns == stamp
    assert {t.split for t in corpus.tracks if t.song == "instruments_0"} == {"train", "validation", "test"}


def test_tracks_of_one_song_are_from_one_place(plan) -> None:
    settings = replace(plan.settings, least_increase=None, mixing=MixingSettings(one_song_share=1.0))
    for sample in generate(replace(plan, settings=settings), {"train": 3}):
        assert len({source["song"] for source in sample.meta["sources"]}) == 1
        assert UNKNOWN_SETTINGS not in sample.meta


def test_subgroups_at_random_have_their_own_names(plan) -> None:
    settings = replace(plan.settings, least_increase=None, mixing=MixingSettings(random_subgroups=1.0))
    for sample in generate(replace(plan, settings=settings), {"train": 3}):
        assert all(group.startswith("group_") for group in sample.values.graph.members)


def test_settings_are_checked() -> None:
    with pytest.raises(
        ValueError, match=r"bleed_share: 0 to 1 expected, got 2; effects_share: .* got -1; passages: at"
    ):
        GenerationSettings(
            recording=RecordingSettings(bleed_share=2), mixing=MixingSettings(effects_share=-1, passages=0)
        )
    with pytest.raises(ValueError, match="effects_share: 0 is needed with late_reverb: no other effect does their job"):
        GenerationSettings(subgroup_chain="l", mixing=MixingSettings(effects_share=0.5))
