"""Section 1: compares results of the GPU with the CPU, finds synchronisation in a step, runs tests marked `gpu`."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import get_args

import torch

from callbacks.iterative_pruning import song_evaluator
from mixgraph.losses import Denominator
from mixgraph.pruning import RoundResult
from mixgraph.search.module import ConsoleModule
from mixgraph.songs.song import Song
from tools.bench.cases import Case
from tools.bench.machine import ROOT
from tools.gpu.context import Context, Unavailable, reason_of
from tools.gpu.exactness import gradients, in_double, largest, linear_gradients, relative, relative_norm
from tools.gpu.timed_search import CPU, prune_once
from tools.gpu.timing import synchronize, tf32
from tools.gpu.workloads import Training, console_case, copy_values, demo_case, make_training

# Relative bounds for float32: about twenty times the difference of float32 and float64 on the CPU, see docs/gpu.md.
LOSS_BOUND, GRADIENT_BOUND, MIX_BOUND, LINEAR_BOUND = 3e-6, 1e-4, 1e-5, 5e-5
DOUBLE_LOSS_BOUND, DOUBLE_GRADIENT_BOUND = 1e-9, 1e-6
COURSE_BOUND = 5e-3  # after some optimizer steps: Adam makes a step of full size of the smallest gradient
SONG_BOUND = 2e-5


def run(context: Context) -> None:
    steps = 4 if context.quick else 12
    with tf32(matrices=False, convolutions=False):
        for label, case in (
            ("demo", demo_case(context.quick)),
            ("24 tracks", console_case(24, 1.0, context.quick, seconds=5.0)),
        ):
            with context.part(f"{label}: a step"):
                _step(context, label, case)
        with context.part("no waiting"):
            _waiting(context, make_training(demo_case(context.quick), context.device)[0])
        with context.part("optimizer steps"):
            _course(context, demo_case(context.quick), steps)
        with context.part("pruning"):
            _pruning(context, demo_case(context.quick))
        with context.part("float64"):
            _double(context, demo_case(context.quick))
    with context.part("tests marked gpu"):
        _tests(context)


def _step(context: Context, label: str, case: Case) -> None:
    """Compares one step from the initial values, in float32."""
    (here, _), (there, _) = (make_training(case, device) for device in (CPU, context.device))
    expected_terms, expected_gradients = gradients(here.module, here.clips[0])
    terms, gradients_there = gradients(there.module, there.clips[0])
    differences = {name: relative(terms[name], expected_terms[name]) for name in expected_terms}
    context.bounded(f"{label}: loss of a step", differences["loss"], LOSS_BOUND, details=differences)
    worst, by_parameter = largest(gradients_there, expected_gradients)
    context.bounded(f"{label}: gradients of a step (without delay_z)", worst, GRADIENT_BOUND, details=by_parameter)
    (mix, through), (other_mix, other) = (linear_gradients(t.module, t.clips[0]) for t in (here, there))
    context.bounded(f"{label}: mix of a clip", relative_norm(other_mix, mix), MIX_BOUND)
    worst, by_parameter = largest(other, through)
    context.bounded(f"{label}: gradients of a linear functional of the mix", worst, LINEAR_BOUND, details=by_parameter)


def _double(context: Context, case: Case) -> None:
    """Compares one step in float64, in which differences are no longer due to rounding."""
    (here, _), (there, _) = (make_training(case, device) for device in (CPU, context.device))
    expected_terms, expected_gradients = gradients(*in_double(here))
    terms, gradients_there = gradients(*in_double(there))
    context.bounded("demo: loss of a step, float64", relative(terms["loss"], expected_terms["loss"]), DOUBLE_LOSS_BOUND)
    worst, by_parameter = largest(gradients_there, expected_gradients)
    context.bounded("demo: gradients of a step, float64", worst, DOUBLE_GRADIENT_BOUND, details=by_parameter)


def _course(context: Context, case: Case, steps: int) -> None:
    """Compares the losses of some optimizer steps, for which each device uses the values of its earlier steps."""
    (here, _), (there, _) = (make_training(case, device) for device in (CPU, context.device))
    losses = [[float(training.step()) for _ in range(steps)] for training in (here, there)]
    differences = [relative(loss, expected) for expected, loss in zip(*losses, strict=True)]
    context.bounded(
        f"demo: losses of {steps} optimizer steps, largest",
        max(differences),
        COURSE_BOUND,
        details={"cpu": losses[0], "device": losses[1], "difference": differences},
    )


def _pruning(context: Context, case: Case) -> None:
    """Compares whole-song scores, trials and a pruning round, from values that were trained on the GPU."""
    (here, song), (there, _) = (make_training(case, device) for device in (CPU, context.device))
    for _ in range(8 if context.quick else 100):
        there.step()
    copy_values(there.module, here.module)
    _scores(context, here.module, there.module, song)
    evaluators = [song_evaluator(training.module, song) for training in (here, there)]
    count = len(here.module.graph.processors)
    candidates: list[tuple[int, ...]] = [(), *((i,) for i in range(0, count, max(1, count // 12))), (0, count - 1)]
    losses = [[evaluator.evaluate(removed).loss for removed in candidates] for evaluator in evaluators]
    worst = max(relative(loss, expected) for expected, loss in zip(*losses, strict=True))
    context.bounded(f"demo: losses of {len(candidates)} trials, largest", worst, SONG_BOUND)
    rounds = [prune_once(training.module, song) for training in (here, there)]
    removed = [set(result.removed) for result in rounds]
    unlike = removed[0] ^ removed[1]
    labels = [here.module.graph.label(here.module.graph.processors[i]) for i in sorted(unlike)]
    nearest = min(map(_nearest, rounds))
    details = {"removed on the CPU": len(removed[0]), "on one only": labels, "nearest to its bound": nearest}
    context.bounded("demo: processors that a round removes on one device only", len(unlike), 0, "processors", details)


def _scores(context: Context, here: ConsoleModule, there: ConsoleModule, song: Song) -> None:
    mixes = [module.render(song) for module in (here, there)]
    context.bounded("demo: mix of the whole song", relative_norm(mixes[1], mixes[0]), SONG_BOUND)
    for name, scores in (
        ("our protocol", [module.score(song) for module in (here, there)]),
        ("the paper's protocol", [module.paper_score(song) for module in (here, there)]),
    ):
        pairs = [
            (scores[1].over(d)[part], scores[0].over(d)[part])
            for d in get_args(Denominator)
            for part in scores[0].over(d)
        ]
        worst = max(relative(actual, expected) for actual, expected in pairs)
        context.bounded(f"demo: whole-song losses by {name}, largest", worst, SONG_BOUND)


def _nearest(result: RoundResult) -> float:
    """Returns the smallest distance of a trial's loss to its bound; within rounding, verdicts may differ."""
    return min((abs(trial.loss - trial.bound) for trial in result.trials if not trial.stopped), default=math.inf)


def _waiting(context: Context, training: Training) -> None:
    """Checks phase by phase that a step, once caches are filled, does not make the host wait for the GPU."""
    context.card_only()
    for _ in range(2 * len(training.clips)):
        training.step()
    synchronize(context.device)
    for phase in ("losses", "backward", "optimizer"):
        place = _first_wait(training, phase)
        if place:
            context.fail(f"no waiting in a step: {phase}", place)
        else:
            context.add(f"no waiting in a step: {phase}", 0, "waits", goal="0")


def _first_wait(training: Training, watched: str) -> str:
    """Runs a step for every clip; returns where the watched phase first waits for the GPU, or ""."""
    for _ in training.clips:
        for phase, call in training.phases().items():
            torch.cuda.set_sync_debug_mode("error" if phase == watched else "default")
            try:
                call()
            except RuntimeError as error:
                return reason_of(error)
            finally:
                torch.cuda.set_sync_debug_mode("default")
    return ""


def _tests(context: Context) -> None:
    """Runs the repository's tests that need a GPU; each gives a row."""
    context.card_only()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/test_gpu.py", "-p", "no:cacheprovider"]
        # A warning of another version of torch does not mean that the GPU fails.
        command += ["-W", "default", f"--junitxml={report}"]
        try:
            done = subprocess.run(command, cwd=ROOT, timeout=max(10.0, context.left), check=False)
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"the tests take longer than the {error.timeout:.0f} s that were left") from error
        if not report.exists():
            raise Unavailable(f"pytest ended with {done.returncode}, see log.txt; is it installed?")
        for case in ElementTree.parse(report).iter("testcase"):
            name = f"test: {case.get('name')}"
            wrong = next((part for part in case if part.tag in ("failure", "error")), None)
            skipped = next((part for part in case if part.tag == "skipped"), None)
            if wrong is not None:
                context.fail(name, (wrong.get("message") or "").splitlines()[0][:300])
            elif skipped is not None:
                context.skip(name, skipped.get("message") or "")
            else:
                context.add(name, float(case.get("time") or 0), "s")
