"""Publishing of folders that are complete or absent: under a temporary name, checked, then renamed.

Around a folder NAME there may be, all beside it:

    .NAME.lock              held by the process that works there; says which one it is
    NAME.partial            the unfinished work of a search, which can go on
    .NAME.PID.partial       unfinished work that cannot go on; removed by the next process that works there
    .NAME.replaced          what is being replaced: the next process puts it back if NAME is missing, else removes it
    .NAME.PID.discarded     what is being removed
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixgraph.system.files import is_temporary, naming, read_text, sync_folder, sync_tree, temporary_path
from mixgraph.system.locks import locked

PARTIAL = ".partial"
_SHOWN = 5
_LONGEST_FILE = ".parameters.safetensors.0000000.partial"
JUNK = (".DS_Store", "Thumbs.db")  # that file managers leave in any folder


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder that can be published, with the rules by which such folders are recognised.

    Attributes:
        noun: name of such a folder in messages.
        foreign: returns the entries, out of a folder's, that a folder of this kind never has, or what is in them.
        is_whole: whether a folder of this kind has all its files.
        resumable: whether unfinished work is kept as NAME.partial, so that a later process can resume it.
    """

    noun: str
    foreign: Callable[[list[Path]], list[Path]]
    is_whole: Callable[[Path], bool]
    resumable: bool = False

    def foreign_names(self, folder: Path) -> list[str]:
        """Returns paths in a folder that no folder of this kind has; none if it is of this kind, or empty."""
        entries = [path for path in sorted(folder.iterdir()) if path.name not in JUNK and not is_temporary(path)]
        return [path.relative_to(folder).as_posix() for path in self.foreign(entries)]


def unlisted(entries: Iterable[Path], record: str, listed: Callable[[str], Iterable[str]]) -> list[Path]:
    """Returns the files that a folder's record does not list, in folders within, too; without a record, all entries.

    Args:
        entries: the entries of the folder.
        record: the name of the file that lists the others.
        listed: the paths that the record lists, relative to the folder, from its text; a ValueError, KeyError or
            TypeError says that it is no such record.
    """
    entries = list(entries)
    file = next((path for path in entries if path.name == record and path.is_file()), None)
    if file is None:
        return entries
    try:
        ours = {record, *listed(read_text(file, errors="replace"))}
    except (ValueError, KeyError, TypeError):
        return entries
    return [path for path in _files(entries) if path.relative_to(file.parent).as_posix() not in ours]


def _files(entries: Iterable[Path]) -> Iterator[Path]:
    for path in entries:
        if path.is_symlink() or not path.is_dir():
            yield path
        else:
            yield from _files(inner for inner in sorted(path.iterdir()) if inner.name not in JUNK)


class Place:
    """A path at which a folder is to be published.

    Args:
        target: the folder.
        kind: the kind of folder.
        option: the option that names the place, as messages call it: `result.path`.
        remedy: advice in the message where a folder exists and may not be replaced.

    Raises:
        ValueError: a name that no folder can be published under.
    """

    def __init__(self, target: Path, kind: FolderKind, option: str, remedy: str) -> None:
        if target.name in ("", "..") or target.name.endswith(PARTIAL):
            raise ValueError(
                f"{option}: the name of a folder is needed, which does not end in {PARTIAL}, got {str(target)!r}"
            )
        try:
            str(target).encode()
        except UnicodeEncodeError:
            raise ValueError(f"{option}: a path in UTF-8 is needed, got {str(target)!r}") from None
        self.target, self.kind, self.option, self.remedy = target, kind, option, remedy

    @property
    def partial(self) -> Path:
        """The folder in which a search works that can be resumed."""
        return self.target.with_name(self.target.name + PARTIAL)

    @property
    def _replaced(self) -> Path:
        return self.target.with_name(f".{self.target.name}.replaced")

    @contextmanager
    def held(self) -> Iterator[HeldPlace]:
        """Takes the place for this process, tidies up after ones that were killed, and tries whether it can be written.

        Raises:
            ValueError: another process works there; the message names it.
            FileExistsError: something that is not ours bears a name that is needed.
            OSError: the place cannot be written (read-only, a name that is too long, a file in place of a folder).
        """
        new_parents = _make_parents(self.target.parent, self.option)
        lock = self.target.with_name(f".{self.target.name}.lock")

        def busy(holder: str) -> str:
            return f"{self.option}: {self.target} is in use by {holder}; wait for its end, or choose another path"

        try:
            self._probe()
            with locked(lock, busy):
                place = HeldPlace(self)
                place.tidy()
                yield place
        finally:
            for folder in new_parents:  # empty where nothing was published
                try:
                    folder.rmdir()
                except OSError:
                    break

    def check(self, overwrite: bool) -> None:
        """Checks that a folder may be published here.

        Args:
            overwrite: whether an existing folder of the same kind may be replaced; nothing else ever is.

        Raises:
            FileExistsError: an entry of this name exists that may not be replaced.
        """
        if self.target.is_symlink():
            raise FileExistsError(
                f"{self.option}: {self.target} is a link (to {os.readlink(self.target)}); name the folder itself"
            )
        if not self.target.exists():
            return
        if not self.target.is_dir():
            raise FileExistsError(f"{self.option}: {self.target} is a file and is kept; a folder is needed")
        if not overwrite:
            raise FileExistsError(f"{self.option}: {self.target} exists and is kept; {self.remedy}")
        self.check_ours(self.target)

    def check_ours(self, folder: Path) -> None:
        """Checks that a folder is of this kind, so that it may be removed.

        Raises:
            FileExistsError: it is not of this kind; the message names what it holds.
        """
        if folder.is_symlink() or not folder.is_dir():
            raise FileExistsError(
                f"{self.option}: {folder} is no folder and is kept; rename it, or choose another path"
            )
        foreign = self.kind.foreign_names(folder)
        if foreign:
            shown = ", ".join(foreign[:_SHOWN]) + (f" and {len(foreign) - _SHOWN} more" if foreign[_SHOWN:] else "")
            raise FileExistsError(
                f"{self.option}: {folder} exists and is kept, since it is no {self.kind.noun} (it holds {shown}); "
                "name another folder"
            )

    def _probe(self) -> None:
        """Tries whether files with the longest names that publishing needs can be made here.

        Raises:
            OSError: they cannot be made; the error names the place and says what to do.
        """
        probe = temporary_path(self.target, "discarded")
        try:
            probe.mkdir()
            (probe / _LONGEST_FILE).touch()
        except OSError as error:
            reason = f"nothing can be written here ({error.strerror}); choose another path ({self.option})"
            raise OSError(error.errno, reason, str(self.target)) from error
        finally:
            shutil.rmtree(probe, ignore_errors=True)


class HeldPlace:
    """A place that this process holds; made by `Place.held`."""

    def __init__(self, place: Place) -> None:
        self.place, self.target, self.partial = place, place.target, place.partial
        self._replaced = place._replaced

    def check(self, overwrite: bool) -> None:
        """Checks that a folder may be published here; see `Place.check`."""
        self.place.check(overwrite)

    def new_work(self) -> Path:
        """Makes an empty folder to work in, and removes what an earlier process left under its name."""
        work = temporary_path(self.target)
        self.discard(work)
        work.mkdir()
        return work

    def tidy(self) -> None:
        """Removes the leftovers of processes that were killed while publishing; folders under replacement are put back.

        Raises:
            FileExistsError: a name that is needed belongs to something that is not ours.
        """
        for path in sorted(self.target.parent.iterdir()):
            if is_temporary(path, self.target.name):
                _remove(path)
        if not os.path.lexists(self._replaced):
            return
        self.place.check_ours(self._replaced)
        if os.path.lexists(self.target):
            self.discard(self._replaced)
        elif not self.was_replacing:
            os.replace(self._replaced, self.target)
            sync_folder(self.target.parent)

    @property
    def was_replacing(self) -> bool:
        """Whether a process was killed between the two renames of replacing: the new folder only lacks its name."""
        kind = self.place.kind
        return kind.resumable and self._replaced.is_dir() and kind.is_whole(self.partial)

    def check_space(self, num_bytes: int) -> None:
        """Checks that the disk has room for `num_bytes`, less what unfinished work holds, which is written over.

        Raises:
            OSError: the disk has less room.
        """
        free = shutil.disk_usage(self.target.parent).free
        if self.partial.is_dir():
            free += sum(path.stat().st_size for path in self.partial.iterdir() if path.is_file())
        if free < num_bytes:
            needed = f"about {num_bytes / 1e6:.1f} MB are needed, got {free / 1e6:.1f} MB of free space"
            raise OSError(errno.ENOSPC, f"{needed}; choose another path ({self.place.option})", str(self.target))

    def publish(self, work: Path, overwrite: bool) -> None:
        """Gives a complete folder its name. A folder that it replaces is kept until then, and put back on failure.

        Args:
            work: the folder, on the same disk.
            overwrite: whether an existing folder of the same kind may be replaced.

        Raises:
            FileExistsError: by now an entry of this name exists that may not be replaced. The work is kept, too.
            ValueError: the work lacks files.
        """
        if not self.place.kind.is_whole(work):
            raise ValueError(f"{work}: a whole {self.place.kind.noun} is needed, got {_names(work)}")
        self.place.check(overwrite)
        for path in sorted(work.iterdir()):
            if is_temporary(path):  # of a process that was killed here
                _remove(path)
        sync_tree(work)
        if self.target.exists():
            os.replace(self.target, self._replaced)
        try:
            with naming(self.target):
                os.replace(work, self.target)
        except BaseException:
            if self._replaced.exists() and not self.target.exists():
                os.replace(self._replaced, self.target)
            raise
        sync_folder(self.target.parent)
        self.discard(self._replaced)

    def discard(self, folder: Path) -> None:
        """Removes a folder, if it is there. At no moment is half of it left under its name."""
        if not os.path.lexists(folder):
            return
        discarded = temporary_path(self.target, "discarded")
        _remove(discarded)
        os.replace(folder, discarded)
        _remove(discarded)


@contextmanager
def publish_folder(place: Place, overwrite: bool) -> Iterator[Path]:
    """Gives an empty folder to write to, which has the place's name once the block ends without an error.

    Until then, and where anything fails, what is at the place stays; the unfinished folder is removed.

    Args:
        place: the path at which the folder is to be published.
        overwrite: whether an existing folder of the same kind may be replaced; nothing else ever is.

    Raises:
        FileExistsError: an entry of this name exists that may not be replaced.
        ValueError: another process works there, or the folder lacks files at the end.
        OSError: the place cannot be written.
    """
    with place.held() as held:
        held.check(overwrite)
        work = held.new_work()
        try:
            with _naming_target(work, held.target):
                yield work
            held.publish(work, overwrite)
        finally:
            held.discard(work)


@contextmanager
def _naming_target(work: Path, target: Path) -> Iterator[None]:
    """Lets errors name a file as it would have been named, and not in the folder to work in, which is removed."""
    try:
        yield
    except OSError as error:
        if not isinstance(error.filename, str) or not Path(error.filename).is_relative_to(work):
            raise
        path = target / Path(error.filename).relative_to(work)
        raise OSError(error.errno, error.strerror, str(path)) from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _make_parents(folder: Path, option: str) -> list[Path]:
    """Makes a folder and those above it; returns the ones that were missing, the innermost first."""
    missing = []
    place = folder
    while not os.path.lexists(place) and place != place.parent:
        missing.append(place)
        place = place.parent
    if place.is_symlink() and not place.exists():
        raise FileNotFoundError(f"{option}: {place} is a link to nothing ({os.readlink(place)})")
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
    return missing


def _names(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return ", ".join(names) or "nothing"
