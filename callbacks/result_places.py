"""The folders that a search publishes its results in: held, checked before training, published together."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info

from mixgraph.registry import imported_extensions
from mixgraph.results import (
    CHECKPOINT,
    CONFIG,
    CONSOLE,
    FOUND_AUDIO,
    RESULT,
    SEARCH_LOG,
    TIMINGS,
    HeldPlace,
    Place,
    is_complete,
    is_config,
    is_unfinished,
)
from mixgraph.songs import Song
from mixgraph.songs.track_files import list_tracks
from mixgraph.system.files import is_temporary, parse_json, read_text, write_atomically

_SHOWN = 5
_REMEDY = "choose another path or set --result.overwrite=true"


class ResultPlaces:
    """A place for the result of each song of a search. Nothing is held until `hold` is called.

    The checkpoint of the search is in the folder of the first song, which is published last.
    """

    def __init__(self) -> None:
        self._places: list[HeldPlace] = []
        self._holding = ExitStack()
        self._resumed = self._replaces = False  # goes on with unfinished work; may replace the results that are there

    @property
    def folders(self) -> list[Path]:
        """The folders of the complete results."""
        return [place.target for place in self._places]

    @property
    def partials(self) -> list[Path]:
        """The folders in which the search works until the results are complete."""
        return [place.partial for place in self._places]

    def hold(self, folders: Sequence[Path]) -> None:
        """Takes the places for this process, until `release`; raises as `Place.held`."""
        places = [Place(folder, RESULT, "result.path", _REMEDY) for folder in folders]
        in_one_order = sorted(places, key=lambda place: place.target)  # of two searches that share places, one gets all
        held = {place.target: self._holding.enter_context(place.held()) for place in in_one_order}
        self._places = [held[place.target] for place in places]

    def release(self) -> None:
        """Releases the places for other processes."""
        self._holding.close()

    def check(self, checkpoint: str | Path | None, overwrite: bool) -> None:
        """Checks before training that results can be published. Complete ones that only lack their names get them.

        Args:
            checkpoint: the checkpoint from which the search resumes.
            overwrite: whether earlier results, and unfinished work of other searches, may be replaced.

        Raises:
            FileExistsError: an existing folder is in the way, and may not be replaced.
        """
        for place in self._places:
            if os.path.lexists(place.partial) and not is_unfinished(place.partial):
                raise FileExistsError(
                    f"result.path: {place.partial} is needed to work in, and is kept, since it is no unfinished "
                    f"search{_contents(place.partial)}; rename it, or choose another path"
                )
        unfinished = self.partials[0] / CHECKPOINT
        self._resumed = checkpoint is not None and Path(checkpoint).resolve() == unfinished.resolve()
        self._replaces = overwrite or self._goes_on(checkpoint)
        partials = [partial for partial in self.partials if partial.is_dir()]
        if partials and not self._resumed and all(map(is_complete, partials)):
            self.publish()
            names = ", ".join(map(str, partials))
            rank_zero_info(f"{names}: complete, but for the name, when its search was killed. It has its name now.")
            self._replaces = overwrite
        self._drop_checkpoint()
        if unfinished.exists() and not self._resumed and not overwrite:
            raise FileExistsError(
                f"result.path: {unfinished.parent} holds a search that did not end; go on with\n"
                f"  {how_to_go_on(unfinished.parent)}\nor set --result.overwrite=true"
            )
        refused = []
        for place in self._places:
            try:
                place.check(self._replaces)
            except FileExistsError as error:
                refused.append(str(error))
        if refused:
            raise FileExistsError("\n".join(refused))

    def check_start(self, starts: Sequence[Path]) -> None:
        """Checks that a search does not replace a result that it starts from: it could not go on or be repeated.

        Raises:
            ValueError: it would replace such a result.
        """
        folders = [folder.resolve() for folder in self.folders]
        for start in starts:
            if start.resolve() in folders:
                raise ValueError(
                    f"start: {start} is where the result goes (result.path), and a search needs what it starts from to "
                    "go on or to be repeated; choose another result.path"
                )

    def check_audio(self, overwrite: bool, songs: Sequence[Path] = ()) -> None:
        """Checks that a prediction replaces nothing that is to be kept, and becomes no track of a song.

        Args:
            overwrite: whether an earlier prediction may be replaced.
            songs: folders of the songs.

        Raises:
            FileExistsError: the prediction would replace something that is to be kept.
            ValueError: the prediction would be among the tracks.
        """
        tracks = {file.path.resolve().parent for song in songs for file in list_tracks(song)}
        for folder in self.folders:
            if folder.resolve() in tracks:
                raise ValueError(f"result.path: in {folder} the mix would be among the tracks; choose another folder")
            if os.path.lexists(folder) and not folder.is_dir():
                raise FileExistsError(f"result.path: {folder} is no folder and is kept; choose another path")
            existing = [str(folder / name) for name in FOUND_AUDIO if (folder / name).exists()]
            if existing and not overwrite:
                raise FileExistsError(f"result.path: {', '.join(existing)} exists and is kept; {_REMEDY}")

    def check_space(self, num_bytes: int) -> None:
        """Checks that the disk has room for `num_bytes`; raises as `HeldPlace.check_space`."""
        self._places[0].check_space(num_bytes)

    def begin(self) -> None:
        """Makes the folders to work in; what others left there is removed, unless the search goes on with it."""
        for place in self._places:
            if not self._resumed:
                place.discard(place.partial)
            place.partial.mkdir(exist_ok=True)
            (place.partial / TIMINGS).unlink(missing_ok=True)  # it says that a result is complete
            for left in filter(is_temporary, list(place.partial.iterdir())):
                left.unlink()

    def take_logs(self, checkpoint: str | Path | None) -> None:
        """Copies the logs of the resumed search, where its checkpoint is in another folder than this search works in.

        Args:
            checkpoint: the checkpoint from which the search resumes; the first song's log is beside it. The log beside
                a kept console goes on with another search, and is left there.
        """
        if checkpoint is None or self._resumed or Path(checkpoint).name == CONSOLE:
            return
        earlier = Path(checkpoint).parent
        folders = [earlier, *(earlier.parent / folder.name for folder in self.folders[1:])]
        for folder, partial in zip(folders, self.partials, strict=True):
            if (folder / SEARCH_LOG).is_file():
                write_atomically(partial / SEARCH_LOG, (folder / SEARCH_LOG).read_bytes())

    def publish(self) -> None:
        """Gives complete results their names: the first one's, with the checkpoint, when all others stand.

        Raises:
            FileExistsError: by now a folder is in the way that may not be replaced. The results are kept, and the
                message names them.
        """
        for place in reversed(self._places):
            if not place.partial.is_dir():
                continue  # it has its name
            try:
                place.publish(place.partial, self._replaces or place.was_replacing)
            except FileExistsError as error:
                message = f"{error}\n{place.partial} is a complete result that lacks its name: rename one of the two"
                raise FileExistsError(message) from error
        self._drop_checkpoint()

    def what_is_left(self) -> str:
        """Says how to resume a search that failed; removes its folders where it cannot be resumed."""
        partials = [partial for partial in self.partials if partial.is_dir()]
        if partials and all(map(is_complete, partials)):
            return f"The result is complete in {', '.join(map(str, partials))}; run again, it gets its name."
        if (self.partials[0] / CHECKPOINT).exists():
            return f"The search did not end. To go on:\n  {how_to_go_on(self.partials[0])}"
        for place in self._places:
            place.discard(place.partial)
        return "The search ended before there was something to go on from."

    def _drop_checkpoint(self) -> None:
        """Removes the checkpoint from the result of a search that is done."""
        folder = self.folders[0]
        if (folder / CHECKPOINT).is_file() and is_complete(folder):
            try:
                timings = parse_json(read_text(folder / TIMINGS))
            except ValueError:  # damaged since: nobody knows
                return
            if isinstance(timings, dict) and timings.get("stopped") is False:
                (folder / CHECKPOINT).unlink()

    def _goes_on(self, checkpoint: str | Path | None) -> bool:
        """Whether a checkpoint is of this very search, stopped or killed, which may then replace its results."""
        folders = self.folders[0], self.partials[0]
        checkpoints = [(folder / CHECKPOINT).resolve() for folder in folders]
        unfinished = (folders[0] / CHECKPOINT).exists() or not folders[0].exists()
        return checkpoint is not None and unfinished and Path(checkpoint).resolve() in checkpoints


def default_path(song: Song) -> Path:
    """`results/SONG`, or, in a wandb sweep, `results/SONG_RUN`, so that its runs do not collide."""
    run = os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None
    return Path("results") / (f"{song.name}_{run}" if run else song.name)


def how_to_go_on(folder: Path) -> str:
    """Returns the command that resumes from a folder's checkpoint, or, for a search from Python, the argument."""
    folder = Path(os.path.abspath(folder))
    config, checkpoint = folder / CONFIG, folder / CHECKPOINT
    from_checkpoint = f"--ckpt_path {shlex.quote(str(checkpoint))}"
    if not config.is_file() or not is_config(config):
        state = "holds no settings of a search" if config.exists() else "is missing"
        return (
            f"python -m mixgraph fit OPTIONS {from_checkpoint}\n"
            f"where OPTIONS are those that the search was started with, since {config} {state}"
        )
    if not config.stat().st_size:
        return f"mixgraph.search.search(..., checkpoint={str(checkpoint)!r})"
    modules = "".join(f"--import {name} " for name in imported_extensions())
    return f"python -m mixgraph fit {modules}--config {shlex.quote(str(config))} {from_checkpoint}"


def _contents(path: Path) -> str:
    """Lists a folder's entries for a message; empty where there is no folder."""
    if path.is_symlink() or not path.is_dir():
        return ""
    names = sorted(entry.name for entry in path.iterdir())
    return f" (it holds {', '.join(names[:_SHOWN])}{f' and {len(names) - _SHOWN} more' if names[_SHOWN:] else ''})"
