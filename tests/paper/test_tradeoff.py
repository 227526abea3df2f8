"""Figure 10 of chosen results."""

from dataclasses import replace

import pytest

from mixgraph.paper.figures.panels import song_names
from mixgraph.paper.figures.tradeoff import tradeoff_figure


def test_tradeoffs_are_lines_by_sampler_with_a_point_for_each_tolerance(make_reading) -> None:
    readings = [
        make_reading(song, loss=0.3 + tolerance, ratio=10 * tolerance, sampler=sampler, tolerance=tolerance)
        for song in "ab"
        for sampler in ("hybrid", "dry_wet")
        for tolerance in (0.05, 0.01)
    ]
    figure = tradeoff_figure(readings)
    assert [axes.get_title() for axes in figure.axes] == ["a", "b"]
    lines = {line.get_label(): line for line in figure.axes[1].lines}
    assert lines["Hybrid"].get_xdata().tolist() == pytest.approx([0.9, 0.5])
    assert lines["Dry/wet"].get_ydata().tolist() == pytest.approx([0.01, 0.05])
    assert [text.get_text() for text in figure.axes[1].texts] == ["0.01", "0.05"]  # those of dry/wet are as those
    with pytest.raises(ValueError, match="a pruned graph is needed"):
        tradeoff_figure([make_reading(rounds=0)])


def test_songs_of_one_title_and_searches_of_one_song_have_names_of_their_own(make_reading) -> None:
    def titled(song, title, seed, **options):
        reading = make_reading(song, **options)
        facts = replace(reading.metrics.song, title=title)
        config = {**reading.config, "seed_everything": seed}
        return replace(reading, metrics=replace(reading.metrics, song=facts), config=config)

    readings = [titled("a", "Intro", 1), titled("b", "Intro", 1), titled("c", "Outro", 1), titled("c", "Outro", 2)]
    assert song_names(readings) == ["Intro (a)", "Intro (b)", "Outro, seed 1", "Outro, seed 2"]


def test_songs_of_one_name_in_two_data_sets_are_two(make_reading) -> None:
    def of(path, digest, **options):
        reading = make_reading("a", path=path, **options)
        return replace(reading, metrics=replace(reading.metrics, file_hashes={"mix.wav": digest}))

    readings = [of("one/a", "x"), of("moved/a", "x"), of("two/a", "y"), make_reading("b")]
    assert song_names(readings) == ["a (one)", "a (one)", "a (two)", "b"]
    assert song_names([of("one/songs/a", "x"), of("two/songs/a", "y")]) == ["a (one/songs)", "a (two/songs)"]
    assert song_names(readings[:2]) == ["a", "a"]
    figure = tradeoff_figure([of("one/a", "x"), of("one/a", "x", tolerance=0.1), of("two/a", "y")])
    assert [axes.get_title() for axes in figure.axes] == ["a (one)", "a (two)"]
    assert [len(axes.lines[0].get_xdata()) for axes in figure.axes] == [2, 1]
