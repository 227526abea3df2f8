"""Names in pictures: characters from other fonts, and code points for what no font has."""

import matplotlib
import pytest
from matplotlib.font_manager import fontManager

from mixgraph.graph import build_console
from mixgraph.report.drawing.draw import draw_figure, draw_svg, figure_bytes
from mixgraph.report.drawing.lettering import _family_with, lacking_characters, printable
from mixgraph.report.drawing.scene import make_scene

HOOKED = "\N{LATIN SMALL LETTER D WITH PALATAL HOOK}"  # not in DejaVu Sans, but in STIXGeneral, beside it
PRIVATE = "\U0010fffd\U000f0000"  # in no font


@pytest.fixture
def matplotlibs_fonts(monkeypatch):
    """As on a machine without fonts of its own."""
    own_fonts = [entry for entry in fontManager.ttflist if matplotlib.get_data_path() in entry.fname]
    monkeypatch.setattr(fontManager, "ttflist", own_fonts)
    _family_with.cache_clear()
    yield
    _family_with.cache_clear()


def test_what_no_font_has_is_written_as_code_points(matplotlibs_fonts):
    assert printable(f"kick {PRIVATE} é\t{PRIVATE[0]}") == "kick [U+10FFFD F0000] é [U+10FFFD]"
    assert printable("\N{CJK UNIFIED IDEOGRAPH-97F3}") == "[U+97F3]"
    assert printable("é $x$ ♯") == "é $x$ ♯"
    assert printable("a\x1b[31m\u202e") == r"a\x1b[31m\u202e"
    assert lacking_characters([f"a{PRIVATE}", f"{PRIVATE[0]}b"]) == PRIVATE


def test_other_fonts_are_used_for_what_they_have(matplotlibs_fonts):
    """Warnings are errors: matplotlib would warn of a glyph that is missing."""
    assert (printable(HOOKED), printable(HOOKED, bold=True)) == (HOOKED, "[U+1D81]")
    pictures = [figure_bytes(draw_figure(build_console({"g": [name]}, "e", "")), ".png") for name in (HOOKED, "□")]
    assert pictures[0] != pictures[1]
    assert pictures[0] == figure_bytes(draw_figure(build_console({"g": [HOOKED]}, "e", "")), ".png")


def test_a_name_has_room_for_its_code_points_and_wide_characters(matplotlibs_fonts):
    wide = "\N{CJK UNIFIED IDEOGRAPH-97F3}"
    graph = build_console({"g": ["a"]}, "e", "")
    narrow, double = (make_scene(graph, title=100 * c).width for c in ("M", wide))
    assert double - narrow == pytest.approx(0.6 * 17 * 100)
    figures = [draw_figure(graph, title=title) for title in (25 * wide, f"[U+{24 * '97F3 '}97F3]")]
    assert figures[0].get_size_inches().tolist() == figures[1].get_size_inches().tolist()
    assert f">{wide}</text>" in draw_svg(build_console({"g": [wide]}, "e", ""))


def test_half_a_character_does_not_stop_a_picture():
    assert (
        figure_bytes(draw_figure(build_console({"g": ["\ud800\x00"]}, "e", ""), title="\udfff"), ".png")[:4]
        == b"\x89PNG"
    )
