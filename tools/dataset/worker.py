"""One search of a build, in a process of its own: `python -m tools.dataset.worker FOLDER`.

It ends with 0 when the result is complete, with 1 and error.json where the search failed, and with 143 where SIGTERM
ended it: the checkpoint of its last stage stays, and another process goes on from it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from mixgraph.dataset.files import write_json
from mixgraph.dataset.folder import RECORD
from mixgraph.dataset.reasons import readable, reason
from mixgraph.names import uninterpolated
from mixgraph.results import CHECKPOINT, CONFIG, RESULT, Place, is_complete
from mixgraph.results.metrics import read_metrics
from mixgraph.songs.load import UnusableSongError
from mixgraph.system.files import write_atomically
from mixgraph.system.termination import TERMINATED, ending_when_terminated, was_terminated

REQUEST, ERROR, LOG = "request.json", "error.json", "worker.log"


@dataclass(frozen=True)
class Request:
    """What a worker is asked for.

    Attributes:
        song: its folder, on the machine of the worker.
        seed: of the search.
        config: all settings, as `fit` takes them in a YAML file.
        record: what will stand in the result's job.json.
        threads: of torch.
        extensions: modules to import before, see `import_extension`.
    """

    song: str
    seed: int
    config: dict[str, Any]
    record: dict[str, Any]
    threads: int
    extensions: Sequence[str] = ()

    def save(self, folder: Path) -> None:
        """Puts the request into the folder of its search; what another search left there is removed."""
        path = folder / REQUEST
        if not path.is_file() or json.loads(path.read_text(encoding="utf-8"))["record"] != self.record:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ERROR).unlink(missing_ok=True)
        write_json(path, asdict(self))


def search_song(request: Request, folder: Path) -> Path:
    """Searches a song as `python -m mixgraph fit` does, and returns the folder with the complete result.

    A search that was stopped in this folder goes on from its last stage.

    Args:
        request: saved in the folder.
        folder: to work in.
    """
    import torch

    from mixgraph.system.memory import keep_freed_memory

    torch.set_num_threads(request.threads)
    keep_freed_memory()
    result, partial = folder / "result", folder / "result.partial"
    with Place(result, RESULT, "result", "remove it").held() as place:
        if is_complete(partial) and not result.exists():  # the search was killed before it had its name
            place.publish(partial, overwrite=False)
    if not result.is_dir():
        config = request.config | {
            "seed_everything": request.seed,
            "data": request.config["data"] | {"path": request.song},
            "result": request.config["result"] | {"path": str(result)},
        }
        if (partial / CHECKPOINT).is_file():
            config["ckpt_path"] = str(partial / CHECKPOINT)
        settings = folder / "settings.yaml"
        write_atomically(settings, yaml.safe_dump(uninterpolated(config), sort_keys=False).encode())
        command(["fit", *(f"--import={name}" for name in request.extensions), "--config", str(settings)])
    (result / CHECKPOINT).unlink(missing_ok=True)  # of a search whose budget was spent
    _label(result, request)
    return result


def command(arguments: list[str]) -> None:
    """Runs `python -m mixgraph` with arguments in this process."""
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # read on import; about Lightning's own calls
    from mixgraph.cli.arguments import prepare
    from mixgraph.cli.training import run
    from mixgraph.search.run import quiet_lightning

    quiet_lightning()
    run(prepare(arguments))


def _label(result: Path, request: Request) -> None:
    """Adds the record, and takes the paths of this machine out of the settings; the same however often it is done."""
    if read_metrics(result).file_hashes != request.record["files"]:
        raise ValueError(f"{request.song}: its audio changed while the build ran; run it again")
    config = yaml.safe_load((result / CONFIG).read_text(encoding="utf-8"))
    config["data"]["path"], config["result"]["path"], config["ckpt_path"] = request.record["song"], None, None
    write_atomically(result / CONFIG, yaml.safe_dump(config, sort_keys=False).encode())
    write_json(result / RECORD, request.record)


def describe_error(error: BaseException) -> dict[str, Any]:
    """Why a search failed: the reason for a person, the traceback, and whether the song itself is at fault."""
    details = readable("".join(traceback.format_exception(error)))
    return {"reason": reason(error), "details": details, "unusable": isinstance(error, UnusableSongError)}


def _end_with_the_build() -> None:
    """Ends this process when the one that started it does, however it does: its end of our input is closed then."""
    os.read(0, 1)
    os._exit(1)


def main() -> None:
    sys.path.append(os.getcwd())  # modules of `--import` may be there: behind all that is installed
    folder = Path(sys.argv[1])
    threading.Thread(target=_end_with_the_build, daemon=True).start()
    try:
        with ending_when_terminated():
            search_song(Request(**json.loads((folder / REQUEST).read_text(encoding="utf-8"))), folder)
    except (Exception, SystemExit) as error:
        if was_terminated(error):
            sys.exit(TERMINATED)
        write_json(folder / ERROR, describe_error(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
