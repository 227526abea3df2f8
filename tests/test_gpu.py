"""On a real GPU: what it computes equals the CPU's, and a training step never waits for it."""

import pytest
import torch

from callbacks.iterative_pruning import IterativePruning, song_evaluator
from datamodules import SongData
from mixgraph.dsp.envelopes.attack_release import attack_release
from mixgraph.dsp.fourier import real_fft
from mixgraph.graph import batch, build_console
from mixgraph.losses import make_match_loss
from mixgraph.processors import registered
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule
from mixgraph.songs.training_clips import ClipReader, SongsReader
from tools.gpu.workloads import move_clip

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
RATE = 8000
LETTERS = "".join(t.letter for t in registered().values() if t.inlets == t.outlets == 1 and not t.cuts)
CONSOLES = {
    "seven": {},
    "letters": {
        "track_chain": LETTERS,
        "master_chain": "ec",
        "returns": {"room": "er"},
        "sidechains": {"lead": "kick"},
    },
    "splitters": {"track_chain": "et(c,sg)r", "subgroup_chain": "eb(c,b(c,c))d"},
}


@pytest.fixture(autouse=True)
def float32():
    """Matrix products and convolutions in float32, not in TF32, which torch allows for convolutions by itself."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


@pytest.fixture(scope="module")
def data(tiny_song):
    return SongData(str(tiny_song), sample_rate=RATE, scored_seconds=1.0)


def make(data, device, console="seven", dtype=torch.float32):
    """A module with its graph, and its first clip."""
    song = data.song
    module = ConsoleModule(sample_rate=RATE, **CONSOLES[console])
    module.build(module._console(song.subgroups, song.name)).to(device, dtype)
    module.loudest = module.target(song).loudest.to(dtype)
    clip = ClipReader(song, module.warm_up, RATE, module.lookahead, seed=0)(0)
    return module, clip._replace(
        sources=clip.sources.to(device, dtype), targets=clip.targets.to(device, dtype), starts=clip.starts.to(device)
    )


def gradients(module, clip):
    loss = module.losses(clip)["loss"]
    loss.backward()
    return loss.item(), {name: p.grad.cpu() for name, p in module.named_parameters()}


# float32: what other orders of the same sums differ by (see test_training_step); float64 has nothing to flip.
@pytest.mark.parametrize(("dtype", "of_loss", "of_gradients"), [("float32", 1e-5, 5e-3), ("float64", 1e-9, 1e-6)])
@pytest.mark.parametrize("console", CONSOLES)
def test_a_step_on_the_card_equals_the_cpu(data, console, dtype, of_loss, of_gradients) -> None:
    expected, slow = gradients(*make(data, "cpu", console, getattr(torch, dtype)))
    loss, fast = gradients(*make(data, "cuda", console, getattr(torch, dtype)))
    assert loss == pytest.approx(expected, rel=of_loss)
    for name, gradient in slow.items():
        if "delay_z" not in name:  # modulus 1 whatever arrives
            assert (fast[name] - gradient).norm() <= of_gradients * gradient.norm() + 1e-9, name


@pytest.mark.parametrize("console", CONSOLES)
def test_trials_and_scores_on_the_card_equal_the_cpu(data, console) -> None:
    song = data.song
    modules = [make(data, device, console)[0] for device in ("cpu", "cuda")]
    scores = [module.score(song).loss["full"] for module in modules]
    assert scores[1] == pytest.approx(scores[0], rel=1e-5)
    evaluators = [song_evaluator(module, song) for module in modules]
    count = len(modules[0].graph.processors)
    for removed in ((), (0,), (count - 1,), (1, 2, 3)):
        losses = [evaluator.evaluate(removed).loss for evaluator in evaluators]
        assert losses[1] == pytest.approx(losses[0], rel=1e-4), removed
    for evaluator in evaluators:
        evaluator.accept((1, 2, 3))
    mixes = [evaluator.mix().cpu() for evaluator in evaluators]
    assert (mixes[1] - mixes[0]).norm() < 1e-4 * mixes[0].norm()


def test_several_songs_in_one_graph_on_the_card_equal_the_cpu(tiny_song, duo_song) -> None:
    data = SongData([str(tiny_song), str(duo_song)], sample_rate=RATE, scored_seconds=1.0)
    losses = []
    for device in ("cpu", "cuda"):
        module = ConsoleModule(sample_rate=RATE)
        module.build(batch([build_console(song.subgroups, name=song.name) for song in data.songs])).to(device)
        module.loudest = torch.stack([module.target(song).loudest for song in data.songs])
        readers = [ClipReader(song, module.warm_up, RATE, module.lookahead, seed=0) for song in data.songs]
        clip = SongsReader(readers)(1)
        moved = {name: getattr(clip, name).to(device) for name in ("sources", "targets", "starts")}
        losses.append(module.losses(clip._replace(**moved))["loss"].item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_a_training_step_never_waits_for_the_card(tiny_song) -> None:
    """At the rate of the reverb's noise: elsewhere torchaudio's resampling makes a constant on the host each time."""
    data = SongData(str(tiny_song), sample_rate=30_000, scored_seconds=0.2, warm_up_seconds=0.1)
    song = data.song
    module = ConsoleModule(warm_up_seconds=0.1)
    module.build(module._console(song.subgroups, song.name)).to("cuda")
    module.loudest = module.target(song).loudest
    clip = move_clip(data.clips()(0), torch.device("cuda"))
    optimizer = module.configure_optimizers()

    def step() -> None:
        optimizer.zero_grad()
        module.losses(clip)["loss"].backward()
        optimizer.step()

    for _ in range(3):
        step()  # plans, constants, the optimizer's state
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_search_runs_on_the_card(tiny_song) -> None:
    data = SongData(str(tiny_song), sample_rate=RATE, steps_per_stage=3, scored_seconds=1.0)
    module = ConsoleModule("eg", "cg", sample_rate=RATE)
    pruning = IterativePruning(2, 1, leave_one_out=True)
    devices = []
    pruning.listeners.append(lambda *_: devices.append(module.device.type))
    search(module, data, [pruning], pruning.num_stages, "gpu", enable_progress_bar=False)
    assert set(devices) == {"cuda"}
    assert module.trainer.global_step == 9
    rounds = [row for row in pruning.trace if row["kind"] == "round"]
    assert rounds[0]["end_loss"] <= rounds[0]["min_loss"] + pruning.tolerance


def test_the_mel_loss_on_the_card_equals_the_cpu_in_float64() -> None:
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, 3, 2, 30_000, generator=generator, dtype=torch.float64)
    results = []
    for device in ("cpu", "cuda"):
        match = make_match_loss(30_000).to(device)
        input_signal = prediction.to(device).requires_grad_()
        loss = match(input_signal, target.to(device)).full.sum()
        loss.backward()
        results.append((loss.item(), input_signal.grad.cpu()))
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-10)
    assert (results[1][1] - results[0][1]).norm() < 1e-8 * results[0][1].norm()


def test_inverse_real_ffts_of_the_card_ignore_what_real_signals_do_not_have() -> None:
    """The imaginary parts at DC and the Nyquist frequency, which gradients of spectra do have (`dsp.fourier`)."""
    generator = torch.Generator().manual_seed(0)
    spectrum = torch.randn(4, 601, dtype=torch.complex128, generator=generator)
    expected = torch.fft.irfft(spectrum, n=1200)
    assert torch.allclose(torch.fft.irfft(spectrum.cuda(), n=1200).cpu(), expected, atol=1e-12)
    signal = torch.randn(4, 1000, dtype=torch.float64, generator=generator)
    grads = []
    for device in ("cpu", "cuda"):
        input_signal = signal.to(device).requires_grad_()
        real_fft(input_signal, 1200, 100).backward(spectrum.to(device))
        grads.append(input_signal.grad.cpu())
    assert torch.allclose(grads[1], grads[0], atol=1e-10)


@pytest.mark.parametrize("times", [(3.0, 60.0), (0.1, 1000.0), (200.0, 2.0)], ids=str)
def test_attack_and_release_on_the_card_equal_the_loop(times) -> None:
    generator = torch.Generator().manual_seed(0)
    energy = torch.randn(3, 20_000, generator=generator).square() * (torch.arange(20_000) % 4000 < 1500)
    logits = [torch.logit(torch.exp(torch.tensor(-1000 / (ms * RATE), dtype=torch.float64))).float() for ms in times]
    results = []
    for device in ("cpu", "cuda"):
        signal = energy.to(device).requires_grad_()
        steps = [logit.expand(3).to(device).requires_grad_() for logit in logits]
        smooth = attack_release(signal, *steps, torch.zeros(3, device=device))
        smooth.square().sum().backward()
        results.append([smooth.detach().cpu(), signal.grad.cpu(), *(s.grad.cpu() for s in steps)])
    for card, cpu in zip(results[1], results[0], strict=True):
        assert (card - cpu).norm() <= 1e-5 * cpu.norm()
