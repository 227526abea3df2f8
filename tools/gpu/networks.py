"""Section 7: measures the estimator's training step and inference, and the renderer's schedules."""

from __future__ import annotations

import statistics
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from mixgraph.estimators.examples import add_labels, console_data, console_of_subgroups
from mixgraph.estimators.features import FeatureExtractor
from mixgraph.estimators.module import EstimatorModule
from mixgraph.estimators.settings import EstimatorTask, NetworkSettings
from mixgraph.estimators.statistics import training_statistics
from mixgraph.graph import GraphValues, prune
from mixgraph.render import make_plan, render_plan
from mixgraph.render.schedule import Method
from tools.bench.cases import Case, make_song
from tools.gpu.context import Context
from tools.gpu.exactness import relative_norm
from tools.gpu.steps import CONSOLES
from tools.gpu.timed_search import CPU
from tools.gpu.timing import device_seconds, tf32
from tools.gpu.workloads import console_case, console_label, make_training

PAPER_SPEEDUP = "5.8x in the paper, on an RTX 3090"
METHODS: tuple[Method, ...] = ("one_by_one", "greedy", "beam", "auto")
ESTIMATE_BOUND = 1e-3
_BATCH = 16  # the batch size of configs/estimator.yaml
_SEGMENTS = 6  # the number of segments of a song in inference
_SPREAD = 0.3


def run(context: Context) -> None:
    with context.part("estimator"):
        _estimator(context)
    for tracks, share in CONSOLES[1:2] if context.quick else CONSOLES:
        label = console_label(tracks, share)
        with context.part(f"{label}: schedules"):
            _schedules(context, label, tracks, share)


# The estimator.


class EstimatorTraining:
    """The estimator on a device, with a batch of synthetic examples.

    Args:
        module: the estimator on the device, with the statistics of a training set.
        batch: a batch of examples on the device.
    """

    def __init__(self, module: EstimatorModule, batch: Data) -> None:
        self.module, self.batch = module, batch
        settings = module.optimizer_settings
        self.optimizer = torch.optim.AdamW(
            module.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def step(self) -> Tensor:
        """Makes one training step as with Lightning, but without the schedule of learning rates."""
        self.optimizer.zero_grad()
        answers = self.module.network(self.batch)
        loss = self.module.losses_of(self.batch, answers)["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module.network.parameters(), self.module.optimizer_settings.clip_norm)
        self.optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def infer(self) -> Tensor:
        """Predicts the probability of keeping each processor."""
        return self.module(self.batch).keep


def estimator_task(quick: bool) -> EstimatorTask:
    return EstimatorTask(8000, 2.0, "esgd", "cgr") if quick else EstimatorTask()


def make_estimator(quick: bool) -> tuple[EstimatorModule, list[Data]]:
    """Makes an untrained estimator, and an example of each of a few songs with random graphs, on the CPU."""
    task = estimator_task(quick)
    torch.manual_seed(0)
    module = EstimatorModule(task, NetworkSettings(32, 1, 0.0) if quick else NetworkSettings())
    examples = [_example(module, seed) for seed in range(2 if quick else 4)]
    module.standardise(training_statistics(examples, task.types))
    return module, examples


def _example(module: EstimatorModule, seed: int) -> Data:
    task = module.task
    song = make_song(Case(tracks=3 + seed, seconds=task.segment_seconds, sample_rate=task.sample_rate, seed=seed))
    console = console_of_subgroups(song.subgroups, task.track_chain, task.subgroup_chain, song.name)
    extract = FeatureExtractor(task.sample_rate)
    features = extract(song.sources, song.mix, console.groups)
    data = console_data(console, features, task.types)
    generator = torch.Generator().manual_seed(seed)
    graph = console.graph
    kept = [node for node in graph.processors if float(torch.rand((), generator=generator)) < 0.4]
    true, _ = prune(graph, kept)
    counts = true.count()
    parameters = {t: module.processors[t].sample_initial_values(counts[t], generator, _SPREAD) for t in sorted(counts)}
    return add_labels(
        data, console, GraphValues(true, parameters, torch.full((len(true.processors),), 0.7)), module.codes
    )


def batch_of(examples: list[Data], size: int) -> Data:
    """Repeats examples until a batch of the given size is full."""
    batch: Any = Batch.from_data_list([examples[i % len(examples)] for i in range(size)])
    return batch


def _estimator(context: Context) -> None:
    size = 2 if context.quick else _BATCH
    module, examples = make_estimator(context.quick)
    batch = batch_of(examples, size)
    if context.on_card:
        cpu = EstimatorTraining(module, batch)
        samples = device_seconds(cpu.step, CPU, 2, 1)
        context.add("estimator: training step on the CPU", 1000 * statistics.median(samples), "ms")
    module.eval()
    with torch.no_grad():
        expected = module(batch).keep
    module.to(context.device)
    batch = batch.to(context.device)
    training = EstimatorTraining(module, batch)
    with tf32(matrices=False, convolutions=False):
        context.bounded(
            "estimator: probabilities of a batch", relative_norm(training.infer(), expected), ESTIMATE_BOUND
        )
        module.train()
        seconds = context.time(f"estimator: training step, {size} segments", training.step)
    context.add("estimator: segments a second in training", size / seconds, "1/s")
    if context.on_card:
        with tf32(matrices=True, convolutions=True):
            context.time("estimator: training step, TF32", training.step)
        torch.cuda.reset_peak_memory_stats(context.device)
        training.step()
        torch.cuda.synchronize(context.device)
        peak = torch.cuda.max_memory_allocated(context.device)
        context.add("estimator: peak memory of a step", peak / 2**20, "MiB")
    module.eval()
    song = EstimatorTraining(module, batch_of(examples[:1], _SEGMENTS).to(context.device))
    context.time(f"estimator: inference, a song in {_SEGMENTS} segments, without features", song.infer)


# Schedules of rendering.


def _schedules(context: Context, label: str, tracks: int, share: float) -> None:
    """Measures the rendering of a clip by each schedule, without and with a gradient."""
    training, _ = make_training(console_case(tracks, share, context.quick), context.device)
    module, clip = training.module, training.clips[0]
    methods = METHODS if not context.quick else ("one_by_one", "auto")
    seconds: dict[Method, tuple[float, float]] = {}
    for method in methods:
        plan = make_plan(module.graph, module.processors, clip.targets.shape[-1] + module.lookahead, method)

        def render(plan: Any = plan) -> Tensor:
            values = GraphValues(module.graph, module.parameters_by_type(), module.weights)
            return render_plan(plan, values, module.processors, clip.sources, starts=clip.starts).mix

        def forward(render: Any = render) -> None:
            with torch.no_grad():
                render()

        def both(render: Any = render) -> None:
            module.zero_grad()
            render().square().sum().backward()

        name = f"{label}: rendering, {method}"
        repeats = 5
        seconds[method] = (
            context.time(f"{name}, {len(plan.steps)} steps", forward, repeats, 2),
            context.time(f"{name}, with its gradient", both, repeats, 2),
        )
    for i, way in enumerate(("", ", with its gradient")):
        speed = seconds["one_by_one"][i] / seconds["auto"][i]
        context.add(f"{label}: batched against one by one{way}", speed, "x", goal=PAPER_SPEEDUP)
