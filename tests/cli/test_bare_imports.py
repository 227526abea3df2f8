"""Each command imports what it needs by itself.

Tests that run commands in a process in which others ran, or in a fork of one that has imported everything, do not see
an import that is missing.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mixgraph.cli.commands import COMMANDS

# Torch and Lightning take 4 s, each command has a fork of a process that has no more than these two.
RUN = """
import json, os, sys, traceback
import lightning, torch
assert not any(name.partition(".")[0] in ("mixgraph", "tools", "callbacks", "datamodules") for name in sys.modules)
wrong = {}
for name, module, words in json.loads(sys.argv[1]):
    output = os.memfd_create(name)
    process = os.fork()
    if not process:
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = 1
        try:
            from mixgraph.__main__ import search_our_folders
            search_our_folders()
            __import__(module)
            sys.argv = [f"python -m mixgraph {name}", *words]
            sys.modules[module].main(words)
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    text = os.pread(output, 1 << 20, 0).decode()
    os.close(output)
    if code or "usage: " not in text:
        wrong[name] = [code, text[-2000:]]
print(json.dumps(wrong))
"""


@pytest.mark.long
def test_each_command_imports_what_its_help_needs(tmp_path: Path) -> None:
    runs = [(c.name, c.module, [*([c.name] if c.passes_name else []), "--help"]) for c in COMMANDS]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-c", RUN, json.dumps(runs)]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}
