"""Demixed groups as auxiliary targets: what they are of a song, and what they add to the objective."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from datamodules import SongData
from mixgraph.graph import GraphValues, batch, build_console
from mixgraph.graph.outputs import split_outputs
from mixgraph.graph.values import upstream_values
from mixgraph.render import render_song
from mixgraph.results.stems import stem_places
from mixgraph.search.module import ConsoleModule
from mixgraph.search.resuming import check_songs, song_record
from mixgraph.search.settings import RegularizerSettings, RenderSettings
from mixgraph.songs import write_audio
from mixgraph.songs.group_targets import with_group_targets
from mixgraph.songs.song import SongGroup
from mixgraph.songs.training_clips import ClipReader

RATE = 8000


@pytest.fixture(scope="module")
def song(tiny_song):
    song = SongData(str(tiny_song), sample_rate=RATE).song
    sounds = {"drums": song.sources[:2].sum(0), "lead": song.sources[2]}
    return replace(song, groups=tuple(SongGroup(name, (name,), 0.7 * sounds[name]) for name in ("lead", "drums")))


def console(song, weight=0.5, **rendering):
    module = ConsoleModule(
        sample_rate=RATE,
        warm_up_seconds=0.25,
        rendering=RenderSettings(**rendering),
        regularizers=RegularizerSettings(group_weight=weight, gain_staging_weight=0.1),
    )
    module.build(build_console(song.subgroups))
    module.loudest = module.target(song).loudest.unsqueeze(0)
    module.group_targets = module._groups([song])
    if module.group_targets is not None:
        module.group_targets.measure(module.match)
    return module


def clip_of(song):
    return ClipReader(song, warm_up=2000, scored=6000, lookahead=2046, seed=0).at(1000)


def test_outputs_of_groups_are_their_stems_and_sum_to_the_mix(song) -> None:
    module = console(song)
    values = GraphValues(module.graph, module.parameters_by_type(), module.weights.detach())
    split = split_outputs(module.graph, [{"lead": 0}])
    assert (split.songs, split.groups) == ((0, 0), (0, None))
    assert split.graph.processors == module.graph.processors
    with torch.no_grad():
        render = (module.processors, song.sources, values.parameters, values.weights)
        outputs, mix = render_song(split.graph, *render), render_song(module.graph, *render)[0]
        torch.testing.assert_close(outputs.sum(0), mix, rtol=1e-4, atol=1e-5)  # float32, another order of sums
        (place,) = [place for place in stem_places(module.graph) if (place.level, place.name) == ("subgroup", "lead")]
        part, rows = upstream_values(values, place.ends)
        stem = render_song(part.graph, module.processors, song.sources[list(rows)], part.parameters, part.weights)[0]
    torch.testing.assert_close(outputs[0], stem, rtol=1e-4, atol=1e-5)


def test_groups_add_their_match_losses_and_nothing_else(song) -> None:
    clip, plain = clip_of(song), clip_of(replace(song, groups=()))
    assert clip.group_targets.shape == (2, 2, 8000)
    off, unweighted = console(replace(song, groups=())).losses(plain), console(song, weight=0.0).losses(clip)
    assert off.keys() == unweighted.keys()
    assert all(torch.equal(off[name], unweighted[name]) for name in off)  # to the bit
    module = console(song)
    losses = module.losses(clip)
    for name, value in off.items():
        expected = value + 0.5 * losses["match/groups"] if name == "loss" else value
        torch.testing.assert_close(losses[name], expected, rtol=1e-4, atol=1e-5)
    rendered = module._render_clip(clip, module.parameters_by_type(), module.weights, None).mix[..., 2000:]
    by_hand = [
        module.match(rendered[i : i + 1], clip.group_targets[i : i + 1, :, 2000:], module.group_targets.loudest[i]).full
        for i in range(2)
    ]
    torch.testing.assert_close(losses["match/groups"], torch.cat(by_hand).sum())
    losses["loss"].backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in module.parameters() if p.requires_grad)
    module.prune(module.graph.processors[::2])
    assert module.losses(clip)["match/groups"].item() > 0  # the outputs are those of the pruned graph


@pytest.mark.parametrize("other", [{"shortcuts": False}, {"renderer": "reference"}])
def test_other_ways_to_render_give_the_same_losses_of_groups(song, other) -> None:
    clip = clip_of(song)
    expected, losses = console(song, **other).losses(clip), console(song).losses(clip)
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value.item(), rel=1e-5, abs=1e-6), name  # float32


def test_groups_are_rendered_by_the_schedule_of_the_search(song) -> None:
    module, clip = console(song, schedule="one_by_one"), clip_of(song)
    torch.testing.assert_close(module.losses(clip)["loss"], console(song).losses(clip)["loss"], rtol=1e-4, atol=1e-5)
    plans = module.group_targets._plans._plans.values()
    assert {len(step.nodes) for plan in plans for step in plan.steps} == {1}


def test_several_songs_keep_their_groups(song) -> None:
    other = replace(song, name="other", groups=song.groups[:1])
    graph = batch([build_console(part.subgroups, name=part.name) for part in (song, other)])
    split = split_outputs(graph, [{"lead": 0, "drums": 1}, {"lead": 0}])
    assert (split.songs, split.groups) == ((0, 0, 1, 1), (0, 1, 0, None))


@pytest.mark.parametrize(
    ("wiring", "shared"),
    [
        ({"master_chain": "e"}, "master mix"),
        ({"returns": {"hall": "r"}}, "return hall"),
        ({"sidechains": {"lead": "kick"}}, "track kick"),
    ],
)
def test_groups_that_share_processors_are_refused(song, wiring, shared) -> None:
    graph = build_console(song.subgroups, "eg", "eg", **wiring)
    with pytest.raises(
        ValueError, match=rf"data\.group_targets: groups that meet .* {shared}.*HINT: a console without"
    ):
        split_outputs(graph, [{"lead": 0, "drums": 1}])


def write_stems(folder: Path, *names: str, rate: int = RATE, seconds: float = 3.0) -> Path:
    for number, name in enumerate(names):
        write_audio(folder / f"{name}.wav", torch.full((2, round(seconds * rate)), 0.1 * (number + 1)), rate)
    return folder


def test_stems_go_with_subgroups_as_tracks_go_with_targets(song, tmp_path: Path) -> None:
    plain = replace(song, groups=(), subgroups={"music": ("bass", "pad"), "drums": ("kick",)})
    read = with_group_targets(plain, write_stems(tmp_path / "a", "bass", "drums", "other", "vocals", "mixture"))
    assert [(group.name, group.subgroups) for group in read.groups] == [
        ("bass+other", ("music",)),
        ("drums", ("drums",)),
    ]
    for group, value in zip(read.groups, (0.1 + 0.3, 0.2), strict=True):
        torch.testing.assert_close(group.target, torch.full_like(plain.mix, value) * plain.level)
    assert [w.text for w in read.warnings if w.code == "group_target"] == [
        "data.group_targets: stem vocals: no track goes with it"
    ]
    read = with_group_targets(plain, write_stems(tmp_path / "b", "bass", "drums", rate=4000, seconds=4.0))
    assert [group.name for group in read.groups] == ["drums"]
    text = " ".join(warning.text for warning in read.warnings)
    for note in ("subgroup music: has tracks of no stem", "drums.wav: resampled from 4000 Hz", "its end was cut"):
        assert note in text
    read = with_group_targets(plain, write_stems(tmp_path / "c", "bass", "drums", rate=2 * RATE))
    assert "resampled" not in " ".join(warning.text for warning in read.warnings)  # as the mix itself is in a search


def test_stems_that_are_no_targets_are_refused(song, tmp_path: Path) -> None:
    plain = replace(song, groups=())
    for stems, message in (
        (write_stems(tmp_path / "one", "other"), r"stems of some of this song's .* got other of all of them\. HINT"),
        (write_stems(tmp_path / "none", "vocals"), "needed, got none"),
        (write_stems(tmp_path / "mix", "mix"), "files such as vocals.wav and drums.wav"),
    ):
        with pytest.raises(ValueError, match=message):
            with_group_targets(plain, stems)
    with pytest.raises(FileNotFoundError, match="a folder of stems is needed, got none"):
        with_group_targets(plain, tmp_path / "absent")
    write_audio(write_stems(tmp_path / "twice", "drums") / "drums.flac", torch.zeros(2, 10), RATE)
    with pytest.raises(ValueError, match=r"got drums\.flac and drums\.wav"):
        with_group_targets(plain, tmp_path / "twice")
    with pytest.raises(ValueError, match="group_targets: stems of one song, got stems and 2 folders"):
        SongData(["a", "b"], group_targets="stems")


def test_songs_with_other_targets_are_told_apart_when_a_search_goes_on(song) -> None:
    plain = replace(song, groups=())
    with pytest.raises(ValueError, match=r"data\.group_targets: the checkpoint was made with no stems .*HINT: name"):
        check_songs([song_record(plain)], [song_record(song)])
    check_songs([song_record(song)], [song_record(song)])
