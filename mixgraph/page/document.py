"""A page as one HTML file: template, style, script and data in one, with a policy by which nothing else acts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from mixgraph.names import visible
from mixgraph.page.excerpts import Excerpt, fit_excerpts
from mixgraph.system.files import json_text

MOST_MEGABYTES = 20.0
_TRIES = 4


def asset(name: str) -> str:
    """Returns the text of a file of the package's pages."""
    return (files("mixgraph.page") / "assets" / name).read_text(encoding="utf-8")


def html_document(
    template: str, title: str, styles: Sequence[str], scripts: Sequence[str], data: Mapping[str, Any], **parts: str
) -> bytes:
    """Returns a page that opens from a disk and needs nothing outside itself.

    Args:
        template: the name of the asset whose `@@PART@@`s are filled.
        title: the title, as text.
        styles: texts of the style sheet, in their order.
        scripts: texts of the script, in their order; the last one starts the page.
        data: what the script shows.
        parts: other parts of the template, as HTML.
    """
    style, script = "\n".join(styles), "\n".join(scripts)
    parts |= {
        "TITLE": escape(visible(title)),
        "POLICY": _policy(style, script),
        "STYLE": style,
        "DATA": json_text(data).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"),
        "SCRIPT": script,
    }
    pieces = asset(template).split("@@")
    return "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces)).encode()


def _policy(style: str, script: str) -> str:
    """A content security policy by which only the page's own script and style act, and nothing is fetched."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    return f"default-src 'none'; img-src data:; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}' data:"


def within(megabytes: float, chosen: Sequence[Excerpt], page: Callable[[Sequence[Excerpt], list[str]], bytes]) -> bytes:
    """Returns a page below a size: its excerpts are shortened until it is, and it says so.

    Args:
        megabytes: the largest size.
        chosen: the excerpts at their full length.
        page: makes the page of excerpts, with sentences on what was left out.

    Raises:
        ValueError: the page is larger even with the shortest excerpts.
    """
    seconds = max(excerpt.stop - excerpt.start for excerpt in chosen)
    fitted, notes = chosen, list[str]()
    for _ in range(_TRIES):
        written = page(fitted, notes)
        if len(written) <= megabytes * 1e6:
            return written
        seconds *= 0.9 * megabytes * 1e6 / len(written)
        fitted = fit_excerpts(chosen, seconds)
        longest = max(excerpt.stop - excerpt.start for excerpt in fitted)
        notes = [f"Excerpts were shortened to {longest:.1f} s, so that the page stays below {megabytes:g} MB."]
    least = f"{len(written) / 1e6:.1f} MB"
    raise ValueError(f"megabytes: {least} are needed at least, got {megabytes:g}. HINT: --no-audio or --megabytes")
