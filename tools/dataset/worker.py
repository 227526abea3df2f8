"""Runs one search of a build in a separate process: `python -m tools.dataset.worker FOLDER`.

The exit code is 0 if the result is complete, 1 if the search failed (the reason is in error.json), and 143 if SIGTERM
ended it: the checkpoint of its last stage is kept, and another process can resume from it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from mixgraph.dataset.files import write_json
from mixgraph.dataset.folder import RECORD
from mixgraph.dataset.reasons import readable, reason
from mixgraph.names import uninterpolated
from mixgraph.results import CHECKPOINT, CONFIG, RESULT, Place, is_complete
from mixgraph.results.metrics import read_metrics
from mixgraph.songs.load import UnusableSongError
from mixgraph.system.files import plain_json, write_atomically
from mixgraph.system.imports import without_collections
from mixgraph.system.termination import TERMINATED, ending_when_terminated, was_terminated

if TYPE_CHECKING:
    import lightning as L

REQUEST, ERROR, LOG = "request.json", "error.json", "worker.log"


@dataclass(frozen=True)
class Request:
    """A request to a worker for one search.

    Attributes:
        song: the folder of the song, on the machine of the worker.
        seed: the seed of the search.
        config: all settings, as `fit` takes them in a YAML file.
        record: the content of the result's job.json.
        threads: the number of torch's threads.
        trusted: what the user trusts, see `trusted_words`.
        checkpoint: the checkpoint to begin from where none of this search is there; "" for a search from the start.
    """

    program: ClassVar[str] = "tools.dataset.worker"
    song: str
    seed: int
    config: dict[str, Any]
    record: dict[str, Any]
    threads: int
    trusted: Sequence[str] = ()
    checkpoint: str = ""

    def save(self, folder: Path) -> None:
        """Writes the request to the folder of its search, and removes files of other searches from it."""
        save_request(folder, asdict(self))

    def run(self, folder: Path) -> Path:
        """Searches the song in a folder, see `search_song`."""
        return search_song(self, folder)


def save_request(folder: Path, request: Mapping[str, Any]) -> None:
    """Writes a request to the folder of its task, and removes what is there unless its `record` is the same."""
    path = folder / REQUEST
    if not path.is_file() or json.loads(path.read_text(encoding="utf-8"))["record"] != plain_json(request["record"]):
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ERROR).unlink(missing_ok=True)
    write_json(path, request)


def search_song(request: Request, folder: Path) -> Path:
    """Searches a song as `python -m mixgraph fit` does, and returns the folder with the complete result.

    A search that was stopped in this folder is resumed from its last stage.

    Args:
        request: the request, which is also saved in the folder.
        folder: the folder to work in.
    """
    set_up(request.threads)
    config = request.config | {
        "seed_everything": request.seed,
        "data": request.config["data"] | {"path": request.song},
    }
    result = search_in(folder, config, request.trusted, checkpoint=request.checkpoint)
    _label(result, request)
    return result


def set_up(threads: int) -> None:
    """Sets the number of torch's threads, and keeps freed memory for the next step."""
    with without_collections():
        import torch

    from mixgraph.system.memory import keep_freed_memory

    torch.set_num_threads(threads)
    keep_freed_memory()


def search_in(
    folder: Path,
    config: Mapping[str, Any],
    trusted: Sequence[str] = (),
    options: Sequence[str] = (),
    callbacks: Sequence[L.Callback] = (),
    checkpoint: str = "",
) -> Path:
    """Searches a song in a folder, and returns that of the complete result; a search that was stopped there goes on.

    Args:
        folder: the folder to work in.
        config: all settings but for the path of the result.
        trusted: what the user trusts, see `trusted_words`.
        options: further options of `fit`, which win over the settings.
        callbacks: further callbacks of the Trainer.
        checkpoint: the checkpoint to begin from where none of this search is there; "" for a search from the start.
    """
    result, partial = folder / "result", folder / "result.partial"
    with Place(result, RESULT, "result", "remove it").held() as place:
        if is_complete(partial) and not result.exists():  # the search was killed before its folder was renamed
            place.publish(partial, overwrite=False)
    if not result.is_dir():
        config = {**config, "result": config["result"] | {"path": str(result), "page": False}}
        if (partial / CHECKPOINT).is_file():
            config["ckpt_path"] = str(partial / CHECKPOINT)
        elif checkpoint:
            config["ckpt_path"] = checkpoint
        settings = folder / "settings.yaml"
        write_atomically(settings, yaml.safe_dump(uninterpolated(config), sort_keys=False).encode())
        command(["fit", *trusted, "--config", str(settings), *options], callbacks)
    (result / CHECKPOINT).unlink(missing_ok=True)  # left by a search whose time budget ran out
    return result


def command(arguments: list[str], callbacks: Sequence[L.Callback] = ()) -> None:
    """Runs `python -m mixgraph` with arguments, and further callbacks of the Trainer, in this process."""
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # read on import; warns of Lightning
    with without_collections():
        from mixgraph.cli.arguments import prepare
        from mixgraph.cli.training import run
        from mixgraph.search.run import quiet_lightning

    quiet_lightning()
    run(prepare(arguments), callbacks)


def _label(result: Path, request: Request) -> None:
    """Writes job.json, and removes paths of this machine from the settings; calling it again changes nothing."""
    if read_metrics(result).file_hashes != request.record["files"]:
        raise ValueError(f"{request.song}: its audio changed while the build ran; run it again")
    config = yaml.safe_load((result / CONFIG).read_text(encoding="utf-8"))
    config["data"]["path"], config["result"]["path"], config["ckpt_path"] = request.record["song"], None, None
    write_atomically(result / CONFIG, yaml.safe_dump(config, sort_keys=False).encode())
    write_json(result / RECORD, request.record)


def describe_error(error: BaseException) -> dict[str, Any]:
    """Describes the failure of a search: reason, traceback, and whether the song itself is at fault."""
    details = readable("".join(traceback.format_exception(error)))
    return {"reason": reason(error), "details": details, "unusable": isinstance(error, UnusableSongError)}


def _end_with_the_build() -> None:
    """Ends this process when its parent ends in any way, which closes this process's standard input."""
    os.read(0, 1)
    os._exit(1)


def serve(run: Callable[[dict[str, Any], Path], object]) -> None:
    """Does the work of a process: calls `run` with the request and the folder, and exits as this module says."""
    folder = Path(sys.argv[1])
    threading.Thread(target=_end_with_the_build, daemon=True).start()
    try:
        with ending_when_terminated():
            run(json.loads((folder / REQUEST).read_text(encoding="utf-8")), folder)
    except (Exception, SystemExit) as error:
        if was_terminated(error):
            sys.exit(TERMINATED)
        write_json(folder / ERROR, describe_error(error))
        sys.exit(1)


def main() -> None:
    """Does the work of a process that searches a song."""
    serve(lambda request, folder: search_song(Request(**request), folder))


if __name__ == "__main__":
    main()
