"""The console that plays in the page: changed by its controls while it plays, and saved."""

import json

import pytest
import torch

from mixgraph.graph import build_console
from mixgraph.page.material import Material
from mixgraph.page.write import write_page
from mixgraph.processors import make_processors
from mixgraph.report.drawing.palette import type_label
from mixgraph.results.changes import read_changes
from mixgraph.results.found_graph import FoundGraph

RATE = 8000


def console_material(types: str = "ecgd", master: str = "", seconds: int = 2) -> Material:
    generator = torch.Generator().manual_seed(0)
    graph = build_console({"drums": ("kick", "snare"), "all": ("vox",)}, types, "c", name="Tiny", master_chain=master)
    processors = make_processors(RATE)
    parameters = {t: processors[t].sample_initial_values(n, generator, 0.3) for t, n in graph.count().items()}
    weights = torch.full((len(graph.processors),), 0.5)
    found = FoundGraph(graph, processors, parameters, weights, RATE, 1.0, seconds * RATE, {})
    sources = 1.5 * torch.rand(3, 2, seconds * RATE, generator=generator) - 0.75
    mix = found.render(sources)
    return Material(found, sources, mix, mix, [], [], ())


@pytest.mark.long
def test_changes_are_heard_listed_and_saved(wait, open_page, tmp_path) -> None:
    material = console_material()
    write_page(tmp_path / "page.html", material)
    page = open_page(tmp_path / "page.html")
    changes = page.get_by_role("list", name="What was changed")
    assert changes.inner_text() == "Nothing is changed."
    assert page.get_by_role("button", name="Save changes.json").is_disabled()
    page.get_by_role("button", name="Play").click()
    wait(page, "mixgraphPlayer.playing && mixgraphPlayer.now() > 0.1")

    chosen = page.locator("g.node.chosen").get_attribute("data-node")
    label = page.evaluate(f"mixgraphPlayer.data.console.processors.find((p) => p.node === {chosen}).label")
    page.get_by_role("button", name="Bypass").click()
    wait(page, "mixgraphPlayer.name === 'live' && mixgraphPlayer.playing && mixgraphPlayer.liveGain.gain.value > 0.5")
    assert page.evaluate("mixgraphPlayer.voices.target.gain.gain.value") == pytest.approx(0, abs=1e-3)
    page.evaluate(
        "window.meter = mixgraphPlayer.context.createAnalyser(); mixgraphPlayer.liveGain.connect(meter);"
        "window.loud = () => { const x = new Float32Array(2048); "
        "meter.getFloatTimeDomainData(x); return Math.max(...x); }"
    )
    wait(page, "loud() > 0.01")
    wet = page.locator("#inspector input[data-setting=wet]")
    wet.focus()
    page.keyboard.press("ArrowRight")
    assert "0.51" in page.locator("#inspector .slider output").first.inner_text()

    page.locator("g.node[data-type=input]").first.focus()
    page.get_by_role("button", name="Solo").click()
    rows = changes.locator("li").all_inner_texts()
    assert rows[0].startswith(f"{label}: bypassed, ")
    assert rows[1] == "track kick: solo"

    with page.expect_download() as download:
        page.get_by_role("button", name="Save changes.json").click()
    assert download.value.suggested_filename == "changes.json"
    download.value.save_as(tmp_path / "changes.json")
    saved = read_changes(tmp_path / "changes.json")
    assert (saved.bypass, saved.solo, saved.mute) == ((label,), ("track kick",), ())
    assert dict(saved.processors[label]) == pytest.approx({"wet": 0.51})
    assert len(saved.change(material.found_graph)[1]) == 2

    page.get_by_role("button", name="Mute").click()
    wait(page, "loud() < 1e-3")
    page.get_by_role("button", name="Reset all").click()
    assert changes.inner_text() == "Nothing is changed."
    wait(page, "loud() > 0.01")
    page.get_by_role("button", name="Target", exact=True).click()
    wait(page, "mixgraphPlayer.liveGain.gain.value < 1e-3 && mixgraphPlayer.voices.target.gain.gain.value > 0.5")


RESIDUAL = """([loud, recorded]) => {
  const { context, engine, voices, data, number } = mixgraphPlayer;
  const [error, whole] = [0, 0].map(() => new AnalyserNode(context, { fftSize: 2048 }));
  const inverted = new GainNode(context, { gain: -data.excerpts[number].audio[recorded].scale });
  const sound = loud === "live" ? engine.output : engine.tap(...loud);
  voices[recorded].source.connect(inverted).connect(error);
  sound.connect(error);
  sound.connect(whole);
  const energy = (meter) => {
    const sound = new Float32Array(2048);
    meter.getFloatTimeDomainData(sound);
    return sound.reduce((sum, x) => sum + x * x, 0);
  };
  window.residual = () => (mixgraphPlayer.now() > 1.2 ? 10 * Math.log10(energy(error) / energy(whole)) : 0);
}"""


@pytest.mark.long
@pytest.mark.parametrize("types", ["ecg", "egf"])
def test_the_live_voice_runs_in_time_with_the_recordings(wait, open_page, tmp_path, types) -> None:
    """The second pass of the loop, too; `f` are faders, which follow the place in the song."""
    write_page(tmp_path / "page.html", console_material(types), excerpts="0.25-2")
    page = open_page(tmp_path / "page.html")
    page.get_by_role("button", name="Live").click()
    wait(page, "mixgraphPlayer.name === 'live'")
    page.get_by_role("button", name="Play").click()
    wait(page, "mixgraphPlayer.playing")
    page.evaluate(RESIDUAL, ["live", "found"])
    wait(page, "residual() < -65")
    wait(page, "mixgraphPlayer.now() < 1")
    wait(page, "residual() < -65")


@pytest.mark.long
def test_voices_join_what_plays_in_time_and_without_a_restart(wait, open_page, tmp_path) -> None:
    """The console, which is built while a recording plays; parts before and after their chains; a dry track."""
    write_page(tmp_path / "page.html", console_material("ecg", "g"), excerpts="0.25-2")
    page = open_page(tmp_path / "page.html")
    page.get_by_role("button", name="Play").click()
    wait(page, "mixgraphPlayer.playing && mixgraphPlayer.now() > 0.1")
    page.evaluate("window.first = [mixgraphPlayer.voices.target.source, mixgraphPlayer.startFrame]")
    page.get_by_label("A part of the mix alone").select_option("vox")
    wait(page, "mixgraphPlayer.name === 'after t2'")
    wait(page, "mixgraphPlayer.taps.get('after t2').gain.value > 0.99")
    master = page.evaluate("mixgraphPlayer.data.console.groups.find((g) => g.kind === 'master').id")
    page.evaluate(RESIDUAL, [[master, "after"], "found"])
    wait(page, "residual() < -65")
    page.get_by_role("button", name="Before its chain", exact=True).click()
    wait(page, "mixgraphPlayer.name === 'track 2' && mixgraphPlayer.voices['track 2'].gain.gain.value > 0.2")
    page.evaluate(RESIDUAL, [["t2", "before"], "track 2"])
    wait(page, "residual() < -75")
    assert page.get_by_role("button", name="Before its chain", exact=True).get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Target", exact=True).click()
    wait(page, "mixgraphPlayer.voices.target.gain.gain.value > 0.2")
    assert page.evaluate("first[0] === mixgraphPlayer.voices.target.source && first[1] === mixgraphPlayer.startFrame")


SWITCHED = """async () => {
  const player = mixgraphPlayer, { context, voices, data, number } = player;
  const [error, whole] = [0, 0].map(() => new AnalyserNode(context, { fftSize: 32768 }));
  const inverted = new GainNode(context, { gain: -data.excerpts[number].audio.found.scale });
  player.live();
  voices.found.source.connect(inverted).connect(error);
  for (const heard of [voices.found.gain, player.liveGain]) [error, whole].forEach((meter) => heard.connect(meter));
  for (const name of ["live", "found", "live"]) {
    await player.hear(name);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  const [difference, sound] = [error, whole].map((meter) => {
    const samples = new Float32Array(32768);
    meter.getFloatTimeDomainData(samples);
    return samples.reduce((sum, x) => sum + x * x, 0);
  });
  return 10 * Math.log10(difference / sound);
}"""


@pytest.mark.long
def test_switches_leave_no_gap_and_no_step(wait, open_page, tmp_path) -> None:
    """Between the recording of the found mix and the live console: the sum of what is heard stays the recording."""
    write_page(tmp_path / "page.html", console_material("ecg", seconds=12), excerpts="0-12")
    page = open_page(tmp_path / "page.html")
    page.get_by_role("button", name="Found mix", exact=True).click()
    page.get_by_role("button", name="Play").click()
    wait(page, "mixgraphPlayer.playing && mixgraphPlayer.name === 'found' && mixgraphPlayer.now() > 0.3")
    assert page.evaluate(SWITCHED) < -60


@pytest.mark.long
def test_the_keyboard_moves_through_the_excerpt_and_chooses_a_loop(wait, open_page, tmp_path) -> None:
    write_page(tmp_path / "page.html", console_material("ecg"))
    page = open_page(tmp_path / "page.html")
    page.locator(".spectra").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("mixgraphPlayer.now()") == pytest.approx(1)
    page.keyboard.press("[")
    assert page.evaluate("mixgraphPlayer.loop") == [1, 2]
    page.keyboard.press("Escape")
    page.keyboard.press("Home")
    assert page.evaluate("[mixgraphPlayer.loop, mixgraphPlayer.now()]") == [None, 0]


@pytest.mark.long
def test_keys_play_and_switch_wherever_the_focus_is(wait, open_page, tmp_path) -> None:
    write_page(tmp_path / "page.html", console_material("ecg"))
    page = open_page(tmp_path / "page.html")
    page.get_by_role("button", name="Play", exact=True).click()
    wait(page, "mixgraphPlayer.playing")
    page.keyboard.press("2")
    wait(page, "mixgraphPlayer.name === 'found'")
    page.locator("g.node[data-type=equalizer]").first.focus()
    page.keyboard.press("3")
    wait(page, "mixgraphPlayer.name === 'dry'")
    page.keyboard.press("Space")
    wait(page, "!mixgraphPlayer.playing")
    page.locator("#inspector input[data-setting=wet]").focus()
    page.keyboard.press("1")
    page.keyboard.press("Space")
    wait(page, "mixgraphPlayer.playing && mixgraphPlayer.name === 'target'")
    page.get_by_role("button", name="Difference", exact=True).focus()
    page.keyboard.press("Space")
    wait(page, "mixgraphPlayer.playing && mixgraphPlayer.name === 'difference'")


@pytest.mark.long
def test_the_panel_draws_what_is_moved(wait, open_page, tmp_path) -> None:
    write_page(tmp_path / "page.html", console_material("ecgdr"))
    page = open_page(tmp_path / "page.html")
    picture = "document.querySelector('#inspector .reading').innerHTML"
    for kind, setting in (
        *(("equalizer", "tilt_db_per_octave"), ("compressor", "ratio"), ("gain_panning", "gain_left_db")),
        *(("delay", "level_db"), ("reverb", "level_db")),
    ):
        page.locator(f"g.node[data-type={kind}]").first.click()
        found = page.evaluate(picture)
        page.locator(f"#inspector input[data-setting={setting}]").focus()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("PageDown")
        wait(page, f"{picture} !== {json.dumps(found)}")
        page.get_by_role("button", name="Reset", exact=True).click()
        wait(page, f"{picture} === {json.dumps(found)}")


DROP = """([name, text]) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([text], name));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
}"""


@pytest.mark.long
def test_files_of_changes_are_loaded_and_wrong_ones_change_nothing(wait, open_page, tmp_path) -> None:
    material = console_material()
    write_page(tmp_path / "page.html", material)
    page = open_page(tmp_path / "page.html")
    page.get_by_role("button", name="Bypass").click()
    state = "JSON.stringify(mixgraphPlayer.engine.changes())"
    right = page.evaluate("mixgraphPlayer.engine.changes()")
    [label] = right["bypass"]
    right |= {"bypass": [], "processors": {label: {"wet": 0.25}}, "mute": ["track kick"], "solo": ["subgroup drums"]}
    page.evaluate(DROP, ["mine.json", json.dumps(right)])
    status = page.locator("#changes [role=status]")
    wait(page, "document.querySelector('#changes [role=status]').textContent === 'mine.json was loaded.'")
    assert page.evaluate("mixgraphPlayer.engine.changes()") == right
    assert page.locator("#inspector input[data-setting=wet]").input_value() == "0.25"
    assert page.get_by_role("button", name="Bypass").get_attribute("aria-pressed") == "false"
    listed = page.get_by_role("list", name="What was changed").inner_text()
    assert "track kick: muted" in listed
    place, _, kind = label.rpartition(": ")
    assert f"{place}: {type_label(kind)}: dry/wet" in listed
    before = page.evaluate(state)
    wrong = {
        "JSON is needed": "kick louder",
        "A file of changes that a page saved is needed": "[]",
        'The format "mixgraph changes" is needed': '{"format": "mixgraph model"}',
        "Version 1 is needed, got 2": json.dumps(right | {"version": 2}),
        'got "plugin"': json.dumps(right | {"plugin": 1}),
        "of another graph": json.dumps(right | {"graph": "0" * 64}),
        "A label of this graph such as": json.dumps(right | {"bypass": ["track flute: equalizer"]}),
        "solo: a list of labels is needed": json.dumps(right | {"solo": "track kick"}),
        "one of the settings wet": json.dumps(right | {"processors": {label: {"loudness": 1}}}),
        "wet: 0 to 1 1 is needed, got 2": json.dumps(right | {"processors": {label: {"wet": 2}}}),
        "got null": json.dumps(right | {"processors": {label: {"wet": None}}}),
    }
    for number, (sentence, text) in enumerate(wrong.items()):
        page.evaluate(DROP, [f"wrong{number}.json", text])
        wait(page, f"document.querySelector('#changes [role=status]').textContent.startsWith('wrong{number}.json: ')")
        assert sentence in status.inner_text()
        assert status.inner_text().endswith("Nothing was changed.")
        assert page.evaluate(state) == before
    (tmp_path / "again.json").write_text(json.dumps(right | {"mute": [], "solo": []}))
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Load changes.json").click()
    chooser.value.set_files(tmp_path / "again.json")
    wait(page, "document.querySelector('#changes [role=status]').textContent === 'again.json was loaded.'")
    assert page.evaluate("mixgraphPlayer.engine.changes().mute.length") == 0


@pytest.mark.long
def test_every_control_of_the_panel_has_a_name_and_is_reached_by_keyboard(open_page, tmp_path) -> None:
    """What a screen reader is told, from Chromium's tree of accessibility; and the way of the Tab key."""
    write_page(tmp_path / "page.html", console_material("ecngdrs", "g"))
    page = open_page(tmp_path / "page.html")
    tree = page.context.new_cdp_session(page)
    roles = {"button", "slider", "combobox", "spinbutton", "checkbox", "textbox", "link"}
    for node in page.evaluate("[...document.querySelectorAll('g.node')].map((g) => g.dataset.node)"):
        page.evaluate("(node) => document.querySelector(`g.node[data-node='${node}']`).focus()", node)
        told = [
            (one["role"]["value"], one.get("name", {}).get("value", ""), one.get("value", {}).get("value"))
            for one in tree.send("Accessibility.getFullAXTree")["nodes"]
            if not one.get("ignored") and one["role"]["value"] in roles
        ]
        assert [one for one in told if not one[1].strip()] == []
        inside = page.locator("#inspector :is(button, input, select)")
        shown = page.evaluate("document.querySelectorAll('#inspector :is(button, input, select)').length")
        names = [name for role, name, _ in told if role in ("slider", "button")]
        assert len(names) >= shown
        sliders = [(name, value) for role, name, value in told if role == "slider"]
        assert len({name for name, _ in sliders}) == len(sliders)
        assert inside.count() == shown
        reached = []
        for _ in range(shown):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("Boolean(document.activeElement.closest('#inspector'))"))
        assert reached == [True] * shown
    page.evaluate("document.activeElement.blur()")
    names = [name for _, name, _ in told]
    for name in (
        "Play",
        "Live",
        "A part of the mix alone",
        "Before its chain",
        "Loop",
        "Load changes.json",
        "Reset all",
    ):
        assert name in names
