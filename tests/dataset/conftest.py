"""Three small songs, and builds of them with a tiny search."""

import contextlib
import io
import shutil

import pytest
import yaml

from tools import build_dataset

SEARCH = {
    "data": {"sample_rate": 8000, "steps_per_stage": 3, "scored_seconds": 1.0, "cache_dir": None},
    "model": {"track_chain": "g", "subgroup_chain": "g"},
    "pruning": {"console_stages": 2, "rounds": 3},
    "trainer": {"accelerator": "cpu"},
}
LENIENT = ("--max-loss=9", "--max-loss-ratio=9")  # so few steps find next to nothing


@pytest.fixture(scope="session")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(yaml.safe_dump(SEARCH))
    return path


@pytest.fixture(scope="session")
def songs(tiny_song, duo_song, tmp_path_factory):
    """Three songs: two of the suite's, and one of them under another name."""
    root = tmp_path_factory.mktemp("dataset") / "songs"
    for name, path in (("duo", duo_song), ("tiny", tiny_song), ("zoo", duo_song)):
        shutil.copytree(path, root / name)
    return root


@pytest.fixture(scope="session")
def arguments():
    """Of the command, for songs, a configuration, a folder, and more."""

    def make(songs, config, out, *more):
        return [str(songs), "--config", str(config), "--out", str(out), "--workers=2", "--threads=1", *LENIENT, *more]

    return make


@pytest.fixture(scope="session")
def build(arguments, warming):
    """A build in this process (its searches have their own); what it says, and its exit status."""

    def run(*given):
        output = io.StringIO()
        with warming(), contextlib.redirect_stdout(output), pytest.raises(SystemExit) as end:
            build_dataset.main(arguments(*given))
        return output.getvalue(), end.value.code

    return run


@pytest.fixture(scope="session")
def plain(songs, config, build, tmp_path_factory):
    """A build that nothing happens to: its folder, and what it says."""
    out = tmp_path_factory.mktemp("plain") / "set"
    output, code = build(songs, config, out)
    assert code == 0, output
    return out, output
