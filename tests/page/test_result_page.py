"""The page of a result: what it needs, what it escapes, and how it acts in a real browser."""

import errno
import os
import re
import resource
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mixgraph.graph import build_console
from mixgraph.page.excerpts import encoded, matching_gains, parse_excerpts
from mixgraph.page.material import Material, read_material
from mixgraph.page.write import write_page
from mixgraph.processors import make_processors
from mixgraph.results.found_graph import FoundGraph

RATE = 8000
HOSTILE = "</script><script>alert(1)</script>\"'&\u202eevil"


def material(names=("kick", "lead"), audio=True) -> Material:
    generator = torch.Generator().manual_seed(0)
    graph = build_console({"all": names}, "ecgd", "r", name="Tiny")
    processors = make_processors(RATE)
    parameters = {t: processors[t].sample_initial_values(n, generator, 0.3) for t, n in graph.count().items()}
    weights = torch.full((len(graph.processors),), 0.5)
    places = dict.fromkeys(names, (0, 1))
    found = FoundGraph(graph, processors, parameters, weights, RATE, 1.0, 2 * RATE, places)
    sources = 1.5 * torch.rand(len(names), 2, 2 * RATE, generator=generator) - 0.75
    sources[0, 1] = sources[0, 0]
    mix = found.render(sources)
    return Material(found, sources, mix * 1.1, mix, [], [], ("No search.",)) if audio else Material(
        found, None, None, None, [], [], ("No search.",)
    )  # fmt: skip


def test_a_page_fetches_nothing_and_escapes_names(tmp_path) -> None:
    write_page(tmp_path / "page.html", material((HOSTILE, "b")), audio=False)
    text = (tmp_path / "page.html").read_text()
    assert "default-src 'none'" in text
    assert text.count("<script") == 2
    assert "<script>alert" not in text
    assert "\u202e" not in text
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_audio_inside_a_page_keeps_peaks_above_one_and_equal_channels() -> None:
    import base64
    import io

    import soundfile

    signal = torch.tensor([[2.5, -0.25, 0.0] * 2000] * 2)
    data = encoded(signal, RATE)
    samples, _ = soundfile.read(io.BytesIO(base64.b64decode(data["flac"])))
    assert data["scale"] == 4.0
    assert samples.ndim == 1
    assert np.abs(samples * data["scale"] - signal[0].numpy()).max() <= 4.0 / 2**16


def test_level_matching_leaves_silence() -> None:
    tone = torch.sin(torch.arange(RATE) * 0.3).expand(2, -1)
    gains = matching_gains({"target": tone, "half": tone / 2, "silent": tone * 0}, RATE)
    assert gains == pytest.approx({"target": 1, "half": 2, "silent": 1}, rel=1e-3)


@pytest.mark.parametrize("text", ["5", "2-1", "0-99", "a-b"])
def test_excerpts_that_cannot_be(text) -> None:
    with pytest.raises(ValueError, match=r"START-STOP in seconds within 0 to 10\.00 expected"):
        parse_excerpts(text, 10.0)


def test_a_page_that_cannot_be_small_enough_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="HINT: --no-audio"):
        write_page(tmp_path / "page.html", material(), megabytes=0.01)
    assert not list(tmp_path.iterdir())


def test_tracks_that_changed_are_refused_unless_allowed(tmp_path, tiny_song) -> None:
    from mixgraph.songs.track_files import TrackOrigin

    names = ("kick", "hat", "lead")
    found = material(names).found_graph
    origins = {name: TrackOrigin(f"tracks/{name}.wav", "0" * 64) for name in names}
    replace(found, origins=origins).save(tmp_path / "graph")
    with pytest.raises(ValueError, match="another content of kick, hat, lead"):
        read_material(tmp_path / "graph", tiny_song)
    read = read_material(tmp_path / "graph", tiny_song, "allow")
    assert read.sources is not None
    assert read.sources.shape == (3, 2, 2 * RATE)
    assert any("mix_target" in sentence for sentence in read.missing)


def test_the_command_refuses_what_it_cannot_do_and_keeps_pages_that_are_there(tmp_path) -> None:
    from mixgraph.cli.report import main

    there = tmp_path / "page.html"
    there.write_text("mine")
    result = str(tmp_path / "result")
    with pytest.raises(FileExistsError, match="give --overwrite"):
        main([result, "--out", str(there)])
    with pytest.raises(ValueError, match=r"ends with \.html expected"):
        main([result, "--out", str(tmp_path / "page.txt")])
    with pytest.raises(ValueError, match="got both"):
        main([result, "--out", str(there), "--whole", "--excerpts", "0-1"])
    with pytest.raises(ValueError, match="above 0 expected"):
        main([result, "--out", str(there), "--megabytes", "nan"])
    material().found_graph.save(result)
    assert main([result, "--out", str(there), "--overwrite", "--no-audio"]) == 0
    assert "The dry tracks: their folder" in there.read_text()


def opened(browser, path: Path):
    page = browser.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda r: problems.append(r.url) if not r.url.startswith(("data:", path.as_uri())) else None)
    page.goto(path.as_uri())
    return page, problems


@pytest.mark.long
def test_a_page_in_a_browser(wait, browser, tmp_path) -> None:
    write_page(tmp_path / "page.html", material((HOSTILE, "b")))
    page, problems = opened(browser, tmp_path / "page.html")
    assert page.locator("#chains li").count() == 3
    assert page.locator(".spectrum").count() == 3
    page.get_by_role("button", name="Play").click()
    wait(page, "mixgraphPlayer.playing && mixgraphPlayer.now() > 0.1")
    page.get_by_role("button", name="Found mix", exact=True).click()
    wait(page, "mixgraphPlayer.voices.found.gain.gain.value > 0.5")
    assert page.evaluate("mixgraphPlayer.voices.target.gain.gain.value") == pytest.approx(0, abs=1e-3)
    starts = page.evaluate("Object.values(mixgraphPlayer.buffers.get(0)).map((b) => [b.length, b.sampleRate])")
    assert {tuple(pair) for pair in starts} == {(2 * RATE, RATE)}
    node = page.locator("g.node.chosen")
    before = node.get_attribute("data-node")
    node.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("g.node.chosen").get_attribute("data-node") != before
    assert "Dry/wet weight 50 %" in page.locator("#inspector").inner_text()
    assert problems == []
    page.close()


@pytest.mark.long
def test_a_page_without_web_audio_says_so(browser, tmp_path) -> None:
    write_page(tmp_path / "page.html", material())
    page = browser.new_page()
    page.add_init_script("delete window.AudioContext")
    page.goto((tmp_path / "page.html").as_uri())
    assert "no Web Audio" in page.locator("#listen").inner_text()
    assert "cannot be played or changed here" in page.locator("#changes").inner_text()
    assert page.get_by_role("button", name="Bypass").count() == 0
    assert page.locator("#chains li").count() == 3
    page.close()


@pytest.mark.long
def test_a_page_without_audio_worklet_plays_recordings_and_says_what_it_cannot(wait, browser, tmp_path) -> None:
    write_page(tmp_path / "page.html", material())
    page = browser.new_page()
    page.add_init_script("delete window.AudioWorkletNode")
    page.goto((tmp_path / "page.html").as_uri())
    assert "This browser has no AudioWorklet" in page.locator("#changes").inner_text()
    assert page.get_by_role("button", name="Live").count() == 0
    assert page.get_by_role("button", name="After its chain").count() == 0
    page.get_by_role("button", name="Play").click()
    wait(page, "mixgraphPlayer.playing && mixgraphPlayer.now() > 0.1")
    page.get_by_label("A part of the mix alone").select_option("lead")
    wait(page, "mixgraphPlayer.name === 'track 1' && mixgraphPlayer.voices['track 1'].gain.gain.value > 0.2")
    page.close()


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 130])
def test_pages_of_few_and_many_tracks_fit_narrow_screens(browser, tmp_path, count) -> None:
    write_page(tmp_path / "page.html", material(tuple(f"track {i}" for i in range(count)), audio=False))
    page, problems = opened(browser, tmp_path / "page.html")
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.locator("#chains li").count() == count + 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert problems == []
    page.close()


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 130])
def test_the_console_of_few_and_many_tracks_plays(wait, open_page, tmp_path, count) -> None:
    write_page(tmp_path / "page.html", material(tuple(f"track {i}" for i in range(count))))
    page = open_page(tmp_path / "page.html")
    page.get_by_role("button", name="Play").click()
    wait(page, "mixgraphPlayer.playing && mixgraphPlayer.now() > 0.1")
    page.get_by_role("button", name="Live").click()
    wait(page, "mixgraphPlayer.name === 'live' && mixgraphPlayer.liveGain.gain.value > 0.99")
    page.evaluate("window.meter = new AnalyserNode(mixgraphPlayer.context); mixgraphPlayer.liveGain.connect(meter)")
    loudest = "const x = new Float32Array(2048); meter.getFloatTimeDomainData(x); return Math.max(...x);"
    wait(page, f"(() => {{ {loudest} }})() > 0.01")


def _limited(largest: int, act) -> int:
    """Runs in a process that cannot write files longer than a size; its exit code."""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        try:
            act()
        except OSError as error:
            os._exit(3 if error.errno == errno.EFBIG else 4)
        os._exit(0)

    child = os.fork()
    if child == 0:
        try:
            limited()
        finally:
            os._exit(5)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_full_disk_leaves_no_half_page_and_the_one_that_was_there(tmp_path) -> None:
    made = material(audio=False)
    assert _limited(20000, lambda: write_page(tmp_path / "page.html", made)) == 3
    assert list(tmp_path.iterdir()) == []
    write_page(tmp_path / "page.html", made)
    before = (tmp_path / "page.html").read_bytes()
    assert len(before) > 20000
    assert _limited(20000, lambda: write_page(tmp_path / "page.html", made)) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert (tmp_path / "page.html").read_bytes() == before


def test_parts_of_the_mix_are_matched_to_the_target_in_loudness() -> None:
    from mixgraph.page.excerpts import Excerpt, excerpt_data
    from mixgraph.results.stems import render_stem, stem_places
    from mixgraph.songs.loudness import integrated_loudness

    made = material()
    gains = excerpt_data(made, Excerpt("whole song", 0, 2), True)["gains"]
    kick, lead = stem_places(made.found_graph.graph)[:2]
    [group] = [name for name in gains if name.startswith("before g")]
    assert {"after t0", "after t1", group, group.replace("before", "after")} <= gains.keys()
    for name, place in (("after t0", kick), ("after t1", lead)):
        sound = gains[name] * render_stem(made.found_graph, made.sources, place)
        assert integrated_loudness(sound, RATE) == pytest.approx(integrated_loudness(made.target, RATE), abs=0.01)
