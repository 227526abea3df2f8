"""The page of a result as one HTML file that needs nothing outside itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixgraph.names import visible
from mixgraph.page.content import result_content
from mixgraph.page.document import MOST_MEGABYTES, asset, html_document, within
from mixgraph.page.excerpts import Excerpt, choose_excerpts, excerpt_data, parse_excerpts
from mixgraph.page.material import Material
from mixgraph.page.web_audio import console_model, engine_script
from mixgraph.report.drawing.draw import draw_svg
from mixgraph.report.drawing.palette import type_label
from mixgraph.system.files import write_atomically

_SCRIPTS = (
    "tools.js",
    "curves.js",
    "drawing.js",
    "stages.js",
    "player.js",
    "listening.js",
    "figures.js",
    "scatter.js",
    "console.js",
)
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

    def page(fitted: Sequence[Excerpt], notes: list[str]) -> bytes:
        data = [excerpt_data(material, excerpt, audio) for excerpt in fitted]
        return _page(material, content | {"excerpts": data, "leftOut": notes})

    written = within(megabytes, chosen, page)
    write_atomically(path, written)
    return len(written) / 1e6


def _page(material: Material, content: dict[str, Any]) -> bytes:
    graph = material.found_graph
    texts = {node["node"]: node["text"] for node in content["nodes"]}
    scripts = [asset(name) for name in (*_SCRIPTS, _START)]
    if content["console"] is not None:
        scripts.insert(-1, engine_script())
    drawing = draw_svg(graph.graph, graph.weights, "", texts) if material.has_graph else ""
    return html_document("page.html", content["title"], [asset("page.css")], scripts, content, DRAWING=drawing)


def _console(material: Material, audio: bool) -> dict[str, Any]:
    """The console that plays in the page, where the dry tracks are in it, and its labels as they may be shown."""
    if not audio or material.sources is None or not material.has_graph:
        return {"console": None, "shown": {}}
    model = console_model(material.found_graph)
    parts = [*model["tracks"], *model["groups"], *model["processors"]]
    return {"console": model, "shown": {part["id"]: visible(_plain_label(part)) for part in parts}}


def _plain_label(part: dict[str, Any]) -> str:
    """A part's label with the name of its type as people say it, `"track vox: gain/panning"`."""
    kind = part.get("type", "")
    place, colon, name = part["label"].rpartition(": ")
    return f"{place}{colon}{type_label(kind)}{name[len(kind) :]}" if kind and name.startswith(kind) else part["label"]
