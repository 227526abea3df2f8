"""Files that come with the package beside its code: configurations, the demo song, the packages that stand next to it.

In a checkout, `configs`, `tools`, `callbacks` and `datamodules` stand beside `mixgraph`. In an installed wheel,
`callbacks` and `datamodules` do, too; `configs` and `tools`, whose names are too common for that, are in
`mixgraph/_shipped`. Nothing here imports torch.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from mixgraph.names import did_you_mean

PACKAGE = Path(__file__).resolve().parent
BESIDE = PACKAGE.parent
_IN_WHEEL = PACKAGE / "_shipped"
FOLDER = _IN_WHEEL if _IN_WHEEL.is_dir() else BESIDE
"""The folder that holds `configs` and `tools`."""


def configurations() -> list[str]:
    """The names of the configurations that come with mixgraph, such as `demo.yaml` and `consoles/esg.yaml`."""
    folder = FOLDER / "configs"
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml"))


def configuration(name: str) -> Path:
    """The file of a configuration: one of the user's own, or else one that comes with mixgraph.

    Args:
        name: a path, or the name of a configuration that comes with mixgraph, with or without `configs/` before it.

    Raises:
        FileNotFoundError: there is no such file or configuration.
    """
    if Path(name).is_file():
        return Path(name)
    shipped = FOLDER / "configs" / name.removeprefix("configs/")
    if shipped.is_file() and shipped.suffix == ".yaml":
        return shipped
    known = configurations()
    alike = [other for other in known if Path(other).stem == Path(name).stem]  # in a folder of ours
    beside = [str(path) for path in Path(name).parent.glob("*.y*ml")]
    hint = f" HINT: did you mean {' or '.join(alike)}?" if alike else did_you_mean(name, [*beside, *known])
    raise FileNotFoundError(
        f"config: {name} is no file, nor one of the configurations that come with mixgraph: {', '.join(known)}.{hint}"
    )


def song_path(path: str | Path) -> Path:
    """A song's path; `mixgraph/songs/demo_potassium`, and what is in it, is found wherever mixgraph is installed.

    Args:
        path: path of a song. One that exists is returned as it is.
    """
    as_given = Path(path)
    shipped = BESIDE / as_given
    demo = PACKAGE / "songs" / "demo_potassium"
    if not as_given.exists() and not as_given.is_absolute() and (shipped == demo or demo in shipped.parents):
        return shipped
    return as_given


def search_our_folders() -> None:
    """Makes imports find what stands beside mixgraph, after everything that is installed.

    For programs, not for libraries: it changes `sys.path`. The working folder is not on it, see `mixgraph.__main__`,
    unless it is the checkout itself.
    """
    sys.path += [str(folder) for folder in dict.fromkeys((BESIDE, FOLDER)) if str(folder) not in sys.path]


def neighbour(name: str) -> ModuleType:
    """The package `callbacks` or `datamodules` that stands beside this one.

    Where a package of the user's has the same name and is found first, ours is loaded as `mixgraph.callbacks` or
    `mixgraph.datamodules`, and both can be used.

    Raises:
        ImportError: it is not there: the installation is not complete.
    """
    file = BESIDE / name / "__init__.py"
    alias = f"mixgraph.{name}"
    if alias in sys.modules:
        return sys.modules[alias]
    specification = importlib.util.find_spec(name)
    if specification is not None and specification.origin is not None and Path(specification.origin).resolve() == file:
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(alias, file, submodule_search_locations=[str(file.parent)])
    if spec is None or spec.loader is None or not file.is_file():
        raise ImportError(f"{file} is missing: mixgraph is not installed completely", name=name)
    module = sys.modules[alias] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
