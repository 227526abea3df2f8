import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mixgraph.blind import measure_reference, normalise_stem, read_reference, spectrum, write_reference
from mixgraph.blind.normalise import loudness
from mixgraph.blind.reference import BANDS_HZ, SHIPPED
from mixgraph.blind.spectrum import MOST_DB, apply_band_gains, band_levels_db, matching_gains_db

RATE = 16000


def noise(seconds: float = 4.0, seed: int = 0, channels: int = 2) -> torch.Tensor:
    return 0.1 * torch.randn(channels, round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


def test_levels_of_white_noise_rise_by_one_db_a_third_octave_and_sum_to_the_whole() -> None:
    levels = band_levels_db(noise(20.0)[0], RATE)
    assert levels is not None
    known = [level for level in levels if level is not None]
    assert levels[len(known) :] == (None,) * (len(BANDS_HZ) - len(known))  # what reaches the Nyquist frequency
    assert sum(10 ** (level / 10) for level in known) == pytest.approx(1)
    steps = torch.tensor(known[12:]).diff()
    assert float((steps - 10 * math.log10(2 ** (1 / 3))).abs().max()) < 0.4
    assert band_levels_db(torch.zeros(RATE), RATE) is None


def test_the_filter_moves_bands_by_its_gains_and_nothing_in_time() -> None:
    gains = matching_gains_db([-20.0] * len(BANDS_HZ), [-14.0 if hertz < 900 else -26.0 for hertz in BANDS_HZ])
    assert max(map(abs, gains)) <= MOST_DB
    time = torch.arange(2 * RATE) / RATE
    for hertz, gain_db in ((200.0, 6.0), (4000.0, -6.0)):
        tone = torch.sin(2 * math.pi * hertz * time)
        filtered = apply_band_gains(tone, RATE, gains)
        inner = slice(RATE // 2, -RATE // 2)
        expected = tone * 10 ** (gain_db / 20)
        assert float((filtered - expected)[inner].abs().max()) < 0.02 * 10 ** (gain_db / 20)


def test_long_signals_are_read_in_stretches_and_come_out_the_same(monkeypatch) -> None:
    mono, gains = noise(4.001)[0], [6.0 * math.sin(band) for band in range(len(BANDS_HZ))]
    levels, filtered = band_levels_db(mono, RATE), apply_band_gains(mono, RATE, gains)
    monkeypatch.setattr(spectrum, "_FRAMES_AT_ONCE", 3)
    monkeypatch.setattr(spectrum, "_SAMPLES_AT_ONCE", 10_007)
    assert band_levels_db(mono, RATE) == pytest.approx(levels, abs=1e-9)
    torch.testing.assert_close(apply_band_gains(mono, RATE, gains), filtered, rtol=0, atol=1e-7)  # float32


def test_gains_are_bounded_and_what_is_nearly_silent_is_not_raised() -> None:
    count = len(BANDS_HZ)
    assert matching_gains_db([-90.0] * count, [0.0] * count) == (0.0,) * count
    assert matching_gains_db([0.0] * count, [-90.0] * count) == pytest.approx((-MOST_DB,) * count)
    assert matching_gains_db([-50.0] * count, [0.0] * count) == pytest.approx((MOST_DB,) * count)
    assert matching_gains_db([None] * count, [0.0] * count) == (0.0,) * count


def test_a_stem_becomes_mono_and_gets_the_loudness_and_the_spectrum_of_its_instrument() -> None:
    reference = read_reference()
    state = replace(reference.instruments["drums"], levels_db=band_levels_db(noise(seed=1)[0], RATE))
    tilted = apply_band_gains(noise()[0], RATE, [8.0 if hertz < 500 else -3.0 for hertz in BANDS_HZ])
    stem = torch.stack([tilted, 0.2 * tilted])
    normalised = normalise_stem(stem, RATE, state, whole_lufs=-16.0)
    assert normalised.audio.shape == (1, stem.shape[-1])
    assert loudness(normalised.audio, RATE) == pytest.approx(-16.0 + state.loudness_lu, abs=1e-3)
    before, after = (band_levels_db(audio[0], RATE) for audio in (stem, normalised.audio))

    def distance(levels) -> float:
        pairs = [(a, b) for a, b in zip(levels, state.levels_db, strict=True) if a is not None]
        return max(abs(a - b) for a, b in pairs[4:])

    assert distance(before) > 6 > 3 > distance(after)
    again = normalise_stem(0.01 * stem.flip(0), RATE, state, whole_lufs=-16.0)  # neither level nor side is left
    torch.testing.assert_close(again.audio, normalised.audio, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="a stem that sounds is needed"):
        normalise_stem(torch.zeros(2, RATE), RATE, state, -16.0)


def test_a_reference_state_is_measured_from_songs_and_read_back(corpus_songs, tmp_path: Path) -> None:
    reference = measure_reference(corpus_songs[:2], tmp_path / "cache", ("drums", "bass", "other"), 8000)
    drums = reference.instruments["drums"]
    assert set(reference.instruments) == {"drums", "other"}  # no song has a bass
    assert drums.songs == ("song0", "song1")
    assert [(song.name, song.licence) for song in reference.sources] == [("song0", "CC0"), ("song1", "CC0")]
    assert -15 < drums.loudness_lu < 0
    write_reference(tmp_path / "reference.json", reference)
    assert read_reference(tmp_path / "reference.json") == reference
    assert reference.digest() != read_reference().digest()


def test_the_shipped_state_is_of_songs_that_are_free() -> None:
    reference = read_reference(SHIPPED)
    assert set(reference.instruments) == {"vocals", "drums", "bass", "other"}
    assert {song.licence for song in reference.sources} == {"CC0 1.0"}
    for state in reference.instruments.values():
        assert set(state.songs) <= {song.name for song in reference.sources}
        assert state.levels_db.index(max(state.levels_db)) > 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "x"}, "format: 'mixgraph reference state 1' is needed, got 'x'"),
        ({"instruments": {}}, "instruments: at least one is needed"),
        ({"sources": None}, "sources: a list is needed"),
        ({"sources": [{}]}, "name, licence and seconds of each song"),
        ({"sources": [{"name": "a", "licence": "b", "seconds": 10**400}]}, "name, licence and seconds of each song"),
        ({"instruments": {"v": 3}}, "v: a mapping is needed, got 3"),
        ({"instruments": {"v": {"levels_db": [1]}}}, "v: levels_db: a list of 29 levels is needed"),
        ({"instruments": {"v": {"levels_db": [10**400] * 29, "songs": []}}}, "numbers of dB or null"),
        ({"instruments": {"v": {"levels_db": [True] * 29, "songs": []}}}, "numbers of dB or null"),
        ({"instruments": {"v": {"levels_db": [1] * 29, "songs": [], "loudness_lu": "a"}}}, "loudness_lu: a number"),
    ],
)
def test_a_damaged_reference_state_is_refused(change: dict, message: str, tmp_path: Path) -> None:
    record = json.loads(SHIPPED.read_text()) | change
    (tmp_path / "r.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=message):
        read_reference(tmp_path / "r.json")


def test_a_reference_state_that_is_no_json_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("[")
    with pytest.raises(ValueError, match="JSON is needed"):
        read_reference(tmp_path / "r.json")
    with pytest.raises(FileNotFoundError, match=r"is no file\. HINT: leave it out"):
        read_reference(tmp_path / "none.json")
