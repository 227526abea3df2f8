import random
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import matplotlib.image
import pytest
import torch
from matplotlib.text import Text

from mixgraph.graph import MixGraph, batch, build_console, prune
from mixgraph.graph.io import node_letter
from mixgraph.processors import registered, types_from_letters
from mixgraph.report.drawing.draw import draw_figure, draw_svg, figure_bytes, printable, save_drawing
from mixgraph.report.drawing.layout import make_layout
from mixgraph.report.drawing.palette import text_colour, type_colour
from mixgraph.report.drawing.scene import Box, Label, make_scene

SVG = "{http://www.w3.org/2000/svg}"
# A send and return: sums at processors, a bypass of two nodes, a second mix. Not a console.
TANGLE = MixGraph(
    types=("input", "input", "equalizer", "reverb", "mix", "compressor", "equalizer", "gain_panning", "mix", "output"),
    edges=((0, 2), (0, 4), (1, 3), (1, 5), (2, 4), (3, 4), (5, 6), (4, 7), (6, 8), (7, 8), (2, 8), (8, 9)),
    names=("a", "b", "a", "b", "s", "b", "b", "s", "t", "x"),
    subgroups=("", ""),
)


def console(*sizes, name="song"):
    groups = {f"group {k}": [f"track {k}.{j}" for j in range(size)] for k, size in enumerate(sizes)}
    return build_console(groups, name=name)


def pruned(graph, share=0.33, seed=0):
    rng = random.Random(seed)
    return prune(graph, [i for i in graph.processors if rng.random() < share])[0]


GRAPHS = {
    "console": console(3, 1, 2),
    "pruned": pruned(console(3, 1, 2)),
    "dry": build_console({"": ["a"]}, "", ""),
    "master": build_console({"a": ["x", "y"], "b": ["z"]}, "eg", "cr", "song", "ecg"),
    "tangle": TANGLE,
    "songs": batch([console(2), pruned(console(2, 1), seed=1), TANGLE]),
    "130 tracks": pruned(console(*[13] * 10)),
}


@pytest.fixture(params=GRAPHS)
def graph(request):
    return GRAPHS[request.param]


def groups(svg):
    return ElementTree.fromstring(svg).findall(f"{SVG}g[@class='node']")


def overlap(a, b):
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


def bodies(scene):
    return [next(shape for shape in group.shapes if isinstance(shape, Box)) for group in scene.nodes]


def at(curve_from, segments):
    """Points along a curve."""
    points = [curve_from]
    for segment in segments:
        (x0, y0), steps = points[-1], [k / 20 for k in range(1, 21)]
        if len(segment) == 1:
            ((x1, y1),) = segment
            points += [(x0 + t * (x1 - x0), y0 + t * (y1 - y0)) for t in steps]
        else:
            for t in steps:
                weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
                controls = ((x0, y0), *segment)
                points.append(tuple(sum(w * c[k] for w, c in zip(weights, controls, strict=True)) for k in (0, 1)))
    return points


def test_every_node_is_drawn_once_with_its_letter(graph):
    node_groups = groups(draw_svg(graph))
    assert [int(group.get("data-node")) for group in node_groups] == list(range(len(graph)))
    assert [group.get("data-type") for group in node_groups] == list(graph.types)
    assert [group.find(f"{SVG}text").text for group in node_groups] == [node_letter(t) for t in graph.types]
    assert [group.find(f"{SVG}title").text for group in node_groups] == [
        graph.label(i).strip() for i in range(len(graph))
    ]
    assert [group.find(f"{SVG}rect").get("fill") for group in node_groups] == [type_colour(t) for t in graph.types]


def test_edges_lead_to_the_right_and_nodes_do_not_overlap(graph):
    layout = make_layout(graph)
    assert all(layout.columns[source] < layout.columns[destination] for source, destination in graph.edges)
    boxes = bodies(make_scene(graph))
    by_column = sorted(range(len(graph)), key=lambda i: (layout.columns[i], layout.rows[i]))
    assert not any(overlap(boxes[a], boxes[b]) for a, b in pairwise(by_column))
    scene = make_scene(graph)
    assert all(box.x >= 0 and box.x + box.width <= scene.width for box in boxes)
    assert all(box.y >= 0 and box.y + box.height <= scene.height for box in boxes)


@pytest.mark.parametrize("graph", [GRAPHS["pruned"], TANGLE], ids=["pruned", "tangle"])
def test_curves_join_their_nodes_and_pass_through_no_other(graph):
    scene = make_scene(graph)
    boxes = bodies(scene)
    for (source, destination), curve in zip(graph.edges, scene.curves, strict=True):
        points = at(curve.start, curve.segments)
        assert points[0] == pytest.approx((boxes[source].x + boxes[source].width, boxes[source].y + 11))
        assert points[-1] == pytest.approx((boxes[destination].x, boxes[destination].y + 11))
        for node, box in enumerate(boxes):
            if node not in (source, destination):
                inside = [p for p in points if box.x < p[0] < box.x + box.width and box.y < p[1] < box.y + box.height]
                # A fan of edges may brush a corner, never the letter in the middle.
                assert all(abs(p[1] - box.y - 11) > 6 for p in inside), (source, destination, node)


def test_a_console_has_a_column_for_each_type_also_when_pruned():
    full = console(3, 1, 2)
    keep = [i for i in full.processors if full.types[i] in ("equalizer", "reverb") or full.names[i] == "track 0.1"]
    graph = prune(full, keep)[0]
    layout = make_layout(graph)
    assert list(layout.headings.values()) == [*types_from_letters("ecnsgdr"), "equalizer", "reverb"]
    for node in graph.processors:
        assert layout.headings[layout.columns[node]] == graph.types[node]
    # track 0.0 keeps e and r: on its way it passes c, n, s, g and d
    assert len([mark for mark in make_scene(graph).marks if mark.y == make_scene(graph).marks[0].y]) == 5


def test_subgroups_are_adjacent_and_sums_are_centred():
    graph = build_console({"drums": ["kick", "snare", "hat"], "bass": ["DI"]}, "e", "g")
    layout = make_layout(graph)
    assert [layout.rows[i] for i in graph.inputs] == [0, 1, 2, 3.5]
    assert [(band.name, band.first, band.last) for band in layout.bands] == [("drums", 0, 2), ("bass", 3.5, 3.5)]
    assert [layout.rows[i] for i in graph.nodes_of("mix")] == [1, 3.5]
    assert [layout.rows[i] for i in graph.nodes_of("gain_panning")] == [1, 3.5]
    assert layout.rows[graph.outputs[0]] == 2.25


def test_tracks_of_a_subgroup_are_adjacent_whatever_the_node_order():
    types, names = ("input", "input", "input", "mix", "mix", "output"), ("a", "b", "c", "x", "y", "")
    graph = MixGraph(types, ((0, 3), (1, 4), (2, 3), (3, 5), (4, 5)), names, ("x", "y", "x"))
    assert [make_layout(graph).rows[i] for i in graph.inputs] == [0, 2.5, 1]


def test_a_type_twice_in_a_chain_stands_in_two_columns():
    graph = build_console({"g": ["a"]}, "ege", "")
    assert make_layout(graph).columns == (0, 1, 2, 3, 4, 5)
    assert make_layout(graph).headings == {}


def test_weights_are_shown_as_a_bar_and_a_number():
    graph = build_console({"g": ["a"]}, "eg", "")
    scene = make_scene(graph, [0.25, 1.0])
    for node, text, share in ((1, "0.25", 0.25), (2, "1.00", 1.0)):
        _, _, track, bar, number = scene.nodes[node].shapes
        assert number.text == text
        assert bar.width == pytest.approx(share * track.width)
    title = groups(draw_svg(graph, torch.tensor([0.25, 1.0])))[1].find(f"{SVG}title").text
    assert title == "track a: equalizer, dry/wet weight 0.250"


def test_silent_tracks_are_named_and_not_drawn():
    graph = build_console({"a": ["x", "y"], "b": ["z"]}, "eg", "c", "song", "", {"room": "r"}, {"y": "x"})
    weights = torch.linspace(0.1, 0.9, len(graph.processors))
    whole = {int(group.get("data-node")): group for group in groups(draw_svg(graph, weights))}
    svg = draw_svg(graph, weights, silent=(0, 2))
    group_of = {int(group.get("data-node")): group for group in groups(svg)}
    gone = {whole[node].find(f"{SVG}title").text.split(",")[0] for node in whole.keys() - group_of.keys()}
    chain = ("equalizer", "gain_panning", "send to room")
    assert gone == {
        *(f"track {name}" for name in "xz"), *(f"track {name}: {t}" for name in "xz" for t in chain),
        "subgroup b", "subgroup b: compressor",
    }  # fmt: skip
    for node, group in group_of.items():  # under the same number, with the same weight
        assert group.find(f"{SVG}title").text == whole[node].find(f"{SVG}title").text
    assert "not drawn because they are silent: x, z, with 7 processors that only they reach" in " ".join(
        element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")
    )
    assert make_scene(graph, silent=(0, 2)).height < make_scene(graph).height
    assert draw_svg(graph, weights, silent=(0, 1, 2)) == draw_svg(graph, weights)  # nothing would be left
    with pytest.raises(ValueError, match=r"silent: rows from 0 to 2 are needed, got \[3\]"):
        draw_svg(graph, silent=(3,))


def test_many_silent_tracks_wrap_within_the_drawing():
    graph = build_console({"g": [f"track number {i}" for i in range(30)]}, "eg", "")
    scene = make_scene(graph, silent=range(29))
    lines = [label for label in scene.labels if isinstance(label, Label) and label.size == 9]
    assert len(lines) > 5
    assert all(line.x + 0.6 * 9 * len(line.text) <= scene.width for line in lines)
    assert [scene.nodes[0].node, len(scene.nodes)] == [graph.inputs[29], 5]


def test_names_are_escaped_and_cleaned():
    name = 'a <b> & "c"\n\x00\ud800 \N{SNOWMAN}'
    graph = build_console({"<g>": [name]}, "e", "", name="</svg>")
    svg = draw_svg(graph, title="<script>")
    texts = [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    clean = 'a <b> & "c" \\x00\\ud800 \N{SNOWMAN}'
    assert {clean, "<g>", "</svg>", "<script>"} <= set(texts)
    assert "<script>" not in svg
    svg.encode()


def test_a_long_title_has_room():
    graph = build_console({"g": ["a"]}, "e", "")
    assert make_scene(graph, title="W" * 100).width > make_scene(graph, title="W" * 99).width > 15 * 0.6 * 99


def test_long_names_are_cut_but_kept_as_tooltips():
    name = "a very long name of a track that would not fit"
    group = groups(draw_svg(build_console({"g": [name]}, "", "")))[0]
    assert group.find(f"{SVG}title").text == f"track {name}"
    assert [text.text for text in group.iter(f"{SVG}text")][1] == "a very long name of a track…"


def test_the_figure_shows_the_same_texts_as_the_svg():
    graph = pruned(console(2, 1, name="$x_1$ \N{CJK UNIFIED IDEOGRAPH-97F3}"))
    svg_texts = [element.text for element in ElementTree.fromstring(draw_svg(graph)).iter(f"{SVG}text")]
    texts = [text.get_text() for text in draw_figure(graph).axes[0].findobj(Text) if text.get_text()]
    assert sorted(texts) == sorted(map(printable, svg_texts))


def test_the_colours_of_a_png_are_where_the_nodes_are(tmp_path):
    graph = pruned(console(2, 1))
    save_drawing(tmp_path / "graph.png", graph)
    pixels = matplotlib.image.imread(tmp_path / "graph.png")
    scene = make_scene(graph)
    assert pixels.shape[:2] == pytest.approx((2 * scene.height, 2 * scene.width), abs=1)
    for group, box in zip(scene.nodes, bodies(scene), strict=True):
        colour = [int(type_colour(group.type)[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        pixel = pixels[int(2 * (box.y + 4)), int(2 * (box.x + box.width / 2))]  # above the letter
        assert pixel[:3] == pytest.approx(colour, abs=2 / 255)


def test_two_runs_give_the_same_bytes(tmp_path):
    graph = pruned(console(2, 1))
    weights = torch.linspace(0, 1, len(graph.processors))
    for suffix in ("svg", "png"):
        paths = [tmp_path / f"{k}.{suffix}" for k in range(2)]
        for path in paths:
            save_drawing(path, graph, weights, "title")
        assert paths[0].read_bytes() == paths[1].read_bytes()
    assert b"Software" not in paths[0].read_bytes()
    assert (tmp_path / "0.svg").read_text() == draw_svg(graph, weights, "title")
    assert len(list(tmp_path.iterdir())) == 4


def test_a_tall_png_stays_within_what_readers_open(tmp_path, monkeypatch):
    monkeypatch.setattr("mixgraph.report.drawing.draw._MAX_PIXELS", 500)
    save_drawing(tmp_path / "graph.png", console(5, 5))
    assert max(matplotlib.image.imread(tmp_path / "graph.png").shape) in (499, 500)


def test_colours_are_distinct_and_readable():
    colours = [type_colour(name) for name in registered()]
    assert len(set(colours)) == len(colours)
    assert (text_colour("#FFFFFF"), text_colour("#0072B2")) == ("#222222", "#FFFFFF")


def test_errors_name_the_cause(tmp_path):
    graph = build_console({"g": ["a"]}, "eg", "")
    with pytest.raises(ValueError, match=r"weights: \(2,\) is needed, one a processor, got \(1,\)"):
        draw_svg(graph, torch.ones(1))
    with pytest.raises(ValueError, match="weights: 0 to 1 is needed, got nan at track a: equalizer"):
        draw_svg(graph, torch.full((2,), float("nan")))
    with pytest.raises(ValueError, match=r"graph.gif: suffix .svg or .png is needed, got '.gif'"):
        save_drawing(tmp_path / "graph.gif", graph)
    with pytest.raises(ValueError, match=r"suffix: .svg or .png is needed, got '.pdf'"):
        figure_bytes(draw_figure(graph), ".pdf")
    strange = MixGraph(("input", "phaser", "output"), ((0, 1), (1, 2)), ("a", "a", ""), ("",))
    with pytest.raises(ValueError, match="unknown processor type 'phaser'"):
        draw_svg(strange)


def test_branches_stand_in_lanes_and_keys_are_dashed():
    graph = build_console({"a": ["x", "y"], "b": ["z"]}, "et(c,b(e,g))r", "", sidechains={"y": "x"})
    layout = make_layout(graph)
    place = {(graph.names[i], graph.types[i]): layout.rows[i] for i in range(len(graph))}
    top = place["x", "input"]
    assert place["x", "mid_side_splitter"] == place["x", "compressor"] == place["x", "reverb"] == top
    assert place["x", "band_splitter"] == top + 1
    assert place["x", "gain_panning"] == top + 2
    assert place["y", "input"] == top + 3  # below all lanes of the track above it
    document = ElementTree.fromstring(draw_svg(graph))
    dashed = [path for path in document.iter(f"{SVG}path") if path.get("stroke-dasharray")]
    assert len(dashed) == 1
    texts = [text.text for text in document.iter(f"{SVG}text")]
    assert [texts.count(name) for name in ("mid", "side", "low", "high")] == [3, 3, 3, 3]
    assert any("dashed: the key that a sidechain listens to" in (text or "") for text in texts)


def test_sends_stand_below_their_track():
    graph = build_console({"a": ["x", "y"], "b": ["z"]}, "eg", "e", returns={"room": "e", "echo": "e"})
    layout = make_layout(graph)
    rows = {name: next(layout.rows[i] for i in graph.inputs if graph.names[i] == name) for name in "xyz"}
    sends = {name: sorted(layout.rows[i] for i in graph.nodes_of("send") if graph.names[i] == name) for name in "xyz"}
    assert sends == {name: [row + 1, row + 2] for name, row in rows.items()}
    places = list(zip(layout.columns, layout.rows, strict=True))
    assert len(set(places)) == len(places)
    assert rows["y"] == rows["x"] + 3
    assert not make_scene(graph).marks  # Nothing is missing in a whole track, though its line passes the sends' column.


def test_parallel_cables_are_drawn_apart():
    """A splitter that lost both of its branches: two cables to the same node."""
    graph = build_console({"a": ["x"]}, "t(c,g)e", "")
    graph, _ = prune(graph, [i for i in graph.processors if graph.types[i] not in ("compressor", "gain_panning")])
    assert len(set(graph.edges)) < len(graph.edges)
    scene = make_scene(graph)
    names = {label.text: (label.x, label.y) for label in scene.labels if isinstance(label, Label)}
    assert names["mid"] != names["side"]
    assert len(set(scene.curves)) == len(graph.edges)
