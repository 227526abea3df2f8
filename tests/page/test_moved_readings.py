"""The panel's curves of moved settings are those that mixgraph draws of a graph with these settings."""

from typing import Any

import pytest

from mixgraph.page.content import result_content
from mixgraph.page.material import Material
from mixgraph.page.web_audio import console_model
from mixgraph.processors import registered
from mixgraph.results.changes import changes_from_dict
from mixgraph.results.found_graph import FoundGraph
from tools.bench.page import case_names, every_change, null_case

_OF_OPTIONS = ("decay", "level kept", "any ratio")
_NAMES = [name for name in case_names() if name in registered() or any(words in name for words in _OF_OPTIONS)]
READINGS = """([model, changes, curves]) => {
  const engine = new MixConsole(new OfflineAudioContext(2, 128, model.sample_rate), model);
  const read = () => model.processors.map((p) => engine.reading(p.id, curves[p.node]));
  const found = read();
  engine.apply(changes);
  return [found, read()];
}"""


def curves(found: FoundGraph) -> dict[int, Any]:
    nodes = result_content(Material(found, None, None, None, [], [], ()))["nodes"]
    return {node["node"]: node["curve"] for node in nodes}


def assert_same(read: Any, drawn: Any) -> None:
    assert read.keys() == drawn.keys()
    for name, line in drawn.get("lines", {}).items():
        assert read["lines"][name] == pytest.approx(line, abs=0.02, rel=1e-3, nan_ok=True)
    for name, level in drawn.get("bars", {}).items():
        assert read["bars"][name] == pytest.approx(level, abs=0.02)
    for one, other in zip(read.get("taps", ()), drawn.get("taps", ()), strict=True):
        assert one == pytest.approx(other, abs=0.02)


@pytest.mark.long
@pytest.mark.parametrize("name", _NAMES)
def test_readings_of_moved_settings_are_those_of_the_changed_graph(engine_page, name) -> None:
    found = null_case(name)
    model, changes = console_model(found), every_change(found, 0.1)
    for settings in changes["processors"].values():
        settings.pop("level_db", None)  # a level is a gain behind the processor in the changed graph
    changed, _ = changes_from_dict(changes, "changes").change(found)
    as_found, as_moved = engine_page.evaluate(READINGS, [model, changes, {str(k): v for k, v in curves(found).items()}])
    for entry, one, moved in zip(model["processors"], as_found, as_moved, strict=True):
        assert_same(one, curves(found)[entry["node"]])
        assert_same(moved, curves(changed)[entry["node"]])
        assert moved != one


@pytest.mark.long
def test_the_level_of_echoes_and_reverberation_moves_their_readings(engine_page) -> None:
    for name in ("reverb", "late_reverb", "delay"):
        found = null_case(name)
        changes = every_change(found)
        changes["processors"] = {label: {"level_db": 6} for label in changes["processors"]}
        [before], [after] = engine_page.evaluate(
            READINGS, [console_model(found), changes, {str(k): v for k, v in curves(found).items()}]
        )
        if name == "delay":
            assert after["taps"][0][2] == pytest.approx(before["taps"][0][2] + 6, abs=1e-6)
        else:
            assert after["bars"]["level"] == pytest.approx(before["bars"]["level"] + 6, abs=0.02)
            assert after["lines"] == before["lines"]
