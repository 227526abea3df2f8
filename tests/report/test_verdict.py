"""Verdicts: known differences come out in dB, known causes are found, and the clean demo has none."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mixgraph.dsp.octaves import octave_names
from mixgraph.report.closeness import measure_closeness
from mixgraph.report.findings import find_causes
from mixgraph.report.verdict import SCALE, closeness_in_words, judge, verdict_lines
from mixgraph.songs import Song, TrackAlignment, estimate_alignment, load_song

RATE = 8000
DEMO = Path(__file__).parents[2] / "mixgraph" / "songs" / "demo_potassium"


def noise(seconds=8.0, seed=0, rate=RATE):
    return 0.1 * torch.randn(2, round(seconds * rate), generator=torch.Generator().manual_seed(seed))


def make(tracks, mix, rate=RATE):
    """A song of tracks (K, 2, L), aligned as `load_song` does it."""
    names = tuple(f"track{i}" for i in range(len(tracks)))
    alignments = [estimate_alignment(track, mix, rate) for track in tracks]
    alignment = tuple(
        TrackAlignment(f.offset_samples, f.polarity, f.confidence, name, False)
        for f, name in zip(alignments, names, strict=True)
    )
    mono, places = (False,) * len(tracks), ((0, 1),) * len(tracks)
    return Song("s", "S", "CC0", rate, {"g": names}, tracks, mix, mono, places, 1.0, alignment, (), {})


@pytest.fixture(scope="module")
def song():
    """Bursts of two tracks and their sum."""
    bursts = (torch.arange(8 * RATE) % (RATE // 2) < RATE // 4).float() * 0.95 + 0.05
    tracks = torch.stack([noise(seed=1) * bursts, noise(seed=2) * bursts.flip(0)])
    return make(tracks, tracks.sum(dim=0))


def codes(song, found_mix, loss_without=lambda row: 1.0, loss=0.3):
    closeness = measure_closeness(song.mix, found_mix, song.sample_rate)
    return [finding.code for finding in find_causes(song, found_mix, closeness, loss, loss_without)]


def sine(hertz, level_db=-12.0, rate=RATE, seconds=4.0):
    wave = 10 ** (level_db / 20) * torch.sin(2 * math.pi * hertz * torch.arange(round(seconds * rate)) / rate)
    return wave.expand(2, -1)


def test_level_octaves_width_and_peak_are_in_decibels() -> None:
    target = sine(63) + sine(1000)
    changed = 10 ** (1.5 / 20) * sine(63) + 10 ** (-2 / 20) * sine(1000)
    closeness = measure_closeness(target, changed, RATE)
    assert closeness.octaves_db["63"] == pytest.approx(1.5, abs=0.01)
    assert closeness.octaves_db["1k"] == pytest.approx(-2.0, abs=0.01)
    assert closeness.octaves_db["250"] == 0.0
    assert closeness.level_db == pytest.approx(10 * math.log10((10**0.15 + 10**-0.2) / 2), abs=0.01)
    assert closeness.worst_octave[0] == "1k"
    assert (closeness.target_width_db, closeness.width_db) == (-60.0, 0.0)
    wide = torch.stack((sine(500)[0], 0.5 * sine(500)[0]))  # side over mid: .5 / 1.5
    assert measure_closeness(sine(500), wide, RATE).width_db == pytest.approx(60 + 20 * math.log10(1 / 3), abs=1e-3)
    assert closeness.found_peak_dbfs - closeness.target_peak_dbfs == pytest.approx(closeness.peak_db)
    assert measure_closeness(sine(500), 2 * sine(500), RATE).peak_db == pytest.approx(6.02, abs=0.01)


def test_octaves_are_those_that_the_rate_holds_and_silent_ones_agree() -> None:
    assert octave_names(30000) == ["31", "63", "125", "250", "500", "1k", "2k", "4k", "8k"]
    assert octave_names(44100)[-1] == "16k"
    low = sine(1000) + sine(31.5, -60.0)
    assert measure_closeness(sine(1000), low, RATE).octaves_db["31"] == 0.0  # both more than 40 dB below
    loud = measure_closeness(sine(1000), sine(1000) + sine(31.5, -32.0), RATE)
    assert loud.octaves_db["31"] == pytest.approx(20.0, abs=0.1)


def test_octaves_of_equal_power_sum_to_the_level() -> None:
    """Parseval: white noise has its share of the power in every octave."""
    target = noise(20.0)
    octaves = measure_closeness(target, 2 * target, RATE).octaves_db
    assert list(octaves.values()) == pytest.approx([6.02] * len(octaves), abs=0.01)
    for samples in (1, 999, 1000, 1001, 4000):
        short = target[:, :samples]
        assert measure_closeness(short, short, RATE).level_db == 0.0


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match=r"target, found_mix: both \(2, samples\) are needed, got \(2, 8\) and \(2, 9"):
        measure_closeness(torch.ones(2, 8), torch.ones(2, 9), RATE)
    with pytest.raises(ValueError, match="target, found_mix: finite samples are needed"):
        measure_closeness(torch.ones(2, 8), torch.full((2, 8), math.nan), RATE)
    with pytest.raises(ValueError, match="target: sound is needed, got silence"):
        measure_closeness(torch.zeros(2, 8), torch.ones(2, 8), RATE)


def test_the_scale_has_words_for_every_loss() -> None:
    assert closeness_in_words(0.1) == "very close"
    assert [closeness_in_words(loss) for loss in (0.23, 0.5, 1.0, 1.7)] == [words for _, words in SCALE[1:]]
    assert closeness_in_words(math.inf) == closeness_in_words(math.nan) == "very far"


def test_a_clean_song_has_no_findings(song) -> None:
    assert codes(song, song.mix) == []
    assert codes(song, 0.9 * song.mix + 0.02 * noise(seed=9)) == []


def test_the_clean_demo_has_no_findings_but_its_damages_have_theirs() -> None:
    demo = load_song(DEMO)
    mix, rate = demo.mix, demo.sample_rate
    near = demo.sources.sum(dim=0) * float(mix.std() / demo.sources.sum(dim=0).std())
    kept = mix + 0.05 * near
    assert codes(demo, kept) == []
    top = 10 ** (-6 / 20) * float(mix.abs().max())
    assert codes(replace(demo, mix=mix.clamp(-top, top)), kept) == ["ceiling"]
    ramp = torch.ones(mix.shape[-1])
    ramp[-3 * rate :] = torch.linspace(1, 0, 3 * rate)
    assert codes(replace(demo, mix=mix * ramp), kept) == ["fade_out"]
    assert codes(replace(demo, mix=mix * ramp.flip(0)), kept) == ["fade_in"]


def test_another_song_is_told_before_all_else(song) -> None:
    other = make(torch.stack([noise(seed=7), noise(seed=8)]), song.mix)
    assert codes(other, 12 * noise(seed=7), loss=1.7) == ["another_song", "peak"]
    assert codes(other, song.mix) == []  # what is matched is no other song, e.g. a loop that has no clear place
    verdict = judge(other, noise(seed=7), 1.7, lambda row: 1.0)
    lines = verdict_lines(verdict, 1.7)
    assert lines[0].startswith("Verdict: very far (match loss 1.700): level ")
    assert lines[-1].startswith("  WARNING: Another song? No track has a place in the mix")
    assert "HINT: are tracks and mix of the same song" in lines[-1]


@pytest.mark.parametrize(("seconds", "code"), [(-1.6, "lead_in"), (-0.2, "late_tracks"), (0.3, "late_tracks")])
def test_tracks_that_are_late_together_are_told_with_what_corrects_them(song, seconds, code) -> None:
    mix = torch.roll(song.mix, -round(seconds * RATE), dims=-1)
    moved = make(song.sources, mix)
    (finding, *_) = find_causes(moved, mix, measure_closeness(mix, mix, RATE), 0.3, lambda row: 1.0)
    assert finding.code == code
    assert f"{abs(seconds):.3f} s {'late' if seconds > 0 else 'early'}" in finding.text
    assert (finding.hint, finding.option) == ("--data.apply_alignment=true corrects it", "data.apply_alignment")
    applied = tuple(replace(track, applied=True) for track in moved.alignment)
    assert "late_tracks" not in codes(replace(moved, alignment=applied), mix)  # as its sources would then be moved, too


def test_a_lead_in_that_loading_found_is_told(song) -> None:
    """`load_song` gives every track the offset of all, which may be more than the tracks here hold."""
    alignment = tuple(replace(t, offset_samples=-20 * RATE + i) for i, t in enumerate(song.alignment))
    alignment = tuple(replace(track, confidence=0.999) for track in alignment)
    assert codes(replace(song, alignment=alignment), song.mix) == ["lead_in"]


def test_a_single_track_that_is_late_or_flipped_is_named(song) -> None:
    for changed in (torch.roll(song.sources[0], 40, dims=-1), -song.sources[0]):
        moved = make(torch.stack((changed, song.sources[1])), song.mix)
        (finding,) = find_causes(moved, song.mix, measure_closeness(song.mix, song.mix, RATE), 0.3, lambda row: 1.0)
        assert (finding.code, finding.option) == ("late_tracks", "data.apply_alignment")
        assert finding.text.endswith(": track0.")


def test_a_track_that_is_not_heard_is_named_by_what_muting_it_does(song) -> None:
    stranger = make(torch.cat((song.sources, noise(seed=5).unsqueeze(0))), song.mix)
    muted_rows = []

    def loss_without(row):
        muted_rows.append(row)
        return 0.3005

    assert codes(stranger, song.mix, loss_without) == ["unheard_tracks"]
    assert muted_rows == [2]  # the others have a clear place in the mix
    assert codes(stranger, song.mix, lambda row: 0.302) == []  # it is of use
    assert codes(stranger, song.mix, lambda row: 0.3, loss=1.0) == []  # nothing was matched
    many = make(torch.cat((song.sources, *(noise(seed=s).unsqueeze(0) for s in range(10, 25)))), song.mix)
    closeness = measure_closeness(song.mix, song.mix, RATE)
    (finding,) = find_causes(many, song.mix, closeness, 0.3, lambda row: 0.3)
    assert "as close without (of 15 tracks without a clear place, 12 were tried)." in finding.text
    silent = make(torch.cat((song.sources, torch.zeros(1, 2, 8 * RATE))), song.mix)
    assert codes(silent, song.mix, lambda row: 0.3) == []  # `load_song` warns of it


def test_a_mix_that_plays_on_without_tracks_is_told(song) -> None:
    tracks = song.sources.clone()
    tracks[..., 5 * RATE :] = 0
    short = make(tracks, song.mix)
    assert codes(short, tracks.sum(dim=0)) == ["unplayed_mix"]
    tail = song.mix.clone()
    tail[..., 7 * RATE :] = 0  # two seconds after the tracks, as a reverb lasts
    assert "unplayed_mix" not in codes(make(tracks, tail), tracks.sum(dim=0))


def test_a_result_without_a_known_cause_that_is_very_far_says_what_to_look_for(song) -> None:
    assert codes(song, song.mix, loss=1.2) == ["unexplained"]
    assert codes(song, song.mix, loss=1.0) == []


def test_a_ceiling_is_the_targets_alone(song) -> None:
    top = 0.4 * float(song.mix.abs().max())
    limited = replace(song, mix=song.mix.clamp(-top, top))
    assert codes(limited, song.mix) == ["ceiling"]
    assert codes(limited, limited.mix) == []  # the graph followed it
    assert codes(song, song.mix.clamp(-top, top)) == []


def test_a_fade_is_steady_and_at_an_end(song) -> None:
    ramp = torch.cat((torch.ones(5 * RATE), torch.linspace(1, 0, 3 * RATE)))
    faded = replace(song, mix=song.mix * ramp)
    assert codes(faded, song.mix) == ["fade_out"]
    assert codes(faded, faded.mix) == []
    cut = torch.ones(8 * RATE)
    cut[-RATE // 3 :] = torch.linspace(1, 0, len(cut[-RATE // 3 :]))
    assert codes(replace(song, mix=song.mix * cut), song.mix) == []  # as the ends of an excerpt are smoothed
    dip = torch.ones(8 * RATE)
    dip[4 * RATE : 6 * RATE] = 0.1
    assert codes(replace(song, mix=song.mix * dip), song.mix) == []


def test_a_mono_mix_and_a_peak_are_told(song) -> None:
    mono = replace(song, mix=song.mix.mean(dim=0).expand(2, -1).contiguous())
    assert codes(mono, mono.mix) == []
    assert codes(mono, song.mix) == ["mono_mix"]
    loud = 1.2 * song.mix / song.mix.abs().max()
    closeness = measure_closeness(song.mix, loud, RATE)
    texts = [str(f) for f in find_causes(song, loud, closeness, 0.3, lambda row: 1.0)]
    assert texts == ["The found mix peaks at +1.6 dBFS, so it is written as float WAV."]


def test_a_verdict_is_plain_data_and_reads_in_a_line(song) -> None:
    verdict = judge(song, 1.1 * song.mix, 0.3, lambda row: 1.0)
    data = verdict.to_dict()
    assert data["words"] == "close"
    assert data["level_db"] == 0.83
    assert set(data["octaves_db"].values()) == {0.83}
    assert data["findings"] == []
    first, second, *more = verdict_lines(verdict, 0.3)
    assert first == (
        "Verdict: close (match loss 0.300): level +0.8 dB, worst octave 31 Hz +0.8 dB, stereo width +0.0 dB, "
        "peak +0.8 dB."
    )
    assert second.startswith("  octaves (Hz, dB of the found mix against the target): 31 +0.8, 63 +0.8, ")
    assert more == []
    low = judge(song, song.mix + sine(31.5, -20, seconds=8.0), 0.3, lambda row: 1.0)
    assert "(the match loss is A-weighted: it hardly hears the lowest octaves)" in verdict_lines(low, 0.3)[2]
    silent = replace(song, mix=torch.zeros_like(song.mix))
    assert verdict_lines(judge(silent, song.mix, 3.0, lambda row: 1.0), 3.0) == [
        "Verdict: the mix is silent, so there is nothing to compare with."
    ]
