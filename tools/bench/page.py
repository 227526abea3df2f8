"""Plays the page's audio engine in headless Chromium and compares it with our own rendering.

    python -m tools.bench.page --out docs/results/page_nulls.json

Every type of processor and every kind of console is built at 30 kHz from random values, as a search might find them,
and rendered twice, as found and with every setting of every processor moved: by mixgraph, and by the page's engine in
an OfflineAudioContext. A null is the level of the difference against that of the signal. Needs chromium and playwright.
"""

from __future__ import annotations

import base64
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixgraph.cli.command_parser import CommandParser
from mixgraph.graph import MixGraph, build_console
from mixgraph.page.web_audio import console_model, engine_script
from mixgraph.processors import make_processors, registered
from mixgraph.processors.registry import OUTSIDE_TYPE_ID
from mixgraph.results.changes import changes_from_dict
from mixgraph.results.found_graph import FoundGraph
from mixgraph.system.files import json_text, write_atomically
from tools.bench.machine import measured

RATE = 30000
SECONDS = 4.0  # reverbs last 2 s
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"),
]
DEFAULT = ("equalizer", "compressor", "noisegate", "stereo_imager", "gain_panning", "delay", "reverb")
_CONSOLES = {
    "subgroups and master": build_console({"a": ["x", "y"], "b": ["z"]}, "ecngdr", "ec", master_chain="ecg"),
    "return bus, by sends": build_console({"a": ["x", "y"]}, "eg", "g", returns={"hall": "er"}),
    "sidechain": build_console({"a": ["x"], "b": ["y"]}, "ge", "e", sidechains={"y": "x"}),
    "band splitter": build_console({"a": ["x"]}, "b(ec,g)", ""),
    "mid/side splitter": build_console({"a": ["x"]}, "t(e,cg)", ""),
    "faders": build_console({"a": ["x", "y"]}, "ef", "fc"),
}
_INSIDE = {
    "band_splitter": "band splitter",
    "mid_side_splitter": "mid/side splitter",
    "send": "return bus, by sends",
    "sidechain_compressor": "sidechain",
}
"""Types that need a console around them -> that console."""
_CUT = {"envelope": "truncated", "gain": "energy", "truncated_taps": 700}
_VARIANTS: dict[str, tuple[int, tuple[str, ...], Mapping[str, Mapping[str, Any]]]] = {
    "reverb, decay mask": (RATE, ("reverb",), {"reverb": {"mask": "decay"}}),
    "reverb, level kept": (RATE, ("reverb",), {"reverb": {"normalize": False}}),
    "delay, level kept": (RATE, ("delay",), {"delay": {"normalize": False}}),
    "noisegate, any ratio": (RATE, ("noisegate",), {"noisegate": {"ratio": "positive"}}),
    "dynamics, cut envelopes": (RATE, ("compressor", "noisegate"), {"compressor": _CUT, "noisegate": _CUT}),
    "delay, cut responses": (RATE, ("delay",), {"delay": {"truncate": True}}),
    "default chain at 44.1 kHz": (44100, DEFAULT, {}),
    "default chain at 48 kHz": (48000, DEFAULT, {}),
}
_HOW = {"live": "live", "baked": "made beforehand", "baked live": "live, reverb made beforehand"}
_PAGE = """<!doctype html><meta charset="utf-8"><title>engine</title>
<script>{script}</script>
<script>
async function play(model, packed, length, changes, actions) {{
  const context = new OfflineAudioContext(2, length + model.latency, model.sample_rate);
  const before = performance.now();
  const engine = new MixConsole(context, model);
  await engine.ready;
  const sound = new Float32Array(Uint8Array.from(atob(packed), (c) => c.charCodeAt(0)).buffer);
  model.tracks.forEach((track, row) => {{
    const buffer = new AudioBuffer({{ length, numberOfChannels: 2, sampleRate: model.sample_rate }});
    [0, 1].forEach((n) => buffer.copyToChannel(sound.subarray((2 * row + n) * length, (2 * row + n + 1) * length), n));
    const source = new AudioBufferSourceNode(context, {{ buffer }});
    source.connect(engine.input(track.id));
    source.start();
  }});
  if (changes) engine.apply(changes);
  for (const [name, ...values] of actions) engine[name](...values);
  engine.output.connect(context.destination);
  const ready = performance.now();
  const mix = await context.startRendering();
  const rendered = performance.now();
  const bytes = [0, 1].map((n) => new Uint8Array(mix.getChannelData(n).slice(model.latency).buffer));
  const text = bytes.map((channel) => {{
    let letters = "";
    for (let n = 0; n < channel.length; n += 9999) letters += String.fromCharCode(...channel.subarray(n, n + 9999));
    return btoa(letters);
  }});
  return {{ text, changes: engine.changes(), build: (ready - before) / 1000, render: (rendered - ready) / 1000 }};
}}
</script>
"""


@contextmanager
def engine_page() -> Iterator[Any]:
    """Opens a page from disk that has the audio engine and nothing else, in a Chromium of its own.

    Raises:
        FileNotFoundError: there is no chromium.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page()
        page.goto(write_engine_page(Path(folder) / "engine.html").as_uri())
        yield page
        browser.close()


def chromium() -> str:
    """The path of the browser.

    Raises:
        FileNotFoundError: there is none.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise FileNotFoundError("chromium: a browser of this name is needed on the PATH, got none")
    return path


def write_engine_page(path: Path) -> Path:
    path.write_text(_PAGE.format(script=engine_script()), encoding="utf-8")
    return path


def play(
    page: Any,
    found: FoundGraph,
    sources: Tensor,
    changes: Mapping[str, Any] | None = None,
    actions: Sequence[Sequence[Any]] = (),
) -> tuple[Tensor, dict[str, Any]]:
    """Renders a graph by the page's engine.

    Args:
        page: an engine page in a browser.
        found: the graph.
        sources: dry tracks, (inputs, 2, L).
        changes: what a changes.json holds.
        actions: methods of the engine that are called before it plays, with their arguments.

    Returns:
        (2, L), in time with the sources, and `changes` that the engine tells, and its seconds to `build` and `render`.
    """
    packed = base64.b64encode(sources.numpy().astype("<f4").tobytes()).decode()
    played = page.evaluate(
        "([model, packed, length, changes, actions]) => play(model, packed, length, changes, actions)",
        [console_model(found), packed, sources.shape[-1], changes, list(actions)],
    )
    channels = [np.frombuffer(base64.b64decode(text), dtype="<f4") for text in played.pop("text")]
    return torch.tensor(np.stack(channels), dtype=torch.float64), played


def null_db(played: Tensor, rendered: Tensor) -> float:
    """Level of the difference against the level of what mixgraph renders, in dB."""
    error = (played - rendered.double()).square().sum() / rendered.double().square().sum()
    return 10 * float(torch.log10(error + 1e-30))


def case_names() -> list[str]:
    """Names what is compared: the processor types of this package, the kinds of consoles, and variants."""
    types = [name for name, kind in registered().items() if (kind.type_id or OUTSIDE_TYPE_ID) < OUTSIDE_TYPE_ID]
    return [*types, *(f"console: {name}" for name in _CONSOLES), *_VARIANTS]


def null_case(name: str) -> FoundGraph:
    """Returns the graph of one of `case_names`, with random values."""
    if name in _VARIANTS:
        rate, chain, settings = _VARIANTS[name]
        return found_graph(chain_graph([chain]), rate, settings)
    console = name.removeprefix("console: ") if name.startswith("console: ") else _INSIDE.get(name)
    return found_graph(_CONSOLES[console] if console else chain_graph([(name,)]))


def chain_graph(chains: Sequence[Sequence[str]]) -> MixGraph:
    """Returns a graph of one track for each chain of types; all tracks are summed."""
    types, edges, names = ["input"] * len(chains), [], [f"track {row}" for row in range(len(chains))]
    ends = []
    for row, chain in enumerate(chains):
        end = row
        for node_type in chain:
            types.append(node_type)
            names.append(names[row])
            edges.append((end, len(types) - 1))
            end = len(types) - 1
        ends.append(end)
    mix = len(types)
    types += ["mix", "output"]
    names += ["master", "song"]
    edges += [(end, mix) for end in ends] + [(mix, mix + 1)]
    return MixGraph(tuple(types), tuple(edges), tuple(names), ("master",) * len(chains))


def found_graph(
    graph: MixGraph, rate: int = RATE, settings: Mapping[str, Mapping[str, Any]] | None = None, seed: int = 0
) -> FoundGraph:
    """Returns a graph with random values, as a search might find them; thresholds are such that dynamics act."""
    generator = torch.Generator().manual_seed(seed)
    processors, parameters = make_processors(rate, dict(settings or {})), {}
    for node_type, count in graph.count().items():
        values = processors[node_type].sample_initial_values(count, generator, 0.5)
        if "log_threshold" in values:
            values["log_threshold"] = values["log_threshold"] + 2
        parameters[node_type] = values
    weights = 0.1 + 0.8 * torch.rand(len(graph.processors), generator=generator)
    return FoundGraph(graph, processors, parameters, weights, rate, 0.7, rate // 2, {})


def sources_of(found: FoundGraph, seconds: float) -> Tensor:
    """Returns dry tracks, (inputs, 2, L): noise whose level steps by up to 40 dB, ten times a second."""
    generator = torch.Generator().manual_seed(1)
    shape = len(found.graph.inputs), 2, math.ceil(seconds * found.sample_rate)
    noise = 0.5 * torch.rand(*shape, generator=generator) - 0.25
    levels = 10 ** (-2 * torch.rand(shape[0], 1, math.ceil(10 * seconds), generator=generator))
    step = math.ceil(found.sample_rate / 10)
    return noise * levels.repeat_interleave(step, dim=-1)[..., : shape[-1]]


def every_change(found: FoundGraph, share: float = 0.3) -> dict[str, Any]:
    """Returns a changes.json that moves every setting of every processor by a share of the way to its farther end."""
    model = console_model(found)
    processors = {
        entry["label"]: {setting["name"]: _moved(setting, share) for setting in entry["settings"]}
        for entry in model["processors"]
    }
    return {**model["changes"], "song": model["song"], "graph": model["graph"], "processors": processors}


def _moved(setting: Mapping[str, Any], share: float) -> float:
    low, high, value = setting["min"], setting["max"], setting["value"]
    if setting["scale"] == "log":
        low, high, value = math.log(low), math.log(high), math.log(value)
    end = high if high - value > value - low else low
    moved = value + share * (end - value)
    return min(max(math.exp(moved) if setting["scale"] == "log" else moved, setting["min"]), setting["max"])


def nulls(page: Any, found: FoundGraph, seconds: float) -> tuple[float, float, float]:
    """Returns the null as found, the null with every setting moved, and what the moves change, in dB."""
    sources = sources_of(found, seconds)
    rendered = found.render(sources)
    record = every_change(found)
    changed, muted, _ = changes_from_dict(record, "changes").apply(found, sources)
    moved = changed.render(muted)
    as_found, _ = play(page, found, sources)
    as_moved, _ = play(page, found, sources, record)
    return null_db(as_found, rendered), null_db(as_moved, moved), null_db(rendered, moved)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = CommandParser(prog="python -m tools.bench.page", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the table as JSON, for tools.result_tables")
    options = parser.parse_args(arguments)
    rows = []
    with engine_page() as page:
        version = page.context.browser.version
        for name in case_names():
            found = null_case(name)
            as_found, as_moved, moves = nulls(page, found, SECONDS)
            played = {entry["processing"] for entry in console_model(found)["processors"]}
            how = (
                "live"
                if played == {"live"}
                else "made beforehand"
                if played == {"baked"}
                else "live, reverb beforehand"
            )
            rows.append([name.replace("_", " "), how, f"{as_found:.0f}", f"{as_moved:.0f}", f"{moves:+.0f}"])
            sys.stdout.write(" | ".join(rows[-1]) + "\n")
            sys.stdout.flush()
    content = {
        "title": "The page's engine against mixgraph's rendering",
        "columns": ["case", "played", "as found", "with all settings moved", "the moves themselves"],
        "rows": rows,
        "note": (
            f"Level of the difference in dB, noise of {SECONDS:g} s whose level steps by up to 40 dB. Made beforehand: "
            f"the page moves weight and level, not what shapes the response. Chromium {version}."
        ),
        "measured": [measured(f"python -m tools.bench.page --out {options.out}", torch.get_num_threads())],
    }
    write_atomically(options.out, json_text(content, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
