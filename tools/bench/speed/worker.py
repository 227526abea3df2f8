"""A worker process: one side, under one setting of malloc; answers requests, one JSON line each.

{"do": "setup", "case": {...}}, {"do": "step"}, {"do": "evaluation"}, {"do": "trials", ...},
{"do": "search", ...}, {"do": "rendering", ...} (ours alone), {"do": "peak"}
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

_SHARE_OF_MEMORY = 0.85
_PR_SET_PDEATHSIG = 1  # Linux's number


def limit_memory() -> None:
    """Limits the memory of this process, so that an allocation fails before the machine runs out of memory."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    limit = int(_SHARE_OF_MEMORY * free)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def end_with_parent() -> None:
    """Makes Linux kill this process when its parent ends in any way, since a search takes hours."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def peak_bytes() -> int:
    """Returns the peak memory of this process in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Server:
    """Answers requests for one side.

    Args:
        name: `"ours"` or `"peer"`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.side: Any = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        from tools.bench.side import Unsupported

        do = request.pop("do")
        try:
            if do == "setup":
                self._setup(request["case"])
                return {"result": {}}
            if do == "peak":
                return {"result": {"bytes": peak_bytes()}}
            return {"result": getattr(self.side, do)(**request)}
        except Unsupported as error:
            return {"reason": str(error)}
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "memory" not in str(error):
                raise
            return {"reason": "out of memory"}

    def _setup(self, case: dict[str, Any]) -> None:
        from tools.bench.cases import Case

        self.side = None  # frees the memory of the case before
        if self.name == "peer":
            from tools.bench.peer_side import PeerSide

            self.side = PeerSide(Case(**case))
        else:
            from tools.bench.ours import OurSide

            self.side = OurSide(Case(**case))


def main() -> None:
    """Serves the side named in the first argument until its input ends."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # keeps the output of libraries out of the replies
    warnings.filterwarnings("ignore")
    end_with_parent()
    limit_memory()
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    server = Server(sys.argv[1])
    for line in sys.stdin:
        replies.write(json.dumps(server.answer(json.loads(line))) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
