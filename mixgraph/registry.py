"""Registries: a configuration names a sampler, an order or a front end, and the class of that name is found here.

A class from outside the package registers itself when its module is imported: by `--import MODULE` on the command line,
or because an installed package lists the module as an entry point of the group `mixgraph.plugins`.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Collection, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

from mixgraph.names import did_you_mean

PLUGINS = "mixgraph.plugins"
"""The group of entry points. Each names a module, which registers what it brings when it is imported."""


Kind = TypeVar("Kind")


class Registry(Generic[Kind]):
    """Classes of one kind, by name, in the order in which they were registered.

    Args:
        kind: name of the kind of class in messages and settings: `sampler`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._classes: dict[str, type[Kind]] = {}

    def register(self, kind: type[Kind]) -> type[Kind]:
        """Class decorator that makes a class known under its `name`.

        Raises:
            ValueError: the class has no name, or its name is taken by another class.
        """
        name = getattr(kind, "name", None)
        if not isinstance(name, str) or not name:
            raise ValueError(f"{self.kind} {kind.__name__}: a name is needed, such as name = 'mine', got {name!r}")
        if name in self._classes:
            raise ValueError(
                f"{self.kind} {kind.__name__}: name {name!r} is taken by {self._classes[name].__name__}; choose another"
            )
        self._classes[name] = kind
        return kind

    def registered(self) -> Mapping[str, type[Kind]]:
        """Returns all registered classes by name."""
        return dict(self._classes)

    def find(self, name: str) -> type[Kind]:
        """Returns the class of a name. Where it is unknown, installed plugins are imported first.

        Raises:
            ValueError: the name is unknown; the message lists the known ones.
        """
        if name not in self._classes:
            load_plugins()
        if name not in self._classes:
            raise ValueError(unknown_name(self.kind, name, self._classes))
        return self._classes[name]


def unknown_name(kind: str, name: str, known: Collection[str]) -> str:
    """Writes the message that a name is unknown, with the known ones and those that are close to it.

    >>> unknown_name("order", "wieght", ["random", "weight"])
    "order: one of random, weight, got 'wieght'. HINT: did you mean weight? One of yours needs --import MODULE"
    """
    return f"{kind}: one of {', '.join(known)}, got {name!r}. {name_hint(name, known)}"


def name_hint(name: str, known: Collection[str]) -> str:
    """Writes a hint on an unknown name: known names that are close to it, and how others become known."""
    hint = did_you_mean(name, known) or " HINT:"
    return f"{hint[1:]} One of yours needs --import MODULE"


@cache
def load_plugins() -> None:
    """Imports the modules of all installed plugins, once in a process.

    Raises:
        ValueError: a plugin cannot be imported; the message names the distribution that brought it.
    """
    for plugin in _plugins():
        try:
            plugin.load()
        except Exception as error:  # whatever a module of another package does when it is imported
            distribution = plugin.dist.name if plugin.dist is not None else "an unknown distribution"
            raise ValueError(
                f"plugin {plugin.name!r} ({plugin.value}) of {distribution} cannot be loaded: "
                f"{type(error).__name__}: {error}. HINT: repair or remove {distribution}"
            ) from error


def _plugins() -> list[EntryPoint]:
    """The entry points of what is installed; the working folder is searched for modules only, see `--import`."""
    path = [entry for entry in sys.path if entry not in _working_folders]
    points = [(point, dist) for dist in distributions(path=path) for point in dist.entry_points]
    return [point for point, _ in points if point.group == PLUGINS]


_imported: dict[str, None] = {}  # in order
_working_folders: set[str] = set()


def import_extension(name: str) -> None:
    """Imports a module of the user's by its dotted name, as `--import` asks; its classes register themselves.

    It is looked for among what is installed, and then in the working folder, where modules are looked for from now on.

    Raises:
        ValueError: there is no such module.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
        _working_folders.add(here)
    try:
        import_module(name)
    except ImportError as error:
        if error.name is not None and not name.startswith(error.name):
            raise  # an import inside the module fails: the traceback says where
        raise ValueError(
            f"import: no module is named {name!r} ({error}). HINT: a dotted name such as my_processors, "
            f"whose file is in {Path.cwd()} or installed"
        ) from error
    _imported[name] = None


def trusted_modules() -> tuple[str, ...]:
    """The modules from outside the package whose code runs: those of `import_extension`, and of installed plugins."""
    return tuple(dict.fromkeys((*_imported, *(plugin.module for plugin in _plugins()))))


def imported_extensions() -> tuple[str, ...]:
    """The modules of `import_extension`, in order: another process that goes on with this work needs them, too."""
    return tuple(_imported)


def carried_modules() -> tuple[ModuleType, ...]:
    """The top modules of `import_extension` that are not installed: other machines get them together with mixgraph."""
    modules = (sys.modules[top] for top in dict.fromkeys(name.partition(".")[0] for name in _imported))
    return tuple(module for module in modules if not _is_installed(module))


def _is_installed(module: ModuleType) -> bool:
    paths = list(getattr(module, "__path__", ())) or [module.__file__]
    if paths[0] is None:  # of the interpreter
        return True
    folder = Path(paths[0]).parent
    return folder.name in ("site-packages", "dist-packages") or folder == Path(sysconfig.get_paths()["stdlib"])
