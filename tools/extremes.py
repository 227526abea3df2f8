"""Gives every processor the extremes of its parameters, on extreme signals: values and gradients must be finite.

    python -m tools.extremes
    python -m tools.extremes --only equalizer --rate 8000 --seconds 0.05
    python -m tools.extremes --out docs/results/extremes.json

Each type of the registry, in float32, with all its parameters at the low and at the high end of their declared ranges,
with neighbouring entries at different ends, and with each parameter alone at either end; on silence, full scale,
a constant, an impulse, noise of 1e-30 and of 1e+6, and a single sample; with the dry/wet weights 0, 1/2 and 1. What is
looked at is the output (of all outlets, and with the signal as key) and its gradient by each parameter and by the
signal. NaN or infinity is a finding, and the exit code is 1.

Then all parameters go beyond their ranges, to multiples of the distance between their ends and the centre; and they are
drawn around the centre with large spreads of the trained coordinates, as those of a search are with one of .01. The
table says up to where everything is finite.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from mixgraph.cli.command_parser import CommandParser
from mixgraph.processors import Processor, registered
from mixgraph.processors.collection import Outlet
from tools.bench.machine import command_line, measured
from tools.result_tables import write_table

WEIGHTS = (0.0, 0.5, 1.0)
_SERIES = (1, 2, 5, 10, 20, 50, 100, 1000)
_DRAWS = 16  # settings that are drawn for each spread
_COLUMNS = (
    "processor",
    "parameters",
    "settings x signals x weights",
    "not finite",
    "finite up to, times the distance of the ends from the centre",
    "finite up to, spread of drawn coordinates",
)


@dataclass(frozen=True)
class Settings:
    """Settings of a type, a node each, in the trained coordinates.

    Attributes:
        labels: what each node's settings are.
        values: name -> (nodes, *shape), float32.
    """

    labels: tuple[str, ...]
    values: Mapping[str, Tensor]


def signals(samples: int, seed: int = 0) -> dict[str, Tensor]:
    """The extreme signals, (2, samples) each but for the single sample."""
    noise = 2 * torch.rand(2, samples, generator=torch.Generator().manual_seed(seed)) - 1
    impulse = torch.zeros(2, samples)
    impulse[:, 0] = 1
    return {
        "silence": torch.zeros(2, samples),
        "full scale": noise.sign(),
        "a constant": torch.ones(2, samples),
        "an impulse": impulse,
        "1e-30": 1e-30 * noise,
        "1e+6": 1e6 * noise,
        "one sample": torch.ones(2, 1),
    }


def ends(processor: Processor, times: float = 1.0) -> Settings:
    """The settings at the ends of all declared ranges, or `times` as far from the centre."""
    far: dict[str, tuple[Tensor, Tensor]] = {}
    for name, declared in processor.specification.items():
        low, high = (
            declared.from_unit(torch.full((1, *declared.shape), float(end), dtype=torch.float64)).float()
            for end in (declared.low, declared.high)
        )
        far[name] = (declared.mean + times * (low - declared.mean), declared.mean + times * (high - declared.mean))
    middle = {name: torch.full_like(low, processor.specification[name].mean) for name, (low, _) in far.items()}
    rows: dict[str, dict[str, Tensor]] = {"the centre": middle}
    for end, label in enumerate(("low", "high")):
        rows[f"all {label}"] = {name: pair[end] for name, pair in far.items()}
        rows |= {f"{name} {label}": middle | {name: pair[end]} for name, pair in far.items()}
    rows["alternating"] = {name: _alternating(*pair) for name, pair in far.items()}
    return Settings(tuple(rows), {name: torch.cat([row[name] for row in rows.values()]) for name in far})


def _alternating(low: Tensor, high: Tensor) -> Tensor:
    is_odd = torch.arange(low.numel()).view_as(low) % 2 == 1
    return torch.where(is_odd, high, low)


def drawn(processor: Processor, spread: float) -> Settings:
    """Settings that are drawn as those of a search are, with another spread."""
    values = processor.sample_initial_values(_DRAWS, torch.Generator().manual_seed(0), spread)
    return Settings(tuple(f"spread {spread:g}, draw {number}" for number in range(_DRAWS)), values)


def findings(processor: Processor, settings: Settings, signal: Tensor, weight: float = 1.0) -> Iterator[str]:
    """Yields a text for each setting whose output or gradient is not finite.

    Args:
        processor: the type.
        settings: its settings, a node each.
        signal: (2, time), what enters every node, and is its key where it has one.
        weight: the dry/wet weight of all nodes.
    """
    nodes = len(settings.labels)
    values = {name: value.clone().requires_grad_() for name, value in settings.values.items()}
    x = signal.expand(nodes, -1, -1).clone().requires_grad_()
    mixed = _mixed(processor, x, values, torch.full((nodes,), weight))
    direction = torch.rand(mixed.shape, generator=torch.Generator().manual_seed(1)) - 0.5
    (mixed * direction).sum().backward()
    looked_at = {"the output": mixed, "the gradient by the signal": x.grad}
    looked_at |= {f"the gradient by {name}": value.grad for name, value in values.items()}
    for what, tensor in looked_at.items():
        if tensor is None:  # a surrogate, or a weight of 0
            continue
        is_finite = tensor.detach().isfinite().flatten(1).all(dim=1).tolist()
        for label, fine in zip(settings.labels, is_finite, strict=True):
            if not fine:
                yield f"{what} with {label}"


def _mixed(processor: Processor, x: Tensor, values: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """What comes out of all outlets, with the dry/wet weight, as in a graph."""
    if processor.inlets > 1:
        return torch.lerp(x, processor.process_keyed(x, x, values)[0], weight.view(-1, 1, 1))
    if not processor.linear:
        return processor.dry_wet(x, values, weight)[0]
    wet = processor(x, values)
    mixed = torch.lerp(x, wet, weight.view(-1, 1, 1))
    return mixed + sum(weight.view(-1, 1, 1) * Outlet(processor, k)(x, values) for k in range(1, processor.outlets))


def finite_up_to(make: Callable[[float], Settings], processor: Processor, samples: int) -> str:
    """The largest number up to which the settings that are made of it are finite, to two digits, as a text."""

    def is_finite(number: float) -> bool:
        settings = make(number)
        return not any(any(findings(processor, settings, signal, 0.5)) for signal in signals(samples).values())

    good, bad = 0.0, 0.0
    for number in _SERIES:
        if not is_finite(number):
            bad = number
            break
        good = number
    if not good or not bad:
        return f"{good:g} and more" if good else "none"
    while (middle := float(f"{(good + bad) / 2:.2g}")) not in (good, bad):
        good, bad = (middle, bad) if is_finite(middle) else (good, middle)
    return f"{good:g}"


def examine(processor: Processor, samples: int) -> tuple[list[str], list[str]]:
    """Tries a type; returns its row of the table, and a line for everything that is not finite in its ranges."""
    at_ends, lines, tried = ends(processor), list[str](), 0
    for name, signal in signals(samples).items():
        for weight in WEIGHTS:
            lines += [f"{text} on {name}, weight {weight:g}" for text in findings(processor, at_ends, signal, weight)]
            tried += len(at_ends.labels)
    ranges = [
        f"{name} {declared.low:g} to {declared.high:g} {declared.unit}"
        for name, declared in processor.specification.items()
    ]
    row = [
        processor.name,
        "; ".join(ranges),
        str(tried),
        str(len(lines)),
        finite_up_to(partial(ends, processor), processor, samples),
        finite_up_to(partial(drawn, processor), processor, samples),
    ]
    return row, lines


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="name of a type; all of them by default")
    parser.add_argument("--rate", type=int, default=30000, help="sample rate in Hz (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.2, help="length of the signals (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file for the table, as docs/results holds it")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Tries all types; returns 1 if something in the declared ranges is not finite."""
    options = parse(arguments)
    names = options.only or list(registered())
    rows, found = [], False
    for name in names:
        row, lines = examine(registered()[name](sample_rate=options.rate), round(options.seconds * options.rate))
        rows.append(row)
        found |= bool(lines)
        sys.stdout.write("\n".join([" | ".join(row), *(f"  {name}: {line}" for line in lines)]) + "\n")
        sys.stdout.flush()
    if options.out is not None:
        run = measured(command_line("tools.extremes", arguments), torch.get_num_threads())
        write_table(options.out, "Extremes of processors", [run], _COLUMNS, rows)
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
