"""The page's audio engine plays what the renderer renders, in a real browser."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from mixgraph.graph import MixGraph, build_console
from mixgraph.page.web_audio import console_model, engine_script, model_text
from mixgraph.processors import make_processors
from mixgraph.results.changes import changes_from_dict
from mixgraph.results.found_graph import FoundGraph

RATE = 30000
PAGE = """<!doctype html><meta charset="utf-8"><title>engine</title>
<script type="application/json" id="model">{model}</script>
<script>{script}</script>
<script>
async function play(packed, length, actions) {{
  const model = JSON.parse(document.getElementById("model").textContent);
  const context = new OfflineAudioContext(2, length + model.latency, model.sample_rate);
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
  for (const [name, ...values] of actions) engine[name](...values);
  engine.output.connect(context.destination);
  const mix = await context.startRendering();
  const out = [0, 1].map((n) => Array.from(mix.getChannelData(n).subarray(model.latency)));
  return {{ out, changes: engine.changes() }};
}}
</script>
"""
DEFAULT = ("equalizer", "compressor", "noisegate", "stereo_imager", "gain_panning", "delay", "reverb")
OTHERS = (
    *("parametric_equalizer", "attack_release_compressor", "attack_release_gate", "saturator", "fader"),
    "late_reverb",
)


def chain_graph(chains):
    """One track for each chain of types; all tracks are summed."""
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


def found_graph(graph, seed=0):
    generator = torch.Generator().manual_seed(seed)
    processors, parameters = make_processors(RATE), {}
    for node_type, count in graph.count().items():
        values = processors[node_type].sample_initial_values(count, generator, 0.5)
        if "log_threshold" in values:
            values["log_threshold"] = values["log_threshold"] + 2
        parameters[node_type] = values
    weights = 0.1 + 0.8 * torch.rand(len(graph.processors), generator=generator)
    return FoundGraph(graph, processors, parameters, weights, RATE, 0.7, RATE // 2, {})


def sources_of(graph, length=RATE // 2):
    generator = torch.Generator().manual_seed(1)
    return 0.5 * torch.rand(len(graph.inputs), 2, length, generator=generator) - 0.25


def play(open_page, tmp_path, found, sources, actions=()):
    path = tmp_path / "page.html"
    path.write_text(PAGE.format(model=model_text(console_model(found)), script=engine_script()), encoding="utf-8")
    packed = base64.b64encode(sources.numpy().astype("<f4").tobytes()).decode()
    played = open_page(path).evaluate(
        "([packed, length, actions]) => play(packed, length, actions)", [packed, sources.shape[-1], list(actions)]
    )
    return torch.tensor(np.array(played["out"]), dtype=torch.float64), played["changes"]


def null_db(played, rendered):
    error = (played - rendered.double()).square().sum() / rendered.double().square().sum()
    return 10 * float(torch.log10(error + 1e-30))


def test_default_types_null_against_the_renderer(open_page, tmp_path):
    found = found_graph(chain_graph([DEFAULT, ("gain_panning",)]))
    sources = sources_of(found.graph)
    played, changes = play(open_page, tmp_path, found, sources)
    assert null_db(played, found.render(sources)) < -100
    assert changes["processors"] == {}
    assert changes["bypass"] == []
    assert console_model(found)["notes"] == []


@pytest.mark.long
@pytest.mark.parametrize("node_type", [*DEFAULT, *OTHERS])
def test_every_type_nulls(open_page, tmp_path, node_type):
    found = found_graph(chain_graph([(node_type,)]))
    sources = sources_of(found.graph)
    played, _ = play(open_page, tmp_path, found, sources)
    assert null_db(played, found.render(sources)) < -100


@pytest.mark.long
def test_changes_null_against_the_renderer_with_the_changes(open_page, tmp_path):
    found = found_graph(chain_graph([DEFAULT, ("gain_panning", "compressor"), ("reverb",)]))
    sources = sources_of(found.graph)
    ids = {entry["type"]: entry["id"] for entry in reversed(console_model(found)["processors"])}
    actions = [
        ["set", ids["equalizer"], {"tilt_db_per_octave": 1.5, "gain_db": -3}],
        ["set", ids["compressor"], {"threshold_db": -24, "ratio": 3}],
        ["set", ids["reverb"], {"level_db": 6, "decay": 0.5}],
        ["set", ids["delay"], {"level_db": -4}],
        ["set", ids["gain_panning"], {"gain_left_db": -6, "wet": 0.9}],
        ["set", ids["noisegate"], {"bypass": True}],
        ["mute", "t2", True],
    ]
    played, record = play(open_page, tmp_path, found, sources, actions)
    changes = changes_from_dict(json.loads(json.dumps(record)), "changes.json")
    changed, muted, notes = changes.apply(found, sources)
    assert null_db(played, changed.render(muted)) < -100
    assert null_db(played, found.render(sources)) > -40
    assert len(notes) == 7


CONSOLES = {
    "subgroups and master": build_console({"a": ["x", "y"], "b": ["z"]}, "eg", "c", master_chain="eg"),
    "return bus": build_console({"a": ["x", "y"]}, "eg", "g", returns={"hall": "r"}),
    "sidechain": build_console({"a": ["x"], "b": ["y"]}, "g", "e", sidechains={"y": "x"}),
    "band splitter": build_console({"a": ["x"]}, "b(c,g)", ""),
    "mid/side splitter": build_console({"a": ["x"]}, "t(e,c)", ""),
}


@pytest.mark.long
@pytest.mark.parametrize("kind", CONSOLES)
def test_every_console_kind_nulls(open_page, tmp_path, kind):
    found = found_graph(CONSOLES[kind])
    sources = sources_of(found.graph)
    played, _ = play(open_page, tmp_path, found, sources)
    assert null_db(played, found.render(sources)) < -100


LIVE = """async () => {
  const model = JSON.parse(document.getElementById("model").textContent);
  const context = new AudioContext({ sampleRate: model.sample_rate });
  const engine = new MixConsole(context, model);
  await engine.ready;
  const length = 2 * model.sample_rate;
  const buffer = new AudioBuffer({ length, numberOfChannels: 2, sampleRate: model.sample_rate });
  [0, 1].forEach((n) => buffer.copyToChannel(Float32Array.from({ length }, () => 0.2 * Math.random() - 0.1), n));
  const meters = ["mix", "after"].map(() => new AnalyserNode(context, { fftSize: 4096 }));
  engine.output.connect(meters[0]).connect(context.destination);
  engine.tap("t0", "after").connect(meters[1]);
  model.tracks.forEach(({ id }) => {
    const source = new AudioBufferSourceNode(context, { buffer, loop: true });
    source.connect(engine.input(id));
    source.start();
  });
  await context.resume();
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const levels = async () => {
    await wait(600);
    return meters.map((meter) => {
      const samples = new Float32Array(4096);
      meter.getFloatTimeDomainData(samples);
      return 10 * Math.log10(samples.reduce((sum, x) => sum + x * x, 0) / 4096 + 1e-30);
    });
  };
  const result = { start: await levels() };
  const id = model.processors.find(({ type }) => type === "equalizer").id;
  engine.set(id, { gain_db: -24, wet: 1 });
  result.softer = await levels();
  const saved = engine.changes();
  engine.reset();
  result.reset = await levels();
  engine.apply(saved);
  result.again = await levels();
  engine.mute("t0", true);
  result.muted = await levels();
  result.changed = engine.changed();
  const refused = (values) => { try { engine.set(id, values); return ""; } catch (error) { return error.name; } };
  result.refused = [refused({ wet: 2 }), refused({ nothing: 1 })];
  engine.dispose();
  return result;
}"""


@pytest.mark.long
def test_settings_move_while_it_plays(open_page, tmp_path):
    found = found_graph(chain_graph([("equalizer",)]))
    path = tmp_path / "page.html"
    path.write_text(PAGE.format(model=model_text(console_model(found)), script=engine_script()), encoding="utf-8")
    levels = open_page(path).evaluate(LIVE)
    assert levels["start"][0] == pytest.approx(levels["start"][1], abs=1)
    assert levels["softer"][0] < levels["start"][0] - 15
    assert levels["reset"][0] == pytest.approx(levels["start"][0], abs=1)
    assert levels["again"][0] == pytest.approx(levels["softer"][0], abs=1)
    assert levels["muted"][0] < -100
    assert levels["changed"]
    assert levels["refused"] == ["RangeError", "RangeError"]


@pytest.mark.long
def test_a_response_that_is_made_beforehand_nulls_and_is_said(open_page, tmp_path):
    live = found_graph(chain_graph([("delay", "equalizer")]))
    found = replace(live, processors=make_processors(RATE, {"delay": {"truncate": True}}))
    sources = sources_of(found.graph)
    model = console_model(found)
    assert [entry["processing"] for entry in model["processors"]] == ["baked", "live"]
    assert "cannot change what shapes its response" in model["notes"][0]
    played, _ = play(open_page, tmp_path, found, sources)
    assert null_db(played, found.render(sources)) < -100
