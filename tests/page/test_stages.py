"""The graphs that a search went through: built again from settings and trace, and switched to on the page."""

import random
from dataclasses import replace

import pytest
import torch

from mixgraph.graph import build_console, prune
from mixgraph.page.material import Material
from mixgraph.page.stages import GONE, search_stages
from mixgraph.page.write import write_page
from mixgraph.processors import make_processors
from mixgraph.results.changes import processor_labels
from mixgraph.results.found_graph import FoundGraph

GROUPS = {"drums": ["kick", "hat"], "all": ["lead"]}
CHAINS = {
    "usual": {"track_chain": "ecnsgdr", "subgroup_chain": "egr", "master_chain": ""},
    "master": {"track_chain": "eg", "subgroup_chain": "", "master_chain": "ec"},
    "buses": {"track_chain": "e", "subgroup_chain": "g", "master_chain": "", "returns": {"hall": "r"}},
    "keys": {"track_chain": "e", "subgroup_chain": "g", "master_chain": "", "sidechains": {"lead": "kick"}},
    "twice": {"track_chain": "eceg", "subgroup_chain": "gg", "master_chain": ""},
    "splitters": {"track_chain": "et(c,sg)r", "subgroup_chain": "", "master_chain": ""},
}


def console_of(model):
    chains = model["track_chain"], model["subgroup_chain"], "Tiny", model["master_chain"]
    return build_console(GROUPS, *chains, model.get("returns"), model.get("sidechains"))


def pruned(console, rounds=2, share=0.4):
    """A search's rounds as its trace has them, and the graph that they end with."""
    graph, rows, rng = console, [], random.Random(0)
    for number in range(rounds):
        keep = [node for node in graph.processors if rng.random() > share]
        left, index = prune(graph, keep)
        labels = processor_labels(graph)
        removed = [label for i, label in enumerate(labels) if i not in index.processors]
        rows.append({"kind": "round", "round": number, "removed": removed, "remaining": len(left.processors)})
        rows[-1] |= {"step": number, "start_loss": 0.5, "end_loss": 0.5 + number / 100}
        graph = left
    return graph, rows


@pytest.mark.parametrize("name", CHAINS)
def test_the_graphs_of_a_search_are_built_again(name) -> None:
    console = console_of(CHAINS[name])
    found, rows = pruned(console)
    stages = search_stages(found, {"model": {"init_args": CHAINS[name]}}, rows)
    assert stages.graphs[0] == console
    assert stages.graphs[-1] == found
    assert [len(graph.processors) for graph in stages.graphs[1:]] == [row["remaining"] for row in rows]
    for number, graph in enumerate(stages.graphs):
        for node, known_as in stages.numbers(number).items():
            if 0 <= known_as < GONE:
                assert (graph.types[node], graph.names[node]) == (found.types[known_as], found.names[known_as])
            elif known_as >= GONE:
                removed = console.processors[known_as - GONE]
                assert (graph.types[node], graph.names[node]) == (console.types[removed], console.names[removed])
                assert stages.removed_in(known_as - GONE) >= number
    numbers = stages.numbers(0)
    kept = [numbers[node] for node in console.processors if numbers[node] < GONE]
    assert kept == list(found.processors)


def test_settings_that_do_not_lead_to_the_found_graph(tmp_path) -> None:
    model = CHAINS["usual"]
    found, rows = pruned(console_of(model))
    with pytest.raises(ValueError, match="do not say what it started from"):
        search_stages(found, {}, rows)
    with pytest.raises(ValueError, match="do not lead to the found graph"):
        search_stages(found, {"model": model}, rows[:1])
    with pytest.raises(ValueError, match="round 1: processors of the console expected"):
        search_stages(found, {"model": model | {"track_chain": "eg"}}, rows)
    with pytest.raises(ValueError, match="not where it was"):
        search_stages(found, {"model": model, "start": "gone"}, rows, tmp_path)
    twice = console_of(model | {"track_chain": "ece"})
    label = twice.label(twice.processors[2])  # an earlier version's trace does not say which of two equalizers went
    left, _ = prune(twice, [node for node in twice.processors if node != twice.processors[2]])
    with pytest.raises(ValueError, match="do not lead to the found graph"):
        search_stages(left, {"model": model | {"track_chain": "ece"}}, [{"round": 0, "removed": [label]}])


def test_a_search_that_started_from_a_graph(tmp_path) -> None:
    start, _ = pruned(console_of(CHAINS["usual"]), 1)
    found, rows = pruned(start)
    saved(start).save(tmp_path / "start")
    config = {"model": {"track_chain": "g"}, "start": "../start"}
    assert search_stages(found, config, rows, tmp_path / "start").graphs[0] == start


def saved(graph) -> FoundGraph:
    processors, generator = make_processors(8000), torch.Generator().manual_seed(0)
    parameters = {t: processors[t].sample_initial_values(n, generator, 0.3) for t, n in graph.count().items()}
    weights = torch.full((len(graph.processors),), 0.5)
    return FoundGraph(graph, processors, parameters, weights, 8000, 1.0, 16000, {})


@pytest.mark.long
def test_the_console_and_its_rounds_on_the_page(open_page, tmp_path) -> None:
    console = console_of(CHAINS["usual"])
    found, rows = pruned(console)
    labels = [console.label(node) for node in console.processors]
    measured = [
        {"kind": "leave_one_out", "when": "console", "candidates": [label], "weight": 0.5, "loss_increase": 0.01 * i}
        for i, label in enumerate(labels)
    ]
    found_graph = saved(found)
    found_graph = replace(found_graph, loss_increases=torch.full((len(found.processors),), 0.25))
    config = {"model": CHAINS["usual"]}
    runs = (console, found)  # of which the first has all processors
    material = Material(found_graph, None, None, None, measured + rows, [], (), config=config, other_runs=runs)
    write_page(tmp_path / "page.html", material, audio=False)
    page = open_page(tmp_path / "page.html")
    slider, nodes = page.get_by_label("Console, or round of pruning"), "#drawing g.node"
    assert page.locator(nodes).count() == len(found)
    assert (
        f"After round 2, the found graph: {len(found.processors)} processors, loss 0.510"
        in page.locator("#stages output").inner_text()
    )
    slider.focus()
    page.keyboard.press("Home")
    assert page.locator(nodes).count() == len(console)
    assert slider.get_attribute("aria-valuetext") == f"The console: {len(console.processors)} processors"
    page.keyboard.press("ArrowRight")
    assert page.locator(nodes).count() == len(found) + len(rows[1]["removed"])
    page.keyboard.press("End")

    lost = rows[1]["removed"][0]
    page.get_by_role("button", name=f"{lost}: weight 0.50", exact=False).focus()
    assert page.locator(".points + .legend + p").inner_text().endswith("removed")
    page.keyboard.press("Enter")
    assert page.locator(nodes).count() == len(console)
    panel = page.locator("#inspector").inner_text()
    assert "Removed in round 2. Settings of removed processors are not kept." in panel
    assert f"Loss without it, then: +{0.01 * labels.index(lost):.3f}" in panel
    assert page.locator("g.node.chosen title").text_content().startswith(lost)

    kept = next(label for label in labels if label not in rows[0]["removed"] + rows[1]["removed"])
    page.get_by_role("button", name=f"{kept}: weight 0.50", exact=False).click()
    assert "Loss without it: +0.250\n\nFound in 3 of 3 runs" in page.locator("#inspector").inner_text()
    assert page.locator(nodes).count() == len(console)


def test_an_input_whose_subgroup_is_not_in_the_graph_is_no_console() -> None:
    console = build_console({"drums": ["kick", "hat"]}, "g", "g")
    other = replace(
        console, names=tuple("bus" if t == "mix" else n for t, n in zip(console.types, console.names, strict=True))
    )
    assert other.members == {"drums": (0, 1)}
    with pytest.raises(ValueError, match="do not lead to the found graph"):
        search_stages(other, {"model": {"track_chain": "g", "subgroup_chain": "g", "master_chain": ""}}, [])
