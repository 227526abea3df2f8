"""A program that tests run in place of `fit`: a parabola, `python -m stand_in FOLDER`."""

import json
import os
import sys
import time
from pathlib import Path

from mixgraph.sweeps.study import report
from mixgraph.sweeps.sweep_file import Bands

folder = Path(sys.argv[1])
request = json.loads((folder / "request.json").read_text())
values, result = request["record"]["values"], folder / "result"
loss = (values["x"] - 0.3) ** 2 + (0.0 if values["kind"] == "good" else 0.5)
with (folder.parent.parent / "runs.txt").open("a") as runs:
    runs.write(f"{folder.name}\n")
time.sleep(float(os.environ.get("STAND_IN_SECONDS", "0")))
if folder.name == os.environ.get("STAND_IN_FAILS"):
    (folder / "error.json").write_text(json.dumps({"reason": "it was told to", "details": "", "unusable": False}))
    sys.exit(1)
reports, stopping = [], request["stopping"]
for stage in range(1, 5) if stopping else ():
    reports.append((stage, loss + 1 / stage))
    if report(Path(stopping["journal"]), stopping["number"], *reports[-1], Bands(**stopping["bands"])):
        break
stopped = bool(reports) and len(reports) < 4
logs = result / "log" / "version_0"
logs.mkdir(parents=True, exist_ok=True)
(logs / "metrics.csv").write_text(f"epoch,validation/loss\n0,9.0\n1,{loss}\n")
record = request["record"] | {"state": "stopped" if stopped else "done", "reports": reports, "seconds": 1.0}
(result / "job.json").write_text(json.dumps(record))
