"""The page's audio engine plays what the renderer renders, in a real browser."""

import json
from dataclasses import replace

import pytest

from mixgraph.page.web_audio import console_model
from mixgraph.processors import make_processors, registered
from mixgraph.results.changes import changes_from_dict
from tools.bench.page import (
    DEFAULT,
    RATE,
    case_names,
    chain_graph,
    every_change,
    found_graph,
    null_case,
    null_db,
    nulls,
    play,
    sources_of,
)

SECONDS = 0.5


def test_default_types_null_against_the_renderer_as_found_and_with_every_setting_moved(engine_page):
    found = found_graph(chain_graph([DEFAULT, ("gain_panning",)]))
    as_found, as_moved, moves = nulls(engine_page, found, SECONDS)
    assert as_found < -100
    assert as_moved < -100
    assert moves > -40
    assert console_model(found)["notes"] == []


@pytest.mark.long
@pytest.mark.parametrize("name", case_names())
def test_every_type_and_console_nulls_as_found_and_with_every_setting_moved(engine_page, name):
    found = null_case(name)
    as_found, as_moved, moves = nulls(engine_page, found, SECONDS)
    assert as_found < -100
    assert as_moved < -100
    assert moves > -40
    assert len(every_change(found)["processors"]) == len(found.graph.processors)


def test_every_type_is_compared():
    assert {name for name, kind in registered().items() if kind.type_id and kind.type_id < 1000} <= set(case_names())


@pytest.mark.long
def test_delays_are_whole_at_every_rate(engine_page):
    """A delay of a part of a sample more would be a filter; an equalizer at 44.1 kHz once nulled at -87 dB by it."""
    wrong = """async () => {
      const wrong = [];
      const model = { tracks: [], groups: [], processors: [], nodes: [], cables: [], level: 1, latency: 0 };
      for (const sample_rate of [8000, 22050, 30000, 32000, 44100, 48000, 96000]) {
        const late = [...Array(400).keys(), 700, 1000, 2046, 4000, 8191, 12345];
        const context = new OfflineAudioContext(1, 12400, sample_rate);
        const buffer = new AudioBuffer({ length: 12400, numberOfChannels: 1, sampleRate: sample_rate });
        buffer.getChannelData(0)[0] = 1;
        const source = new AudioBufferSourceNode(context, { buffer });
        const engine = new MixConsole(context, { ...model, sample_rate });
        for (engine.latency of late) engine.align(source).connect(context.destination);
        source.start();
        const clicks = (await context.startRendering()).getChannelData(0);
        clicks.forEach((x, n) => { if (x !== (late.includes(n) ? 1 : 0)) wrong.push([sample_rate, n, x]); });
      }
      return wrong;
    }"""
    assert engine_page.evaluate(wrong) == []


@pytest.mark.long
def test_changes_null_against_the_renderer_with_the_changes(engine_page):
    found = found_graph(chain_graph([DEFAULT, ("gain_panning", "compressor"), ("reverb",)]))
    sources = sources_of(found, SECONDS)
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
    played, told = play(engine_page, found, sources, actions=actions)
    changes = changes_from_dict(json.loads(json.dumps(told["changes"])), "changes.json")
    changed, muted, notes = changes.apply(found, sources)
    assert null_db(played, changed.render(muted)) < -100
    assert null_db(played, found.render(sources)) > -40
    assert len(notes) == 7


LIVE = """async (model) => {
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
def test_settings_move_while_it_plays(engine_page):
    found = found_graph(chain_graph([("equalizer",)]))
    levels = engine_page.evaluate(LIVE, console_model(found))
    assert levels["start"][0] == pytest.approx(levels["start"][1], abs=1)
    assert levels["softer"][0] < levels["start"][0] - 15
    assert levels["reset"][0] == pytest.approx(levels["start"][0], abs=1)
    assert levels["again"][0] == pytest.approx(levels["softer"][0], abs=1)
    assert levels["muted"][0] < -100
    assert levels["changed"]
    assert levels["refused"] == ["RangeError", "RangeError"]


@pytest.mark.long
def test_a_response_that_is_made_beforehand_nulls_and_is_said(engine_page):
    live = found_graph(chain_graph([("delay", "equalizer")]))
    found = replace(live, processors=make_processors(RATE, {"delay": {"truncate": True}}))
    sources = sources_of(found, SECONDS)
    model = console_model(found)
    assert [entry["processing"] for entry in model["processors"]] == ["baked", "live"]
    assert "cannot change what shapes its response" in model["notes"][0]
    played, _ = play(engine_page, found, sources)
    assert null_db(played, found.render(sources)) < -100
