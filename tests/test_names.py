"""Names from files as text."""

import pytest

from mixgraph.names import did_you_mean, shown_name, shown_value, spreadsheet_cell, uninterpolated, visible


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("E\u0301 kick", "É kick"),
        ("\x1b[2J\r\n\t\x7f\x9b", r"\x1b[2J\r\n\t\x7f\x9b"),
        ("a\u202eb\u2066\u2028\ufeff", r"a\u202eb\u2066\u2028\ufeff"),
        ("caf\udce9\ufffe\U0001ffff", r"caf\udce9\ufffe\U0001ffff"),
        (
            "曲\u3000\xa0é\u200d\N{DRUM WITH DRUMSTICKS}\ufe0f\ue000",
            "曲\u3000\xa0é\u200d\N{DRUM WITH DRUMSTICKS}\ufe0f\ue000",
        ),
        ("[b]$x$<i>&amp;\\x1b", "[b]$x$<i>&amp;\\x1b"),
    ],
)
def test_what_acts_is_written_out_and_the_rest_stays(name, shown):
    assert shown_name(name) == shown
    assert visible(shown) == shown
    shown.encode()


def test_values_are_shown_in_short():
    nested: list = []
    for _ in range(60):
        nested = [nested, nested]
    assert len(shown_value(nested)) < 1000
    assert len(shown_value("x" * 10**6)) == 200
    assert shown_value(10**5000) == "int, too long to show"
    assert shown_value({"a": ["1"]}) == "{'a': ['1']}"


def test_a_name_is_no_setting():
    assert uninterpolated({"a": ["b", 1, None]}) == {"a": ["b", 1, None]}
    assert uninterpolated(r"\${x}") == r"""\\${oc.decode:'"$"'}{x}"""


def test_what_was_meant_is_found_whatever_its_capitals():
    assert did_you_mean("VOCALS", ["vocals", "drums"]) == " HINT: did you mean vocals?"
    assert did_you_mean("vocals", ["Vocals", "Drums"]) == " HINT: did you mean Vocals?"
    assert did_you_mean("x", ["vocals"]) == ""


def test_what_was_meant_is_rather_what_a_name_begins_than_what_it_is_close_to():
    assert did_you_mean("--songs", ["--test-songs", "--songs-each"]) == " HINT: did you mean --songs-each?"
    assert did_you_mean("--se", ["--seed", "--out", "--seconds"]) == " HINT: did you mean --seed or --seconds?"
    assert did_you_mean("", ["vocals"]) == ""


def test_no_name_is_a_formula_in_a_spreadsheet() -> None:
    values = ["=1+1", "+a", "-lead", "@x", "-9.01", "+0.50", "-inf", "\t=a", "\r=a", "kick", "", 2, -1.5, None]
    expected = ["'=1+1", "'+a", "'-lead", "'@x", "-9.01", "+0.50", "-inf", "'\t=a", "'\r=a", "kick", "", 2, -1.5, None]
    assert [spreadsheet_cell(value) for value in values] == expected
