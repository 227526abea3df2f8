"""Settings that libraries take from the working folder by themselves, which may be someone else's folder: refused.

numba would load its cache, which is pickled, from a folder that `.numba_config.yaml` names; `matplotlibrc` can have
LaTeX run, and changes pictures; Weights & Biases would send the key of an account to a server that `wandb/settings`
names.
"""

from __future__ import annotations

import configparser
from pathlib import Path

_SETTINGS = {".numba_config.yaml": "numba", "matplotlibrc": "matplotlib"}
_TRACKER = (Path("wandb", "settings"), Path(".wandb", "settings"))
_TRACKER_HARMLESS = {"mode", "project", "entity", "disabled"}  # what its own commands write there, but for the server


def check_working_folder(allow_env: bool = False) -> None:
    """Checks that the working folder has no settings by which a library runs code, or sends secrets elsewhere.

    Args:
        allow_env: whether settings of others may make use of secrets of the environment.

    Raises:
        ValueError: it has some; the message names the file.
    """
    for name, library in _SETTINGS.items():
        if Path(name).exists():
            raise ValueError(
                f"{name}: {library} would take its settings from this file of the working folder, which can run code. "
                "HINT: work in another folder, or remove the file"
            )
    for path in _TRACKER:
        if not allow_env and path.is_file() and (names := _settings(path) - _TRACKER_HARMLESS):
            raise ValueError(
                f"{path}: sets {', '.join(sorted(names))}, and may send the key of your account elsewhere. "
                "HINT: --allow-env, if you trust the file; or work in another folder"
            )


def _settings(path: Path) -> set[str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (configparser.Error, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: settings of Weights & Biases are needed ({reason})") from error
    return {name for section in parser.sections() for name in parser[section]} | set(parser.defaults())
