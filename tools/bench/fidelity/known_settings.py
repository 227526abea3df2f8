"""Settings of found dynamics and delays against those of a song's truth.json, where both have the processor.

Compared where a processor stands on the same track or subgroup: thresholds and ratios as they act (a threshold at the
level of the files), and of a delay the loudest tap of each channel. Pedalboard's detectors follow peaks, ours the
energy, and before ours may stand another gain: a threshold that acts alike is some dB lower, and levels of the direct
sound are what `responses` compares. Attack and release are compared where ours has them (the paper's compressor does
not). Pedalboard's reverb has no decay time.
"""

from __future__ import annotations

import math
from typing import Any

from mixgraph.processors import Processors
from mixgraph.processors.readings import NodeValues, Number, Taps
from mixgraph.recovery import GraphValues
from mixgraph.recovery.agreement import chain_keys
from tools.bench.fidelity.truth import KnownProcessor, kind


def settings_errors(
    known: list[KnownProcessor], estimate: GraphValues, processors: Processors, level: float
) -> list[dict[str, Any]]:
    """Returns absolute errors in the form of `parameter_errors`: `{node, type, quantity, unit, error, true, found}`.

    Args:
        known: the entries of truth.json, as `read_settings` returns them.
        estimate: the graph and its values at the end of the search.
        processors: the modules of the found graph, one for each type.
        level: the factor that the tracks were multiplied by in the search.
    """
    places = chain_keys(estimate.graph).items()
    nodes = {(key.level, key.name, kind(key.type)): node for key, node in places if key.rank == 0}
    weights = dict(zip(estimate.graph.processors, estimate.weights.tolist(), strict=True))
    errors: list[dict[str, Any]] = []
    for known_processor in known:
        node = nodes.get((known_processor.level, known_processor.name, known_processor.type))
        if node is None:
            continue
        row, node_type = estimate.graph.rows[node], estimate.graph.types[node]
        parameters = {n: v[row : row + 1].detach().double() for n, v in estimate.parameters[node_type].items()}
        values = NodeValues(parameters, weights[node], -20 * math.log10(level))
        pairs: list[tuple[str, str, float, float]] = []
        for reading in processors[node_type].readings(values):
            if isinstance(reading, Number) and reading.key in known_processor.settings:
                pairs.append((reading.label, reading.unit, known_processor.settings[reading.key], reading.values[0]))
            elif isinstance(reading, Taps):
                pairs += _loudest_taps(reading, known_processor.settings)
        label = estimate.graph.label(node)
        errors += [
            {"node": label, "type": node_type, "quantity": name, "unit": unit, "true": true, "found": value}
            | {"error": abs(value - true)}
            for name, unit, true, value in pairs
            if math.isfinite(value)
        ]
    return errors


def _loudest_taps(taps: Taps, settings: dict[str, float]) -> list[tuple[str, str, float, float]]:
    share = settings["mix"]
    pairs = []
    for channel in ("left", "right"):
        rows = [i for i, name in enumerate(taps.channels) if name == channel]
        tap = max(rows, key=lambda i: taps.levels_db[i])
        pairs.append(("tap delay", "ms", 1000 * settings["delay_seconds"], taps.ms[tap]))
        pairs.append(("tap level", "dB", 20 * math.log10(share / (1 - share)), taps.levels_db[tap]))
    return pairs
