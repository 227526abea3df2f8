"""Settings that libraries take from the working folder by themselves, which may be someone else's folder: refused.

numba would load its cache, which is pickled, from a folder that `.numba_config.yaml` names; `matplotlibrc` can have
LaTeX run, and changes pictures; Weights & Biases and Comet would send the key of an account to a server that
`wandb/settings` or `.comet.config` names. Loggers ask git about the working folder, and its `.git/config` names
programs that git runs.
"""

from __future__ import annotations

import configparser
import os
from pathlib import Path

from mixgraph.system.files import read_text

_SETTINGS = {
    ".numba_config.yaml": ("numba", "work in another folder, or remove the file"),
    "matplotlibrc": (
        "matplotlib",
        "move it to your own folder of such settings (~/.config/matplotlib on Linux, ~/.matplotlib elsewhere), or work "
        "in another folder",
    ),
}
_TRACKER = (Path("wandb", "settings"), Path(".wandb", "settings"))
_TRACKER_HARMLESS = {"mode", "project", "entity", "disabled"}  # what its own commands write there, but for the server
_TRACKER_SERVER = ("base_url", "https://api.wandb.ai")  # what they write where the user has chosen no other
_COMET = Path(".comet.config")


def check_working_folder(allow_env: bool = False) -> None:
    """Checks that the working folder has no settings by which a library runs code, or sends secrets elsewhere.

    Args:
        allow_env: whether settings of others may make use of secrets of the environment.

    Raises:
        ValueError: it has some; the message names the file.
    """
    for name, (library, hint) in _SETTINGS.items():
        if Path(name).exists() and not Path(name).is_dir():
            raise ValueError(
                f"{name}: {library} would take its settings from this file of the working folder, which can run code. "
                f"HINT: {hint}"
            )
    if allow_env:
        return
    refused = {path: names for path in _TRACKER if path.is_file() and (names := _unsafe_settings(path))}
    refused |= {_COMET: {"what Comet does"}} if _COMET.is_file() else {}
    for path, names in refused.items():
        raise ValueError(
            f"{path}: sets {', '.join(sorted(names))}, and may send the key of your account elsewhere. "
            "HINT: --allow-env, if you trust the file; or work in another folder"
        )


def hide_repository() -> None:
    """Has git see no repository, in this process and those that it starts: loggers look for one in the working folder.

    Settings in `.git/config` (`core.fsmonitor`, `diff.external`) name programs, which git runs.
    """
    os.environ["GIT_DIR"] = os.devnull
    os.environ["WANDB_DISABLE_GIT"] = "true"


def _unsafe_settings(path: Path) -> set[str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(path))
    except (configparser.Error, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: settings of Weights & Biases are needed ({reason})") from error
    settings = [item for section in parser for item in parser[section].items()]
    return {
        name
        for name, value in settings
        if name not in _TRACKER_HARMLESS and (name, value.rstrip("/")) != _TRACKER_SERVER
    }
