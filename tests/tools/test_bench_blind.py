import torch

from mixgraph.blind.normalise import loudness
from mixgraph.blind.reference import read_reference
from tools.bench.blind import RATE, _gain_errors, leaked, make_known_mix, summary


def test_known_mixes_are_at_their_gains_and_leakage_keeps_their_sum() -> None:
    known = make_known_mix(1, seconds=2.0)
    torch.testing.assert_close(sorted(known.gains_db.values()), [-8.0, -8 / 3, 8 / 3, 8.0])
    for name, stem in known.stems.items():
        dry = stem * 10 ** (torch.tensor([[-1.0], [1.0]]) * known.widths_db[name] / 40)  # undoes the panning
        over = loudness(dry, RATE) - (-23.0 + read_reference().instruments[name].loudness_lu)
        assert abs(over - known.gains_db[name]) < 0.05
        assert 1.5 <= abs(known.widths_db[name]) <= 6
    whole = torch.stack(list(known.stems.values())).sum(0)
    for leakage_db in (None, -20.0, -5.0):
        stems = leaked(known.stems, leakage_db)
        torch.testing.assert_close(torch.stack(list(stems.values())).sum(0), whole, rtol=1e-4, atol=1e-5)
    parts = {"a": torch.tensor([[1.0, 0.0]]), "b": torch.tensor([[0.0, 1.0]])}
    a = leaked(parts, -20.0)["a"][0]
    assert abs(20 * float(torch.log10(a[1] / a[0])) + 20) < 1e-4


def test_what_all_gains_have_in_common_is_no_error() -> None:
    row = {"gains_db": {"a": 3.0, "b": 5.0}, "true_gains_db": {"a": 1.0, "b": 3.0}}
    assert _gain_errors(row) == [0.0, 0.0]
    rows = [row | {"leakage_db": -5.0, "rank_correlation": 1.0, "signs_of_panning": 1, "stems": 2, "loss": 0.2}]
    (line,) = summary(rows)
    assert (line["leakage"], line["signs_of_panning"], line["gain_error_db"]) == ("-5 dB", "1 of 2", 0.0)
