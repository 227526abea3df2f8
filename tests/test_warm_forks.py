"""Forks of the process that has imported everything are as Python would have started them."""

import json
import os
import subprocess
import sys

import pytest

SHOWN = """
import json, random, sys
drawn = [random.random()]
if len(sys.argv) > 2:
    import numpy, torch
    drawn += [numpy.random.rand(), torch.rand(()).item()]
print(json.dumps([sys.path, bool(sys.flags.safe_path), sys.argv, __name__, drawn]))
"""


@pytest.mark.long
def test_forks_start_as_python_does(warm_python, tmp_path) -> None:
    (tmp_path / "shown.py").write_text(SHOWN)
    plain = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    paths = [f"{os.pathsep}modules{os.pathsep}/usr{os.pathsep}/usr", str(tmp_path)]
    environments = [{}, *({"PYTHONPATH": path} for path in paths), {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(tmp_path)}]
    for environment in (plain | more for more in environments):
        line = [sys.executable, "-m", "shown", "a word"]
        started = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        fork = warm_python.run("shown", "a word", cwd=tmp_path, env=environment)
        assert json.loads(fork.stdout)[:-1] == json.loads(started.stdout)[:-1], fork.stderr
    drawn = [json.loads(warm_python.run("shown", "a", "b", cwd=tmp_path).stdout)[-1] for _ in range(2)]
    assert all(one != other for one, other in zip(*drawn, strict=True))  # nothing is seeded for them


def test_what_ended_the_process_that_forks_is_told(warm_python, tmp_path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no such luck')\n")
    broken = type(warm_python)({**os.environ, "PYTHONPATH": str(tmp_path)})
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"(?s)the process that forks ended with 1:.*ImportError: no such luck"):
            broken.run("shown")
    broken.close()
