"""Values that nobody would write, at every place of files of known form: hypothesis looks for the simplest of them."""

import os
from pathlib import Path

import pytest

from tools.fuzz import Watch, bounded_memory, given, opened
from tools.fuzz_changes import FORMS, list_places
from tools.fuzz_targets import KINDS, Target, make_targets

if os.environ.get("CI") == "true":
    import hypothesis  # there, its absence is a failure
else:
    hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
FEW, MANY = 6, 30


@pytest.fixture(scope="module")
def targets(tmp_path_factory) -> list[Target]:
    return [target for target in make_targets(tmp_path_factory.mktemp("files"), ("songs", "texts")) if target.form]


def check(target: Target, examples: int) -> None:
    """Puts any value at any place of the file of a reader, or takes away what is there."""
    form, watch = FORMS[target.form], Watch()
    with opened(target) as folder, bounded_memory():
        valid = (target.folder / target.file).read_bytes()

        @hypothesis.settings(
            max_examples=examples,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(st.data())
        def reader_takes_or_refuses(data) -> None:
            root = [form.decode(valid)]
            places = list_places(root)
            holder, key = places[data.draw(st.integers(0, len(places) - 1))]
            if data.draw(st.booleans()) and holder is not root:
                del holder[key]
            else:
                holder[key] = data.draw(VALUES)
            try:
                changed = form.encode(root[0])
            except (ValueError, UnicodeError):  # half a character, which no file holds
                hypothesis.reject()
            told = given(target, folder, changed, watch)
            assert not told, f"{target.name}: {told[0]}"

        reader_takes_or_refuses()


def test_any_value_anywhere_in_songs_and_texts(targets) -> None:
    for target in targets:
        check(target, FEW)


@pytest.mark.long
def test_any_value_anywhere(tmp_path: Path) -> None:
    for target in make_targets(tmp_path, [kind for kind in KINDS if kind != "command"]):
        if target.form not in ("", "tar"):
            check(target, MANY if target.form != "checkpoint" else FEW)
