"""Measures pages of results in headless Chromium: size, loading, the first sound, memory, and speed of the console.

    python -m tools.bench.page_loads RESULT=SONG RESULT=SONG --many 130 --out docs/results/page_loads.json

Each RESULT is a result folder with the folder of its tracks. `--many` adds a page of so many tracks: those of the last
result over and over, in subgroups of 26, with an equalizer, a compressor and a gain each. Needs chromium, playwright.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mixgraph.cli.command_parser import CommandParser
from mixgraph.graph import build_console
from mixgraph.page.material import Material, read_material
from mixgraph.page.write import write_page
from mixgraph.system.files import json_text, write_atomically
from tools.bench.machine import measured
from tools.bench.page import FLAGS, chromium, found_graph

COLUMNS = ["page", "size, MB", "loaded, s", "first sound, s", "live, s", "memory, MB", "speed of a core", "keeps up"]
_WATCHED = 3.0  # seconds for which the console plays
_FIRST_SOUND = """async () => {
  const before = performance.now(), player = mixgraphPlayer;
  await player.play(0);
  const ahead = player.startFrame / player.rate - player.context.currentTime;
  return (performance.now() - before) / 1000 + Math.max(0, ahead);
}"""
_LIVE = """async (seconds) => {
  const before = performance.now(), player = mixgraphPlayer;
  await player.hear("live");
  const heard = performance.now(), started = player.context.currentTime;
  await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  const played = (player.context.currentTime - started) / ((performance.now() - heard) / 1000);
  player.stop();
  await player.context.suspend();
  return [(heard - before) / 1000, played];
}"""
_RENDER = """async () => {
  const { data, buffers } = mixgraphPlayer, length = Math.round(data.excerpts[0].seconds * data.sampleRate);
  const context = new OfflineAudioContext(2, length, data.sampleRate), engine = new MixConsole(context, data.console);
  await engine.ready;
  data.console.tracks.forEach(({ id }, row) => {
    const source = new AudioBufferSourceNode(context, { buffer: buffers.get(0)[`track ${row}`] });
    source.connect(engine.input(id));
    source.start();
  });
  engine.output.connect(context.destination);
  await context.startRendering();
  return data.excerpts[0].seconds;
}"""


def rows_of(name: str, material: Material, folder: Path) -> Iterator[list[str]]:
    """Measures the page of a result with and without audio: rows of the table, see `COLUMNS`."""
    from playwright.sync_api import sync_playwright

    for audio in (True, False):
        path = folder / "page.html"
        size = write_page(path, material, audio=audio)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            page = browser.new_page()
            before = time.perf_counter()
            page.goto(path.as_uri())
            loaded = time.perf_counter() - before
            cells = _heard(browser, page) if audio else ["", "", f"{_memory(browser):.0f}", "", ""]
            browser.close()
        yield [f"{name}, {'with' if audio else 'without'} audio", f"{size:.1f}", f"{loaded:.1f}", *cells]


def _heard(browser: Any, page: Any) -> list[str]:
    first = page.evaluate(_FIRST_SOUND)
    live, played = page.evaluate(_LIVE, _WATCHED)
    memory = _memory(browser)
    before = _processor_seconds(browser)
    seconds = page.evaluate(_RENDER)
    speed = seconds / (_processor_seconds(browser) - before)
    keeps = "yes" if played > 0.98 else f"at {100 * played:.0f} %"
    return [f"{first:.1f}", f"{live:.1f}", f"{memory:.0f}", f"{speed:.1f} x", keeps]


def _processor_seconds(browser: Any) -> float:
    """Seconds of processor time that all processes of a browser took."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return sum(process["cpuTime"] for process in processes)


def _memory(browser: Any) -> float:
    """Memory of the process of the page in MB, its share of what is common among it."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    sizes = [0.0]
    for process in processes:
        if process["type"] == "renderer":
            lines = Path(f"/proc/{process['id']}/smaps_rollup").read_text(encoding="ascii").splitlines()
            sizes.append(next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000)
    return max(sizes)


def many_tracks(material: Material, count: int) -> Material:
    """Returns a console of so many tracks, with random values, that plays those of a material over and over."""
    assert material.sources is not None
    sources = material.sources.repeat(-(-count // len(material.sources)), 1, 1)[:count]
    names = [f"track {row + 1}" for row in range(count)]
    groups = {f"group {start // 26 + 1}": names[start : start + 26] for start in range(0, count, 26)}
    found = found_graph(build_console(groups, "ecg", "cr", name=f"{count} tracks"), material.found_graph.sample_rate)
    found = replace(found, num_samples=material.found_graph.num_samples)
    return Material(found, sources, material.target, found.render(sources), [], [], ())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = CommandParser(prog="python -m tools.bench.page_loads", description=__doc__.split("\n")[0])
    parser.add_argument("results", nargs="+", metavar="RESULT=SONG", help="a result folder, and that of its tracks")
    parser.add_argument("--many", type=int, default=0, help="tracks of one more page")
    parser.add_argument("--out", type=Path, required=True, help="the table as JSON, for tools.result_tables")
    options = parser.parse_args(arguments)
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for result, song in (text.split("=", 1) for text in options.results):
            material = read_material(Path(result), Path(song))
            title = material.found_graph.metrics.song.title if material.found_graph.metrics else Path(result).name
            name = f"{title}, {len(material.found_graph.graph.inputs)} tracks"
            rows += _written(
                rows_of(f"{name}, {len(material.found_graph.graph.processors)} processors", material, Path(folder))
            )
        if options.many:
            made = many_tracks(material, options.many)
            name = f"{options.many} tracks, {len(made.found_graph.graph.processors)} processors"
            rows += _written(rows_of(name, made, Path(folder)))
    content = {
        "title": "Pages in headless Chromium",
        "columns": COLUMNS,
        "rows": rows,
        "note": (
            "Loaded: until the page is shown. First sound: from Play on. Live: from the first choice of Live to the "
            "switch, while a recording plays. Memory: of the page's process, while the console plays. Speed: "
            "seconds of the console, built and rendered, against seconds of processor time. Keeps up: whether it "
            f"played in time on this machine, whose load was {os.getloadavg()[0]:.0f} at the end."
        ),
        "measured": [
            measured(f"python -m tools.bench.page_loads RESULT=SONG ... --many {options.many}", torch.get_num_threads())
        ],
    }
    write_atomically(options.out, json_text(content, indent=1).encode() + b"\n")


def _written(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    for row in rows:
        sys.stdout.write(" | ".join(row) + "\n")
        sys.stdout.flush()
        yield row


if __name__ == "__main__":
    main()
