"""The last stage of a build: its shards and card, of real results."""

import io
import json
import shutil

import pytest
import yaml
from rich.console import Console

from mixgraph.dataset import FileHashes, QualityRules, find_sources
from mixgraph.dataset.assessment import assess, quality_table
from mixgraph.results.found_graph import load_result
from mixgraph.shards import CardTexts, read_shards, validate_shards, write_card
from mixgraph.shards.texts import choice_section
from tools.dataset.build import resolve_settings
from tools.dataset.package import describe_choice, write_samples


@pytest.fixture
def package(plain, songs, config, tmp_path):
    """Writes shards of the plain build's results; returns their folder and what was output."""

    def write(roots=songs, audio="none", excerpt_seconds=None, runs=1, name="set", meanwhile=lambda: None):
        sources, _ = find_sources([roots], FileHashes(tmp_path / "hashes.json"))
        rules = QualityRules(max_loss=9, max_loss_ratio=9)
        assessments = [
            assess(source, [(run, plain[0] / "results" / source.name / "run_0") for run in range(runs)], rules)
            for source in sources
        ]
        output = io.StringIO()
        choice = describe_choice(quality_table(rules, assessments), assessments, ["broken"], runs)
        settings = resolve_settings([str(config)], [])
        out = tmp_path / f"shards_{audio}" / name
        out.parent.mkdir()
        meanwhile()
        console = Console(file=output, width=500)
        packaged = write_samples(out, name, assessments, settings, audio, excerpt_seconds, console)
        if packaged.index is not None:
            write_card(out, CardTexts(name, choice=choice_section(choice)), index=packaged.index)
        return out, "".join([output.getvalue(), *(f"{song}: {why}\n" for song, why in packaged.failures.items())])

    return write


def samples(folder):
    return {sample.meta["song"]: sample for sample in read_shards(folder)}


@pytest.mark.long
def test_the_shards_of_a_build_are_valid_and_hold_its_graphs(plain, songs) -> None:
    folder = plain[0] / "shards"
    checked = validate_shards(folder)
    assert checked.problems == []
    packed = samples(folder)
    assert sorted(packed) == ["duo", "tiny", "zoo"]
    for name, sample in packed.items():
        result = load_result(plain[0] / "results" / name / "run_0")
        assert sample.graph == result.graph
        assert sample.weights.tolist() == result.weights.tolist()
        assert (sample.meta["dataset"], sample.meta["confidence"], sample.audio) == ("set", None, None)
        assert sample.meta["extra"]["num_runs"] == 1
        assert str(songs.parent) not in json.dumps(sample.meta)


@pytest.mark.long
def test_the_card_says_how_songs_were_chosen(package) -> None:
    folder, _ = package()
    card = (folder / "README.md").read_text()
    assert "max loss change" in card
    assert "a fixed graph cannot follow" in card.lower()
    assert "| broken | its files could not be read |" in card
    assert "One search a song, so that `confidence` is null." in card


@pytest.mark.long
def test_several_runs_give_confidence(package) -> None:
    """The same result twice: every processor is kept by all runs."""
    folder, _ = package(runs=2)
    for sample in read_shards(folder):
        assert sample.meta["confidence"] == [1.0] * len(sample.graph.processors)
        assert sample.meta["extra"]["agreement"] == 1.0
    assert "2 searches a song" in (folder / "README.md").read_text()


@pytest.mark.long
def test_audio_goes_in_where_the_licence_allows_it_or_the_user_says_so(package, songs, tmp_path) -> None:
    """The licence of one song is changed after its search, which does not make it due again."""
    root = tmp_path / "songs"
    shutil.copytree(songs, root)
    description = yaml.safe_load((root / "duo" / "song.yaml").read_text())
    (root / "duo" / "song.yaml").write_text(yaml.safe_dump(description | {"licence": "CC BY-NC 4.0"}))
    folder, output = package(root, "free")
    assert output == ""
    assert {name: sample.audio is None for name, sample in samples(folder).items()} == {
        "duo": True, "tiny": False, "zoo": False,
    }  # fmt: skip
    assert validate_shards(folder).problems == []
    folder, output = package(root, "all")
    assert "hold audio of duo, whose licences" in output
    assert all(sample.audio is not None for sample in read_shards(folder))


@pytest.mark.long
def test_a_song_that_cannot_be_packaged_is_named_and_the_others_go_on(package, songs, tmp_path) -> None:
    """Its folder goes away after its search; the shards hold all of a song's excerpts, or none."""
    root = tmp_path / "songs"
    shutil.copytree(songs, root)
    folder, output = package(root, "all", 1.0, meanwhile=lambda: shutil.rmtree(root / "tiny"))
    assert output.startswith(f"tiny: {root / 'tiny'}: folder expected, got none")
    assert {sample.meta["song"] for sample in read_shards(folder)} == {"duo", "zoo"}
    assert validate_shards(folder).problems == []
    folder, output = package(root, "free", name="none", meanwhile=lambda: shutil.rmtree(root))
    assert [line.partition(":")[0] for line in output.splitlines()] == ["duo", "zoo"]
    assert not folder.exists()


@pytest.mark.long
def test_excerpts_have_the_stated_length(package) -> None:
    folder, _ = package(excerpt_seconds=1.0)
    lengths = [s.meta["num_samples"] for s in read_shards(folder) if s.meta["song"] == "tiny"]
    assert lengths == [8000, 8000, 8000]
