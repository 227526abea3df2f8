"""A found graph as a description that the audio engine of a page builds its console from."""

from __future__ import annotations

import base64
import json
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixgraph.dsp.impulses import hard_delay
from mixgraph.graph.types import INPUT, MIX, MixGraph
from mixgraph.processors import Processor
from mixgraph.processors.delay import MultitapDelay
from mixgraph.processors.dynamics import ENERGY_FLOOR, DynamicRangeProcessor
from mixgraph.processors.readings import NodeValues
from mixgraph.processors.reverb import RATE, Reverb
from mixgraph.render.plan import latencies
from mixgraph.results.adjustable import LEVEL, LOWEST_TILTED_HZ, PIVOT_HZ, WET, Adjustable, adjustables
from mixgraph.results.changes import FORMAT, VERSION, graph_hash, node_values, processor_labels
from mixgraph.results.found_graph import FoundGraph

_SCRIPTS = ("responses.js", "units.js", "readings.js", "engine.js")
_LOGARITHMIC = ("Hz", "ms", "s", ":1", "Q", "x")
_GAINS = ("gain_panning", "stereo_imager", "send", "mid_side_splitter")
_PLAIN = ("compressor", "noisegate", "sidechain_compressor", "attack_release_compressor", "attack_release_gate")
_TAIL_DB = -120.0


def console_model(found_graph: FoundGraph) -> dict[str, Any]:
    """Returns the description of a found graph's console, which `json.dumps` takes, for `MixConsole` of the engine."""
    graph, processors = found_graph.graph, found_graph.processors
    latency = latencies(graph, processors)
    described = [_processor(found_graph, place, label) for place, label in enumerate(processor_labels(graph))]
    group_of = {graph.names[node]: f"g{node}" for node in graph.nodes_of(MIX) if graph.level(node) == "subgroup"}
    return {
        "version": 1,
        "song": found_graph.name,
        "graph": graph_hash(found_graph),
        "changes": {"format": FORMAT, "version": VERSION},
        "sample_rate": found_graph.sample_rate,
        "level": found_graph.level,
        "latency": latency[graph.outputs[0]],
        "tilt": {"pivot_hz": PIVOT_HZ, "lowest_hz": LOWEST_TILTED_HZ},
        "tracks": [
            {
                "id": f"t{node}",
                "node": node,
                "name": graph.names[node],
                "label": f"track {graph.names[node]}",
                "group": group_of.get(subgroup),
                "ends": _ends(graph, node),
            }
            for node, subgroup in zip(graph.inputs, graph.subgroups, strict=True)
        ],
        "groups": [_group(graph, node) for node in graph.nodes_of(MIX)],
        "processors": described,
        "nodes": [_node(graph, node, latency[node], _before(found_graph, node)) for node in graph.topological_order],
        "cables": [[*edge, *port] for edge, port in zip(graph.edges, graph.ports, strict=True)],
        "notes": [f"{entry['label']}: {entry['note']}" for entry in described if entry["note"]],
    }


def chain_voices(graph: MixGraph) -> dict[str, tuple[tuple[int, int], ...]]:
    """Returns what the taps of the engine hear: `after t0`, `before g4`, ... -> (node, outlet) pairs to sum."""
    ends = {f"after t{node}": _ends(graph, node) for node in graph.inputs}
    for node in graph.nodes_of(MIX):
        ends |= {f"before g{node}": [[node, 0]], f"after g{node}": _ends(graph, node)}
    return {name: tuple((node, outlet) for node, outlet in pairs) for name, pairs in ends.items()}


def engine_script() -> str:
    """Returns the audio engine as one script, which defines `MixConsole`; the worklet's address is part of it."""
    assets = files("mixgraph.page") / "assets"
    worklet = base64.b64encode((assets / "dynamics.js").read_bytes()).decode("ascii")
    parts = [(assets / name).read_text(encoding="utf-8") for name in _SCRIPTS]
    address = f'const WORKLET_ADDRESS = "data:text/javascript;base64,{worklet}";'
    return "\n".join(["const MixConsole = (() => {", '"use strict";', address, *parts, "return MixConsole;", "})();"])


def _node(graph: MixGraph, node: int, latency: int, before: int) -> dict[str, Any]:
    return {"node": node, "type": graph.types[node], "latency": latency, "before": before}


def _before(found_graph: FoundGraph, node: int) -> int:
    """Samples of look-ahead of a node."""
    node_type = found_graph.graph.types[node]
    if node_type not in found_graph.processors or not found_graph.processors[node_type].linear:
        return 0
    return found_graph.processors[node_type].before


def _group(graph: MixGraph, node: int) -> dict[str, Any]:
    kind, name = graph.level(node), graph.names[node]
    rows = graph.members.get(name, ()) if kind == "subgroup" else ()
    return {
        "id": f"g{node}",
        "node": node,
        "name": name,
        "label": f"{kind} {name}",
        "kind": kind,
        "tracks": [f"t{graph.inputs[row]}" for row in rows],
        "ends": _ends(graph, node),
    }


def _ends(graph: MixGraph, head: int) -> list[list[int]]:
    """Returns the (node, outlet) pairs at which a chain ends: what leaves it by another way than a send or a key."""
    ends = {
        (source, outlet)
        for (source, destination), (outlet, inlet) in zip(graph.edges, graph.ports, strict=True)
        if inlet == 0
        and graph.chain_head(source) == head
        and graph.types[destination] != "send"
        and graph.types[source] != "send"
        and (graph.chain_head(destination) != head or destination in graph.outputs)
    }
    return [list(end) for end in sorted(ends)]


def _processor(found_graph: FoundGraph, place: int, label: str) -> dict[str, Any]:
    graph = found_graph.graph
    node = graph.processors[place]
    processor, values = found_graph.processors[graph.types[node]], node_values(found_graph, place)
    settings = adjustables(processor, values)
    sound = _sound(processor, values)
    if sound["kind"] == "response":  # made here: what shapes it cannot be moved on the page
        settings = tuple(setting for setting in settings if setting.name in (WET, LEVEL))
    if sound["kind"] == "none":
        settings = ()
    head = graph.chain_head(node)
    return {
        "id": f"p{node}",
        "node": node,
        "type": processor.name,
        "label": label,
        "place": label.rpartition(": ")[0],
        "chain": f"{'t' if graph.types[head] == INPUT else 'g'}{head}",
        "processing": {"response": "baked", "none": "none"}.get(sound["kind"], "live"),
        "note": sound.pop("note", ""),
        "wet": values.weight,
        "settings": [_setting(setting) for setting in settings],
        "cuts": processor.cuts,
        "outlets": processor.outlets,
        "sound": sound,
    }


def _setting(setting: Adjustable) -> dict[str, Any]:
    span = setting.high - setting.low
    return {
        "name": setting.name,
        "label": setting.label,
        "unit": setting.unit,
        "min": setting.low,
        "max": setting.high,
        "step": 0.01 if span <= 10 else 0.1,
        "value": setting.value,
        "scale": "log" if setting.unit in _LOGARITHMIC and setting.low > 0 else "linear",
    }


def _sound(processor: Processor, node: NodeValues) -> dict[str, Any]:
    """What the engine needs to make the processor's sound: its kind, and numbers that are no settings."""
    name, values = processor.name, node.parameters
    if name in _GAINS:
        return {"kind": "gains"}
    if name in _PLAIN and isinstance(processor, DynamicRangeProcessor):
        return _dynamics(processor, node)
    if name == "saturator":
        return {"kind": "saturator", "offset_db": node.offset_db}
    if name == "fader":
        return {"kind": "fader", "points": _packed(values["log_gain"][0]), "interval": processor.interval}
    if name == "equalizer":
        return {
            "kind": "equalizer",
            "log_magnitude": _packed(values["log_magnitude"][0]),
            "window": _packed(processor.get_buffer("window")),
        }
    if name == "parametric_equalizer":
        return {"kind": "parametric_equalizer", "taps": processor.taps}
    if name == "band_splitter":
        return {"kind": "band_splitter", "bins": processor.num_bins, "window": _packed(processor.get_buffer("window"))}
    if isinstance(processor, MultitapDelay) and not processor.truncate:
        delays = hard_delay(values["delay_z"].float()[0], processor.segment)
        return {
            "kind": "delay",
            **_level_kept(processor.normalize),
            "segment": processor.segment,
            "delays": delays.tolist(),
            "log_magnitude": _packed(values["log_fir_magnitude"][0]),
            "window": _packed(processor.get_buffer("window")),
        }
    if name in ("reverb", "late_reverb") and isinstance(processor, Reverb) and processor.sample_rate == RATE:
        return _reverb(processor, node)
    if not processor.linear:
        return _not_processed("this type of processor")
    return _response(processor, node)


def _not_processed(what: str) -> dict[str, Any]:
    return {"kind": "none", "note": f"The page cannot do {what}: the sound passes through unprocessed."}


def _dynamics(processor: DynamicRangeProcessor, node: NodeValues) -> dict[str, Any]:
    return {
        "kind": "dynamics",
        "direction": processor.direction,
        "mid": processor.detector == "mid",
        "exponent": processor.exponent,
        "floor": ENERGY_FLOOR,
        "offset_db": node.offset_db,
        "log_threshold": float(processor.specification["log_threshold"].to_unit(node.parameters["log_threshold"])),
        "keyed": processor.inlets > 1,
        "taps": getattr(processor, "truncated_taps", 0) if getattr(processor, "truncated", False) else 0,
    }


def _reverb(processor: Reverb, node: NodeValues) -> dict[str, Any]:
    if processor.name == "late_reverb":
        return {"kind": "late_reverb", "knots": _packed(processor.get_buffer("knots"))}
    start, slope = node.parameters["init_log_magnitude"], node.parameters["delta_log_magnitude"]
    if processor.mask == "decay":
        start, slope = start / 8, -torch.nn.functional.softplus(slope) / 8
    return {
        "kind": "reverb",
        **_level_kept(processor.normalize),
        "start": _packed(start[0]),
        "slope": _packed(slope[0]),
    }


def _level_kept(normalize: bool) -> dict[str, bool]:
    """Says that a response is not scaled to unit energy, where it is not."""
    return {} if normalize else {"keeps_level": True}


def _response(processor: Processor, node: NodeValues) -> dict[str, Any]:
    """A response that is made here, without the silence at its end."""
    outlets = [processor.impulse_response(node.parameters)[0]]
    outlets += [processor.outlet_response(node.parameters, outlet)[0] for outlet in range(1, processor.outlets)]
    kept, lost = zip(*(_without_tail(response) for response in outlets), strict=True)
    note = "The page cannot change what shapes its response, which was made beforehand."
    if max(lost) > 0:
        note += f" Its end, {10 * np.log10(max(lost)):.0f} dB below the whole in energy, is left out."
    return {
        "kind": "response",
        **_level_kept(getattr(processor, "normalize", True)),
        "note": note,
        "mid_side": processor.channels == "mid_side",
        "responses": [[_packed(channel) for channel in response] for response in kept],
    }


def _without_tail(response: Tensor) -> tuple[Tensor, float]:
    """Cuts the end of (channels, taps) whose energy is 120 dB below the whole; returns the share that is lost, too."""
    energy = response.double().square().sum(dim=0)
    after = energy.flip(0).cumsum(0).flip(0) / energy.sum().clamp(min=1e-30)
    length = max(1, int((after > 10 ** (_TAIL_DB / 10)).sum()))
    return response[:, :length], float(after[length]) if length < len(after) else 0.0


def _packed(values: Tensor) -> str:
    """Float32, little-endian, in base64."""
    return base64.b64encode(values.detach().cpu().numpy().astype("<f4").tobytes()).decode("ascii")


def model_text(model: dict[str, Any]) -> str:
    """Writes a description as JSON that may stand in a script element."""
    return json.dumps(model, allow_nan=False).replace("</", "<\\/")
