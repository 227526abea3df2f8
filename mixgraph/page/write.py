"""The page of a result as one HTML file that needs nothing outside itself."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from mixgraph.names import visible
from mixgraph.page.content import result_content
from mixgraph.page.excerpts import Excerpt, choose_excerpts, excerpt_data, fit_excerpts, parse_excerpts
from mixgraph.page.material import Material
from mixgraph.page.web_audio import console_model, engine_script
from mixgraph.report.drawing.draw import draw_svg
from mixgraph.system.files import json_text, write_atomically

MOST_MEGABYTES = 20.0
_SCRIPTS = ("tools.js", "drawing.js", "listening.js", "figures.js", "console.js")
_START = "page.js"


def write_page(
    path: Path,
    material: Material,
    *,
    audio: bool = True,
    excerpts: str = "",
    whole: bool = False,
    megabytes: float = MOST_MEGABYTES,
) -> float:
    """Writes a page, whole or not at all, and returns its size in megabytes.

    Args:
        path: the file to write.
        material: the result and its audio.
        audio: whether the page can be heard; pictures of the audio are in it anyway.
        excerpts: stretches of the song, see `parse_excerpts`; by default the loudest and the worst matched.
        whole: take the whole song.
        megabytes: the largest size; excerpts are shortened to it, and the page says so.

    Raises:
        ValueError: excerpts that cannot be read, or a page that is larger even with the shortest excerpts.
        OSError: the file cannot be written.
    """
    graph = material.found_graph
    song = graph.num_samples / graph.sample_rate
    if whole:
        chosen = [Excerpt("whole song", 0.0, song)]
    else:
        chosen = parse_excerpts(excerpts, song) if excerpts else choose_excerpts(material)
    content = result_content(material) | _console(material, audio)
    seconds = max(excerpt.stop - excerpt.start for excerpt in chosen)
    fitted = chosen
    notes: list[str] = []
    for _ in range(4):
        data = [excerpt_data(material, excerpt, audio) for excerpt in fitted]
        page = _page(material, content | {"excerpts": data, "leftOut": notes})
        if len(page) <= megabytes * 1e6:
            write_atomically(path, page)
            return len(page) / 1e6
        seconds *= 0.9 * megabytes * 1e6 / len(page)
        fitted = fit_excerpts(chosen, seconds)
        longest = max(excerpt.stop - excerpt.start for excerpt in fitted)
        notes = [f"Excerpts were shortened to {longest:.1f} s, so that the page stays below {megabytes:g} MB."]
    raise ValueError(
        f"megabytes: {len(page) / 1e6:.1f} MB are needed at least, got {megabytes:g}. HINT: --no-audio or --megabytes"
    )


def _page(material: Material, content: dict[str, Any]) -> bytes:
    graph = material.found_graph
    texts = {node["node"]: node["text"] for node in content["nodes"]}
    assets = files("mixgraph.page") / "assets"
    style = (assets / "page.css").read_text(encoding="utf-8")
    scripts = [(assets / name).read_text(encoding="utf-8") for name in (*_SCRIPTS, _START)]
    if content["console"] is not None:
        scripts.insert(-1, engine_script())
    script = "\n".join(scripts)
    parts = {
        "TITLE": escape(visible(content["title"])),
        "POLICY": _policy(style, script),
        "STYLE": style,
        "DRAWING": draw_svg(graph.graph, graph.weights, "", texts),
        "DATA": json_text(content).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"),
        "SCRIPT": script,
    }
    pieces = (assets / "page.html").read_text(encoding="utf-8").split("@@")
    return "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces)).encode()


def _console(material: Material, audio: bool) -> dict[str, Any]:
    """The console that plays in the page, where the dry tracks are in it, and its labels as they may be shown."""
    if not audio or material.sources is None:
        return {"console": None, "shown": {}}
    model = console_model(material.found_graph)
    parts = [*model["tracks"], *model["groups"], *model["processors"]]
    return {"console": model, "shown": {part["id"]: visible(part["label"]) for part in parts}}


def _policy(style: str, script: str) -> str:
    """A content security policy by which only the page's own script and style act, and nothing is fetched."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    return f"default-src 'none'; img-src data:; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}' data:"
