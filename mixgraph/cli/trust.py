"""What a configuration may do: which classes it may name, and whether it sees the environment.

A configuration may come from someone else, as part of a result or a data set. It names classes of mixgraph and of
Lightning. Classes of other modules run code of others, and are named only after the user has named their module, by
`--import MODULE` on the command line, or has installed it as a plugin. `${oc.env:NAME}` is refused without
`--allow-env`, for a value of the environment may be a secret, and settings are saved with results. The name that
Weights & Biases gives a run is none, and keeps the folders of runs apart.
"""

from __future__ import annotations

import os
import re
from typing import Any

from jsonargparse import set_parsing_settings
from omegaconf import OmegaConf

from mixgraph.cli.arguments import env_is_allowed
from mixgraph.registry import trusted_modules

_OURS = ("mixgraph", "callbacks", "datamodules", "lightning", "torch.optim")
_SERVERS = ("settings", "tracking_uri", "artifact_location", "proxies")  # of wandb, MLflow, Neptune
_NO_SECRETS = ("WANDB_RUN_ID",)
_DENIED = re.compile(r"Importing '([^']+)' is not allowed")


def restrict_configurations() -> None:
    """Restricts what Lightning's parser takes from a configuration; to be called after modules were imported."""
    set_parsing_settings(
        import_path_denylist=["*"],
        import_path_allowlist=[*_OURS, *trusted_modules()],
        instantiate_subclass_spec_in_any=False,
        omegaconf_absolute_to_relative_paths=True,
    )
    if not env_is_allowed():
        OmegaConf.register_resolver("oc.env", _refuse, replace=True, annotation_validation="off")


def check_class(option: str, class_path: str) -> None:
    """Checks that a configuration may name a class, before its module is imported.

    Args:
        option: the setting that names it, for the message.
        class_path: module and class, with a dot between them.

    Raises:
        ValueError: the module is not trusted.
    """
    if not any(f"{class_path}.".startswith(f"{module}.") for module in (*_OURS, *trusted_modules())):
        raise ValueError(f"{option}: {untrusted_class(class_path)}")


def check_loggers(loggers: Any) -> None:
    """Checks that no logger of a configuration names its server: `settings` of Weights & Biases, MLflow's addresses.

    The server gets the key of the user's account, which the logger takes from the environment. An address that the
    environment names, which is MLflow's default, is the user's own.

    Args:
        loggers: the value of `trainer.logger`: a logger's class with its arguments, a list of them, or neither.

    Raises:
        ValueError: a logger has them, without `--allow-env`.
    """
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        parts = [logger.get(part) for part in ("init_args", "dict_kwargs")] if hasattr(logger, "get") else []
        stated = [(name, part.get(name)) for part in parts if part is not None for name in _SERVERS]
        for name, value in stated:
            if value not in (None, os.environ.get("MLFLOW_TRACKING_URI")) and not env_is_allowed():
                raise ValueError(
                    f"trainer.logger: {name} may send the key of your account elsewhere. HINT: --allow-env, if you "
                    "trust the configuration"
                )


def untrusted_class(class_path: str) -> str:
    """Says why a class is not used, and how it would be.

    >>> untrusted_class("my_parts.MyLogger")
    'my_parts.MyLogger is of neither mixgraph nor Lightning. HINT: --import my_parts, if you trust that module'
    """
    module = class_path.rpartition(".")[0]
    return f"{class_path} is of neither mixgraph nor Lightning. HINT: --import {module}, if you trust that module"


def denied_class(message: str) -> str | None:
    """The class that the parser refused, from its message; None where it complains of something else."""
    denied = _DENIED.search(" ".join(message.split()))
    return denied[1] if denied is not None else None


def _refuse(name: str, *default: str) -> str:
    if name in _NO_SECRETS and (name in os.environ or default):
        return os.environ.get(name, *default)
    raise ValueError(f"${{oc.env:{name}}} asks for the environment. HINT: --allow-env, if you trust the configuration")
