"""The console that plays in the page: changed by its controls while it plays, and saved."""

import pytest
import torch

from mixgraph.graph import build_console
from mixgraph.page.material import Material
from mixgraph.page.write import write_page
from mixgraph.processors import make_processors
from mixgraph.results.changes import read_changes
from mixgraph.results.found_graph import FoundGraph

RATE = 8000


def console_material(types: str = "ecgd", master: str = "") -> Material:
    generator = torch.Generator().manual_seed(0)
    graph = build_console({"drums": ("kick", "snare"), "all": ("vox",)}, types, "c", name="Tiny", master_chain=master)
    processors = make_processors(RATE)
    parameters = {t: processors[t].sample_initial_values(n, generator, 0.3) for t, n in graph.count().items()}
    weights = torch.full((len(graph.processors),), 0.5)
    found = FoundGraph(graph, processors, parameters, weights, RATE, 1.0, 2 * RATE, {})
    sources = 1.5 * torch.rand(3, 2, 2 * RATE, generator=generator) - 0.75
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
    page.get_by_role("button", name="Before its chain").click()
    wait(page, "mixgraphPlayer.name === 'track 2' && mixgraphPlayer.voices['track 2'].gain.gain.value > 0.2")
    page.evaluate(RESIDUAL, [["t2", "before"], "track 2"])
    wait(page, "residual() < -75")
    assert page.get_by_role("button", name="Before its chain").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Target", exact=True).click()
    wait(page, "mixgraphPlayer.voices.target.gain.gain.value > 0.2")
    assert page.evaluate("first[0] === mixgraphPlayer.voices.target.source && first[1] === mixgraphPlayer.startFrame")


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
