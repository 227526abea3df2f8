"""Changes to a found graph: read strictly, applied exactly."""

import json
import re

import pytest
import soundfile
import torch

from mixgraph.graph import build_console
from mixgraph.results.changes import Changes, changes_from_dict, graph_hash, processor_labels, read_changes
from mixgraph.results.rendering import render_result

RECORD = {"format": "mixgraph changes", "version": 1, "graph": "a"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "x"}, "format: 'mixgraph changes' is needed"),
        ({"version": 2}, "version: 1 is needed, got 2"),
        ({"byppass": []}, "'byppass'"),
        ({"mute": "kick"}, "mute: a list of labels is needed"),
        ({"processors": {"a: b": {"wet": True}}}, "wet: a finite number is needed"),
    ],
)
def test_what_is_no_record_of_changes_is_refused(change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        changes_from_dict(RECORD | change, "changes.json")


@pytest.mark.parametrize("text", ['{"graph": NaN}', '{"graph": "a", "graph": "b"}', "{"])
def test_files_are_read_strictly(tmp_path, text):
    path = tmp_path / "changes.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="JSON is needed"):
        read_changes(path)
    with pytest.raises(FileNotFoundError, match="a file of changes"):
        read_changes(tmp_path / "other.json")


def test_changes_act_on_their_own_graph_only(found):
    graph = found(build_console({"drums": ["kick", "hat"]}, "ed", ""), 8000)
    label = processor_labels(graph.graph)[0]
    sources = torch.rand(2, 2, 4000) - 0.5
    with pytest.raises(ValueError, match="another graph"):
        Changes("0" * 64).apply(graph, sources)
    own = graph_hash(graph)
    with pytest.raises(ValueError, match="a label such as"):
        Changes(own, bypass=("track kik: equalizer",)).apply(graph, sources)
    with pytest.raises(ValueError, match="wet: 0 to 1 1 is needed, got 2"):
        Changes(own, {label: {"wet": 2.0}}).apply(graph, sources)
    changed, kept, notes = Changes(own, {label: {"wet": 0.25}}, mute=("track hat",)).apply(graph, sources)
    assert float(changed.weights[0]) == 0.25
    assert float(kept[1].abs().max()) == 0
    assert notes == [f"Changed: {label}: wet 0.25.", "Muted: hat."]


def test_render_with_a_file_of_changes(found, tmp_path):
    graph = found(build_console({"drums": ["kick", "hat"]}, "ed", ""), 8000)
    sources = torch.rand(2, 2, graph.num_samples) - 0.5
    graph.save(tmp_path / "result")
    (tmp_path / "tracks").mkdir()
    for name, source in zip(("kick", "hat"), sources, strict=True):
        soundfile.write(tmp_path / "tracks" / f"{name}.wav", source.T.numpy(), 8000, subtype="FLOAT")
    settings = {"track kick: delay": {"level_db": 3.0}, "track kick: equalizer": {"gain_db": -6.0}}
    changes = Changes(graph_hash(graph), settings, bypass=("track hat: delay",))
    record = RECORD | {"graph": changes.graph, "processors": settings, "bypass": list(changes.bypass)}
    (tmp_path / "changes.json").write_text(json.dumps(record))
    places = tmp_path / "result", tmp_path / "tracks", tmp_path / "mix.wav"
    rendering = render_result(*places, changes=tmp_path / "changes.json")
    mix = torch.from_numpy(soundfile.read(tmp_path / "mix.wav")[0].T).float()
    expected = changes.apply(graph, sources)[0].render(sources)
    torch.testing.assert_close(mix, expected, atol=1e-3, rtol=0)
    assert (mix - graph.render(sources)).abs().max() > 0.05
    assert "Bypassed: track hat: delay." in rendering.notes
