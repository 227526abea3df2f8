"""ConsoleModule: objective, ramp, pruning with the optimizer, checkpoints."""

import copy
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import lightning as L
import numpy as np
import pytest
import soundfile
import torch

from callbacks import IterativePruning
from datamodules import SongData
from mixgraph.graph import batch, build_console
from mixgraph.graph.values import GraphValues
from mixgraph.losses import LossSettings, make_match_loss
from mixgraph.processors import registered
from mixgraph.render import render
from mixgraph.render.oracle import render_oracle
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule
from mixgraph.search.optimizer import shrink_optimizer
from mixgraph.search.settings import OptimizerSettings, RegularizerSettings

pytestmark = pytest.mark.usefixtures("blank_pictures")

RATE = 8000
SUBGROUPS = {"drums": ("kick", "hat"), "lead": ("lead",)}


def data(path, **options):
    return SongData(
        path if isinstance(path, list) else str(path),
        **({"sample_rate": RATE, "steps_per_stage": 3, "scored_seconds": 1.0} | options),
    )


def console(chain="ecnsgdr", **options):
    return ConsoleModule(chain, chain, sample_rate=RATE, **options).build(build_console(SUBGROUPS, chain, chain))


@pytest.fixture
def clip(tiny_song):
    return data(tiny_song).clips()(0)


@torch.no_grad()
def test_levels_by_octave_are_a_term_where_they_have_a_weight(clip) -> None:
    plain, weighted = console(), console(regularizers=RegularizerSettings(octave_weight=0.5))
    without, with_octaves = plain.losses(clip), weighted.losses(clip)
    assert "match/octaves" not in without
    assert float(with_octaves["match/octaves"]) > 0
    expected = float(without["loss"] + 0.5 * with_octaves["match/octaves"])
    assert float(with_octaves["loss"]) == pytest.approx(expected, rel=1e-6)


def test_initial_values_are_small_seeded_and_half_wet() -> None:
    first, again, other = console(), console(), console(seed=7)
    assert first.weights.tolist() == [0.5] * 35
    for name, value in first.named_parameters():
        assert torch.equal(value, dict(again.named_parameters())[name])
    values = torch.cat(
        [
            (v - first.processors[t].specification[n].mean).flatten()
            for t, parameters in first.parameters_by_type().items()
            for n, v in parameters.items()
        ]
    )
    assert values.std().item() == pytest.approx(0.01, rel=0.05)  # N(0, 0.01^2), some 10,000 of them
    assert not torch.equal(first.values["equalizer"]["log_magnitude"], other.values["equalizer"]["log_magnitude"])


def test_objective_is_the_stated_sum(clip) -> None:
    module = console()
    module.prune_phase, module.pruning_steps = True, 500
    losses = module.losses(clip)
    rendered = render(
        GraphValues(module.graph, module.parameters_by_type(), module.weights),
        module.processors,
        clip.sources,
        length=clip.targets.shape[-1],
    )
    match = make_match_loss(RATE)(rendered.mix[..., RATE:], clip.targets[..., RATE:])
    assert losses["match/full"].item() == pytest.approx(match.full.item(), rel=1e-5)
    radius = torch.tanh(module.values["delay"]["delay_z"].norm(dim=-1))
    assert losses["parameter_penalty"].item() == pytest.approx(0.005 * (1 - radius).square().sum().item(), rel=1e-5)
    assert losses["sparsity"].item() == pytest.approx(17.5)
    expected = losses["match/full"] + 1e-3 * losses["gain_staging"] + losses["parameter_penalty"] + 1e-4 * 0.25 * 17.5
    assert losses["loss"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_gain_staging_is_the_log_ratio_of_mid_norms(clip) -> None:
    """One equalizer of known gain: |ln ||wet|| - ln ||dry||| is that gain (paper eq. 5)."""
    module = ConsoleModule("e", "", sample_rate=RATE).build(build_console(SUBGROUPS, "e", ""))
    with torch.no_grad():
        module.values["equalizer"]["log_magnitude"].fill_(0.7)
    # The floor of 1e-7 under the mean energy shifts the quietest track by about 1e-4.
    assert module.losses(clip)["gain_staging"].item() == pytest.approx(3 * 0.7, rel=1e-3)
    settings = RegularizerSettings(gain_staging_unit="energy", gain_staging_channel="both")
    doubled = ConsoleModule("e", "", sample_rate=RATE, regularizers=settings).build(module.graph)
    doubled.load_state_dict(module.state_dict())
    assert doubled.losses(clip)["gain_staging"].item() == pytest.approx(2 * 3 * 0.7, rel=1e-3)


def test_sparsity_has_no_force_before_the_pruning_phase(clip) -> None:
    module = console("g")
    losses = module.losses(clip)
    assert losses["loss"].item() == pytest.approx(losses["match/full"].item(), rel=1e-6)


@pytest.mark.parametrize(("kept", "last", "pressed"), [(True, True, 1), (False, True, 0), (False, False, 1)])
def test_sparsity_can_end_before_the_last_stage(clip, kept, last, pressed) -> None:
    settings = RegularizerSettings(sparsity_weight=0.1, sparsity_ramp_steps=1, sparsity_last_stage=kept)
    module = console("g", regularizers=settings)
    module.prune_phase, module.pruning_steps, module.last_stage = True, 1, last
    losses = module.losses(clip)
    expected = losses["match/full"] + pressed * 0.1 * losses["sparsity"]
    assert losses["sparsity"] > 1
    assert losses["loss"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_last_stage_is_known(tiny_song) -> None:
    stages_seen = []

    class Watch(L.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            stages_seen.append((trainer.current_epoch, pl_module.last_stage))

    search(console("g"), data(tiny_song, steps_per_stage=1), [Watch()], 3, "cpu", enable_progress_bar=False)
    assert stages_seen == [(0, False), (1, False), (2, True)]


@pytest.mark.parametrize(("chain", "equalizers"), [("g", 2), ("ee", 3)])
def test_clips_reach_as_far_as_the_console_looks_ahead(tiny_song, chain, equalizers) -> None:
    songs, lookaheads = data(tiny_song), []

    class Listen(L.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            lookaheads.append(batch.sources.shape[-1] - batch.targets.shape[-1])

    module = ConsoleModule(chain, "e", sample_rate=RATE)
    search(module, songs, [Listen()], 1, "cpu", enable_progress_bar=False)
    equalizer_lookahead = module.processors["equalizer"].before
    assert set(lookaheads) == {equalizers * equalizer_lookahead}
    assert module.lookahead == (3 if chain == "ee" else 1) * equalizer_lookahead
    reader = songs.clips(module.lookahead)
    longer = songs.clips(module.lookahead + 5000)
    assert torch.equal(module.losses(reader(0))["loss"], module.losses(longer(0))["loss"])


def test_training_lowers_the_loss_and_counts_ramp_steps(tiny_song) -> None:
    module, song_data = console("g"), data(tiny_song, steps_per_stage=40)
    before = module.score(song_data.song).loss["full"]
    search(module, song_data, [], 2, "cpu", enable_progress_bar=False)
    assert module.score(song_data.song).loss["full"] < 0.8 * before
    assert module.pruning_steps == 0


def test_pruning_equals_masked_training_bit_for_bit() -> None:
    """Moments and step counts move with the rows: the survivors go on as if the dead rows had only been masked."""
    torch.manual_seed(0)
    whole = torch.nn.Parameter(torch.randn(6, 4))
    kept = [0, 2, 5]
    gradients = torch.randn(20, 6, 4)
    masked = torch.optim.AdamW([{"params": [whole], "lr": 0.01}], weight_decay=0.0)
    for gradient in gradients[:10]:
        whole.grad = gradient
        masked.step()
    pruned = torch.nn.Parameter(whole.detach()[kept].clone())
    copied = torch.nn.Parameter(whole.detach().clone())
    optimizer = torch.optim.AdamW([{"params": [copied], "lr": 0.01}], weight_decay=0.0)
    optimizer.load_state_dict(copy.deepcopy(masked.state_dict()))
    shrink_optimizer(optimizer, {copied: pruned}, {copied: kept})
    for gradient in gradients[10:]:
        whole.grad, pruned.grad = gradient, gradient[kept]
        masked.step()
        optimizer.step()
    assert torch.equal(whole.detach()[kept], pruned.detach())


class _Rates(L.Callback):
    """Notes the learning rates of every step."""

    def __init__(self) -> None:
        self.rates_seen = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        self.rates_seen.append({group["name"]: group["lr"] for group in optimizer.param_groups})


def test_rates_fall_along_half_a_cosine_over_the_last_stage(tiny_song) -> None:
    rates, pruning = _Rates(), IterativePruning(2, 1, tolerance=0.5, leave_one_out=False)
    settings = OptimizerSettings(0.03, final_learning_rate=0.01, rate_factors={"dry_wet": 2.0, "reverb": 0.0})
    module = ConsoleModule("gr", "g", sample_rate=RATE, optimizer=settings)
    search(module, data(tiny_song), [pruning, rates], 3, "cpu", enable_progress_bar=False)
    progress = [0.0] * 6 + [step / 3 for step in range(3)]
    expected = [0.02 + 0.01 * math.cos(math.pi * share) for share in progress]
    assert [rates_of_step["gain_panning"] for rates_of_step in rates.rates_seen] == pytest.approx(expected)
    assert [rates_of_step["dry_wet"] for rates_of_step in rates.rates_seen] == pytest.approx(
        [2 * rate for rate in expected]
    )
    assert {rates_of_step["reverb"] for rates_of_step in rates.rates_seen} == {0.0}
    constant = _Rates()
    module = ConsoleModule("g", "", sample_rate=RATE, optimizer=OptimizerSettings(0.01, None, {"dry_wet": 0.5}))
    search(module, data(tiny_song), [constant], 1, "cpu", enable_progress_bar=False)
    assert constant.rates_seen == [{"dry_wet": 0.005, "gain_panning": 0.01}] * 3


def test_rates_never_rise() -> None:
    assert [OptimizerSettings(0.001).rate(share) for share in (0.0, 0.5, 1.0)] == [0.001] * 3


def test_the_optimizer_is_that_of_the_settings() -> None:
    settings = OptimizerSettings(betas=(0.7, 0.9), weight_decay=0.25)
    groups = console("eg", optimizer=settings).configure_optimizers().param_groups
    assert [(group["betas"], group["weight_decay"]) for group in groups] == [((0.7, 0.9), 0.25)] * 3
    groups = console("eg").configure_optimizers().param_groups
    assert [(group["betas"], group["weight_decay"]) for group in groups] == [((0.8, 0.97), 0.0)] * 3


def test_a_parameter_may_have_a_rate_of_its_own() -> None:
    module = console("gd", optimizer=OptimizerSettings(0.1, rate_factors={"delay": 0.5, "delay.delay_z": 0.01}))
    groups = {group["name"]: group for group in module.configure_optimizers().param_groups}
    usual = {group["name"]: group["lr"] for group in console("gd").configure_optimizers().param_groups}
    assert usual["delay.delay_z"] == pytest.approx(0.01 * usual["delay"])  # delays start where they are heard
    drawn = console("gd", initial_values="drawn").configure_optimizers().param_groups
    assert [group["name"] for group in drawn] == ["dry_wet", "delay", "gain_panning"]  # and elsewhere they must move
    assert {name: group["lr"] for name, group in groups.items()} == pytest.approx(
        {"dry_wet": 0.6, "gain_panning": 0.1, "delay": 0.05, "delay.delay_z": 0.001}  # dry/wet logits are fast
    )
    assert groups["delay.delay_z"]["params"] == [module.values["delay"]["delay_z"]]
    assert groups["delay"]["params"] == [module.values["delay"]["log_fir_magnitude"]]


def test_initial_values_are_heard_in_each_songs_own_mix(tiny_song, duo_song) -> None:
    def started(paths, **options):
        module = ConsoleModule("dg", "d", sample_rate=RATE, **options)
        songs = SongData(paths, sample_rate=RATE, steps_per_stage=1, scored_seconds=1.0, cache_dir=None)
        search(module, songs, [], 0, "cpu", enable_progress_bar=False)
        return module, songs.songs

    both, songs = started([str(tiny_song), str(duo_song)])
    for song in songs:
        path = str({"tiny": tiny_song, "duo": duo_song}[song.name])
        (alone, _), (drawn, _), part = started(path), started(path, initial_values="drawn"), both.part(song)
        for node_type, values in part.parameters.items():
            for name, value in values.items():
                assert torch.equal(value, alone.values[node_type][name])
                assert torch.equal(value, drawn.values[node_type][name]) == (node_type != "delay")


def test_each_node_hears_its_own_sources() -> None:
    """Two tracks with an echo each, and their subgroups."""
    generator = torch.Generator().manual_seed(0)
    sources = torch.randn(2, 2, 4 * RATE, generator=generator)
    mix = sources.sum(dim=0)
    for track, seconds in enumerate((0.35, 0.55)):
        lag = round(seconds * RATE)
        mix[:, lag:] += 0.7 * sources[track, :, :-lag]
    module = ConsoleModule("d", "d", sample_rate=RATE).build(build_console({"a": ["x"], "b": ["y"]}, "d", "d"))
    module.init_from_mix([SimpleNamespace(sources=sources, mix=mix)], module.processors)
    magnitudes = module.values["delay"]["log_fir_magnitude"]
    levels = module.processors["delay"].specification["log_fir_magnitude"].to_unit(magnitudes).mean(dim=-1)
    loudest = levels.view(-1, 2, 20).argmax(dim=-1)  # of the segments of 100 ms, left and right
    rows = {module.graph.names[node]: module.graph.rows[node] for node in module.graph.processors}
    assert {name: loudest[row].tolist() for name, row in rows.items()} == {
        "x": [3, 3],
        "y": [5, 5],
        "a": [3, 3],
        "b": [5, 5],
    }


def test_a_graph_that_was_given_starts_from_what_is_heard(tiny_song) -> None:
    def started(build):
        module = ConsoleModule("dg", "d", sample_rate=RATE)
        songs = SongData(str(tiny_song), sample_rate=RATE, steps_per_stage=1, scored_seconds=1.0, cache_dir=None)
        songs.setup("fit")
        if build:
            module.build(build_console(songs.song.subgroups, "dg", "d", songs.song.name))
        search(module, songs, [], 0, "cpu", enable_progress_bar=False)
        return module.state_dict()

    built_graph, given_graph = started(False), started(True)
    assert built_graph.keys() == given_graph.keys()
    assert all(torch.equal(value, given_graph[name]) for name, value in built_graph.items())


def test_every_type_that_can_be_staged_is_by_default(clip) -> None:
    staged = {chain: console(chain).losses(clip)["gain_staging"].item() for chain in ("e", "p", "l", "g", "s")}
    assert {chain for chain, value in staged.items() if value > 0} == {"e", "p", "l"}
    few = console("ep", regularizers=RegularizerSettings(gain_staging_types=["equalizer"]))
    assert 0 < few.losses(clip)["gain_staging"] < console("ep").losses(clip)["gain_staging"]


def test_a_return_may_be_called_like_a_track_that_ducks() -> None:
    module = ConsoleModule("g", "g", sample_rate=RATE, returns={"vox": "r"}, sidechains={"vox": "kick"})
    graph = build_console({"all": ["vox", "kick"]}, "g", "g", returns=module.returns, sidechains=module.sidechains)
    assert module.build(graph).graph.count()["send"] == 2
    with pytest.raises(ValueError, match=r"returns: 'room'"):
        ConsoleModule("g", "g", returns={"room": ""})
    with pytest.raises(ValueError, match="chain"):
        ConsoleModule("g", "g", returns={"room": "("})


def test_rates_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="numbers from 0 are needed"):
        OptimizerSettings(final_learning_rate=-1.0)
    with pytest.raises(ValueError, match=r"rate_factors: some of dry_wet, .*reverb.*, got \['chorus'\]"):
        console("g", optimizer=OptimizerSettings(rate_factors={"chorus": 1.0}))


def test_shrink_optimizer_refuses_foreign_parameters() -> None:
    owned, foreign = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([owned])
    with pytest.raises(ValueError, match="1 of the pruned parameters are not in it"):
        shrink_optimizer(optimizer, {foreign: owned}, {foreign: [0, 1]})


class PruneOnce(L.Callback):
    """Removes given processors before the second stage, and checks the optimizer after it."""

    def __init__(self, gone):
        self.gone = gone

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch != 1:
            return
        graph = pl_module.graph
        pl_module.prune([node for i, node in enumerate(graph.processors) if i not in self.gone])
        owned = {id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]}
        assert owned == {id(p) for p in pl_module.parameters()}
        for p in pl_module.parameters():
            if p.numel():
                assert trainer.optimizers[0].state[p]["exp_avg"].shape == p.shape
                assert trainer.optimizers[0].state[p]["step"] == 3


def test_prune_in_a_fit_keeps_rows_and_moments(tiny_song) -> None:
    module = console("eg", optimizer=OptimizerSettings(rate_factors={"dry_wet": 0.0}))
    tag = torch.arange(len(module.graph.processors)).float()
    with torch.no_grad():
        module.dry_wet_logits.copy_(tag / 100)
    before = module.graph
    search(module, data(tiny_song), [PruneOnce({0, 3, 4})], 2, "cpu", enable_progress_bar=False)
    left = [i for i in range(len(before.processors)) if i not in (0, 3, 4)]
    assert [module.graph.label(n) for n in module.graph.processors] == [
        before.label(before.processors[i]) for i in left
    ]
    assert torch.equal(module.dry_wet_logits.detach(), tag[left] / 100)
    assert module.values["equalizer"]["log_magnitude"].shape[0] == module.graph.count()["equalizer"]


def test_a_type_may_vanish_altogether(tiny_song) -> None:
    module = console("eg")
    equalizers = {i for i, n in enumerate(module.graph.processors) if module.graph.types[n] == "equalizer"}
    search(module, data(tiny_song), [PruneOnce(equalizers)], 2, "cpu", enable_progress_bar=False)
    assert module.graph.count() == {"gain_panning": 5}
    assert module.statistics()["ratio/equalizer"] == 0.0


def test_reference_mode_forgets_moments_at_every_stage(tiny_song) -> None:
    steps = []

    class Watch(L.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            steps.append({int(s["step"]) for s in trainer.optimizers[0].state.values()})

    for keep in (True, False):
        module = console("g", optimizer=OptimizerSettings(keep_moments=keep))
        search(module, data(tiny_song), [Watch()], 2, "cpu", enable_progress_bar=False)
    assert steps == [{3}, {6}, {3}, {3}]


def test_checkpoint_loads_after_pruning(tiny_song, tmp_path) -> None:
    module = console("eg")
    module.prune(module.graph.processors[2:])
    module.prune_phase, module.pruning_steps = True, 17
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "c.ckpt")
    loaded = ConsoleModule("eg", "eg", sample_rate=RATE)
    saved = torch.load(tmp_path / "c.ckpt", weights_only=True)
    loaded.on_load_checkpoint(saved)
    loaded.load_state_dict(saved["state_dict"])
    assert loaded.graph == module.graph
    assert torch.allclose(loaded.weights, module.weights, atol=1e-6)
    assert (loaded.prune_phase, loaded.pruning_steps) == (True, 17)
    assert loaded.initial_counts == module.initial_counts == [{"equalizer": 5, "gain_panning": 5}]
    assert loaded.consoles == module.consoles


def test_checkpoints_that_do_not_fit_are_refused() -> None:
    module = console("g")
    checkpoint = {"state_dict": module.state_dict()}
    with pytest.raises(ValueError, match="it was not made by a ConsoleModule"):
        module.on_load_checkpoint(checkpoint)
    module.on_save_checkpoint(checkpoint)
    with pytest.raises(ValueError, match="sample_rate: the checkpoint was made with 8000, got 30000"):
        ConsoleModule("g", "g").on_load_checkpoint(checkpoint)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown processor letter 'z' in chain 'ez'"):
        ConsoleModule("ez")
    with pytest.raises(ValueError, match="returns: 'room': a name that no subgroup has, and letters of a chain"):
        ConsoleModule(returns={"room": ""})
    with pytest.raises(ValueError, match="sidechains: subgroup bass -> subgroup bass: none can wait"):
        ConsoleModule(sidechains={"bass": "bass"})
    with pytest.raises(ValueError, match=r"betas: two numbers from 0 to below 1 are needed, got \(0.9, 1.0\)"):
        OptimizerSettings(betas=(0.9, 1.0))
    with pytest.raises(ValueError, match=r"gain_staging_types: some of .*got \['compressor'\]"):
        ConsoleModule(regularizers=RegularizerSettings(gain_staging_types=["compressor"]))
    with pytest.raises(ValueError, match="options of processor 'equalizer'"):
        ConsoleModule(processors={"equalizer": {"windw": "periodic"}})
    with pytest.raises(ValueError, match="unknown processor type 'equaliser'"):
        ConsoleModule(processors={"equaliser": {}})
    with pytest.raises(RuntimeError, match="the module has no graph yet"):
        _ = ConsoleModule().graph


def test_two_devices_are_refused(tiny_song) -> None:
    trainer_options = {"devices": 2, "strategy": "ddp"}
    module = ConsoleModule("g", "g", sample_rate=RATE)
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, max_epochs=1, **trainer_options)
    module.trainer = trainer
    with pytest.raises(ValueError, match="a search runs on a single device, got 2"):
        module.setup("fit")


def test_whole_song_score_is_of_the_rendered_mix(tiny_song) -> None:
    module, song = console("g"), data(tiny_song).song
    score = module.score(song)
    assert math.isfinite(score.loss["full"])
    assert len(score.windows) == 2  # 3 s in windows of 2.8 s
    expected = sum(w * v for w, v in zip((2.8 / 3, 0.2 / 3), score.windows, strict=True))
    assert score.loss["full"] == pytest.approx(expected, rel=1e-6)
    prediction = ConsoleModule("g", "g", sample_rate=RATE, loss=LossSettings(denominator="prediction"))
    prediction.load(module.graph, module.parameters_by_type(), module.weights)
    assert prediction.score(song).loss == pytest.approx(score.loss)  # both are reported, whatever is trained on


def test_a_base_graph_is_the_dry_sum_and_skips_its_stages(tiny_song) -> None:
    """Row one of the paper's Table 1, a console without processors, is measured like every other."""
    module, songs = ConsoleModule("", "", sample_rate=RATE), data(tiny_song)
    trainer = search(module, songs, [], 3, "cpu", enable_progress_bar=False)
    assert (trainer.global_step, trainer.current_epoch) == (0, 3)
    dry_sum = module.target(songs.song).score(lambda start, stop: songs.song.sources[..., start:stop].sum(dim=0))
    assert module.score(songs.song).loss == pytest.approx(dry_sum.loss)


@pytest.fixture
def two(tiny_song, duo_song):
    """Data of two songs, the module of both, and the module of each."""
    both = data([str(tiny_song), str(duo_song)])
    graphs = [build_console(song.subgroups, name=song.name) for song in both.songs]
    return both, *(ConsoleModule(sample_rate=RATE).build(graph) for graph in (batch(graphs), *graphs))


def test_songs_of_a_batch_start_as_they_do_alone(two) -> None:
    both, module, *alone = two
    for song, single in zip(both.songs, alone, strict=True):
        part = module.part(song)
        assert part.graph == single.graph
        assert torch.equal(part.weights, single.weights)
        for node_type, parameters in single.parameters_by_type().items():
            for name, value in parameters.items():
                assert torch.equal(part.parameters[node_type][name], value)


def test_losses_and_gradients_of_a_batch_are_those_of_its_songs(two) -> None:
    """In float64, where another order of summation is worth some 1e-15 of a sum of 1e5 terms."""

    def losses(module, songs, clip):
        module.double()
        module.loudest = torch.stack([module.target(song).loudest for song in songs])
        batch_losses = module.losses(clip._replace(sources=clip.sources.double(), targets=clip.targets.double()))
        batch_losses["loss"].backward()
        return batch_losses

    both, module, *alone = two
    batch_losses = losses(module, both.songs, both.clips()(5))
    song_losses = [
        losses(single, [song], reader(5))
        for song, single, reader in zip(both.songs, alone, both.clips().readers, strict=True)
    ]
    for name, value in song_losses[0].items():
        assert batch_losses[name].item() == pytest.approx(value.item() + song_losses[1][name].item(), rel=1e-9), name
    assert [batch_losses[f"match/full/{song.name}"].item() for song in both.songs] == pytest.approx(
        [loss["match/full"].item() for loss in song_losses], rel=1e-9
    )
    assert set(batch_losses) - set(song_losses[0]) == {"match/full/tiny", "match/full/duo"}
    for node_type, parameters in module.parameters_by_type().items():
        for name, value in parameters.items():
            expected = torch.cat([single.values[node_type][name].grad for single in alone])
            assert (value.grad - expected).abs().max() <= 1e-9 * expected.abs().max(), (node_type, name)
    weights = torch.cat([single.dry_wet_logits.grad for single in alone])
    torch.testing.assert_close(module.dry_wet_logits.grad, weights, rtol=1e-9, atol=1e-12)


def test_whole_songs_of_a_batch_sound_as_they_do_alone(two) -> None:
    both, module, *alone = two
    for song, single in zip(both.songs, alone, strict=True):
        assert torch.equal(module.render(song), single.render(song))
        assert module.score(song) == single.score(song)
        assert module.paper_score(song) == single.paper_score(song)
        assert module.target(song) is module.target(song)


def test_statistics_are_of_all_songs_and_of_each(two) -> None:
    _, module, first, second = two
    gone = [i for i in module.graph.nodes_of("reverb") if module.graph.songs[i] == 1]
    module.prune([i for i in module.graph.processors if i not in gone])
    statistics = module.statistics()
    assert (statistics["ratio/reverb"], statistics["ratio/reverb/tiny"], statistics["ratio/reverb/duo"]) == (
        5 / 8,
        1.0,
        0.0,
    )
    assert (
        statistics["num_processors"] == 35 + 18 == statistics["num_processors/tiny"] + statistics["num_processors/duo"]
    )
    assert first.statistics() == {k.removesuffix("/tiny"): v for k, v in statistics.items() if k.endswith("/tiny")}
    assert second.initial_counts == module.initial_counts[1:]


def test_songs_that_are_not_the_graphs_are_refused(two, tiny_song, tmp_path) -> None:
    both, module, *_ = two
    other = replace(both.songs[0], name="other")
    with pytest.raises(ValueError, match="song: one of tiny, duo, got other"):
        module.render(other)
    with pytest.raises(ValueError, match=r"data.path: the graph is of tiny, duo \(in this order\), got tiny"):
        search(module, data(tiny_song), [], 1, "cpu", enable_progress_bar=False)


def test_tracks_that_are_not_the_graphs_are_refused(tiny_song, tmp_path) -> None:
    """Values go by row: the same tracks in another order would be another mix."""
    module = console("g").build(build_console(SUBGROUPS, "g", ""))
    search(module, data(tiny_song), [], 1, "cpu", enable_progress_bar=False)
    swapped = shutil.copytree(tiny_song, tmp_path / "swapped")
    (swapped / "song.yaml").write_text("subgroups: {lead: [lead.wav], drums: [kick.wav, hat.wav]}")
    with pytest.raises(
        ValueError, match=r"data.path: the graph is of the tracks kick, hat, lead \(.*\), got lead, kick, hat\. HINT"
    ):
        search(module, data(swapped), [], 1, "cpu", enable_progress_bar=False)


def test_validation_logs_the_mean_and_each_song(two) -> None:
    both, module, *_ = two
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    (logged,) = trainer.validate(module, both, verbose=False)
    scores = {song.name: module.score(song).loss["full"] for song in both.songs}
    assert {name: logged[f"song/full/{name}"] for name in scores} == pytest.approx(scores, rel=1e-6)
    assert logged["song/full"] == pytest.approx(sum(scores.values()) / 2, rel=1e-6)
    assert set(logged) == {
        f"song/{part}{song}" for part in ("full", "lr", "mid", "side") for song in ("", "/tiny", "/duo")
    }


@pytest.mark.long
def test_a_console_of_all_types_is_searched(tiny_song) -> None:
    """Chains, branches, buses, a key and a master, together: trained, pruned and rendered as the slow renderer does."""
    buses = {"returns": {"room": "r", "echo": "d"}, "sidechains": {"lead": "drums"}}
    module = ConsoleModule("kqhlfcn", "pt(e,s)b(g,g)", "kg", sample_rate=RATE, **buses)
    pruning = IterativePruning(1, 1, tolerance=0.5, window_tolerance=5.0, leave_one_out=False)
    songs = data(tiny_song)
    search(module, songs, [pruning], 2, "cpu", enable_progress_bar=False)
    assert module.initial_counts[0].keys() == registered().keys()
    trials = [row for row in pruning.trace if row["kind"] in ("trial", "measured")]
    tried = {label.rpartition(": ")[0] for row in trials for label in row["candidates"]}
    assert tried >= {"master mix", "subgroup lead", "track kick"}
    assert len(module.graph.processors) < sum(module.initial_counts[0].values())
    song = songs.song
    with torch.no_grad():
        values = GraphValues(module.graph, module.parameters_by_type(), module.weights)
        slow = render_oracle(values, module.processors, song.sources)
    assert torch.allclose(
        module.render(song), slow.mix[0, :, : song.num_samples], atol=1e-5 * float(song.mix.abs().max())
    )


@pytest.mark.parametrize("ceiling", [None, 0.0])
def test_windows_that_must_not_suffer_stop_a_search_from_pruning(tiny_song, ceiling) -> None:
    """A tolerance that lets everything go, and windows that let nothing go that they hear."""
    module = ConsoleModule("g", "", sample_rate=RATE)
    pruning = IterativePruning(2, 1, tolerance=100.0, window_tolerance=ceiling, order="weight", leave_one_out=False)
    search(module, data(tiny_song), [pruning], 3, "cpu", enable_progress_bar=False)
    refused = [row for row in pruning.trace if row["kind"] == "trial" and not row["accepted"]]
    assert len(module.graph.processors) == len(refused)
    assert bool(refused) == (ceiling is not None)


def test_songs_shorter_than_a_window_of_the_loss_are_refused(tmp_path) -> None:
    (tmp_path / "tracks").mkdir()
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 300)
    for name in ("tracks/a", "tracks/b", "mix"):
        soundfile.write(tmp_path / f"{name}.wav", noise, RATE)
    module = ConsoleModule("g", "g", sample_rate=RATE)
    with pytest.raises(
        ValueError, match=rf"needs a mix of {module.match.min_samples} samples .*{tmp_path.name} \(300\)"
    ):
        search(module, data(tmp_path, cache_dir=None), [], 1, "cpu", enable_progress_bar=False)


def test_a_console_that_was_validated_is_trained_in_the_same_process(tmp_path) -> None:
    """Indices that inference made and kept would be refused by the backward pass."""
    rng = np.random.default_rng(0)
    (tmp_path / "tracks").mkdir()
    for k in range(4):  # mono and stereo in turn, so that rows are gathered by index
        soundfile.write(tmp_path / "tracks" / f"{k}.wav", 0.1 * rng.standard_normal((2 * RATE, 1 + k % 2)), RATE)
    soundfile.write(tmp_path / "mix.wav", 0.1 * rng.standard_normal((2 * RATE, 2)), RATE)
    module, song = ConsoleModule(sample_rate=RATE), data(tmp_path, cache_dir=None)
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.validate(module, song, verbose=False)
    search(module, song, [], 1, "cpu", enable_progress_bar=False)
    assert module.trainer.global_step == 3
