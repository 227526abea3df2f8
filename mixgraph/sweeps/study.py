"""Optuna's memory of a sweep, a journal on the disk: what to try next, and which trials are bad enough to stop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixgraph.sweeps.space import Choice, Parameter, Values
from mixgraph.sweeps.sweep_file import Bands, Metric
from mixgraph.system.files import json_text, naming, write_atomically

JOURNAL = "journal.log"
_NAME = "sweep"
_LOCK_SECONDS = 30  # after which the lock of a process that was killed is taken over
_FIRST_DRAWS = 5  # trials by chance, before Optuna's sampler learns from those that have ended


class Study:
    """The study of a sweep; one process holds it, and those of the trials report to it, see `report`.

    Args:
        path: the path of the journal.
        metric: the figure that trials are compared by.
        parameters: the parameters of the sweep.
        seed: seeds Optuna's sampler, anew for each trial, so that a sweep that goes on suggests what it would have.

    Raises:
        ValueError: Optuna is not installed.
    """

    def __init__(self, path: Path, metric: Metric, parameters: Sequence[Parameter], seed: int) -> None:
        optuna = _optuna()
        self.path, self.parameters, self.seed = path, parameters, seed
        _repair(path)
        with _reading(path):
            self._storage = _storage(path)
            self._study = optuna.create_study(
                storage=self._storage, study_name=_NAME, direction=metric.goal, load_if_exists=True
            )
            self._study.get_trials(deepcopy=False)
        self._space = {parameter.name: _distribution(parameter) for parameter in parameters}

    @property
    def num_trials(self) -> int:
        """The number of trials that have values."""
        return len(self._study.get_trials(deepcopy=False))

    def values(self, number: int, values: Values | None = None) -> Values:
        """Returns the values of a trial: those that it has, or else the given ones, or those that Optuna suggests.

        Args:
            number: the number of the trial; all trials before it have values.
            values: the values of a trial of a grid or of chance; None to ask Optuna.
        """
        optuna = _optuna()
        if number >= self.num_trials:
            if values is None:
                params = self._suggested(number)
            else:
                params = {p.name: _stored(p, values[p.name]) for p in self.parameters}
            running = optuna.trial.TrialState.RUNNING
            # One line of the journal: a process that is killed leaves all values of a trial, or none.
            trial = optuna.trial.create_trial(state=running, params=params, distributions=self._space)
            with naming(self.path):
                self._study.add_trial(trial)
        params = self._study.get_trials(deepcopy=False)[number].params
        return {p.name: _plain(p, params[p.name]) for p in self.parameters}

    def _suggested(self, number: int) -> dict[str, Any]:
        """Returns what Optuna suggests for the trial of a number, as it keeps it."""
        optuna = _optuna()
        # A sampler that counts running trials as bad ones does not try the same beside them.
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=_FIRST_DRAWS, constant_liar=True, seed=(self.seed + number) % 2**32
        )
        in_memory = optuna.create_study(direction=self._study.direction, sampler=sampler)
        in_memory.add_trials(self._study.get_trials(deepcopy=False))
        params: dict[str, Any] = in_memory.ask(self._space).params
        return params

    def finish(self, number: int, value: float | None) -> None:
        """Tells Optuna the value of a trial, or None if it was stopped; does nothing if it knows already."""
        optuna = _optuna()
        if self._study.get_trials(deepcopy=False)[number].state.is_finished():
            return
        with naming(self.path):
            if value is None:
                self._study.tell(number, state=optuna.trial.TrialState.PRUNED)
            else:
                self._study.tell(number, value)


def report(journal: Path, number: int, stage: int, value: float, bands: Bands) -> bool:
    """Reports how good a trial is after a stage; returns whether to stop it. For the process of the trial.

    At stages `first`, `first * eta`, ... a trial goes on only if it is among the best 1/eta of those that got there
    (asynchronous successive halving, Li et al. 2020), which is what Weights & Biases calls hyperband.

    Args:
        journal: the path of the study's journal.
        number: the number of the trial.
        stage: the number of stages that it has trained.
        value: its metric after that stage.
        bands: when trials are compared.
    """
    optuna = _optuna()
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=bands.first, reduction_factor=bands.eta)
    study = optuna.load_study(
        storage=_storage(journal), study_name=_NAME, sampler=optuna.samplers.RandomSampler(seed=0), pruner=pruner
    )
    frozen = study.get_trials(deepcopy=False)[number]
    trial = optuna.trial.Trial(study, frozen._trial_id)
    if stage not in frozen.intermediate_values:  # a trial that goes on from its checkpoint may pass a stage again
        with naming(journal):
            trial.report(value, stage)
    return bool(trial.should_prune())


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns every failure to read a journal into an error whose message names it."""
    try:
        with naming(path):
            yield
    except (OSError, MemoryError):
        raise
    except Exception as error:  # whatever Optuna trips over, its file has to be named
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{path}: is no journal of a sweep, or is damaged ({reason}). HINT: --out ANOTHER") from error


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise ValueError(
            "method: bayes, early_terminate: the package optuna is needed, and it is not installed. HINT: pip install "
            "'mixgraph[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _storage(path: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

    lock = JournalFileSymlinkLock(str(path), grace_period=_LOCK_SECONDS)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def _repair(path: Path) -> None:
    """Takes away what a killed process left: half a line at the end of the journal, and its lock."""
    for left in path.parent.glob(f"{path.name}.*"):
        left.unlink()
    data = path.read_bytes() if path.is_file() else b""
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        write_atomically(path, whole)


def _distribution(parameter: Parameter) -> Any:
    distributions = _optuna().distributions
    if isinstance(parameter, Choice):
        return distributions.CategoricalDistribution([_category(value) for value in parameter.values])
    if parameter.whole:
        return distributions.IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log)
    if parameter.step is not None and not parameter.log:
        steps = parameter.listed() or []
        return distributions.FloatDistribution(steps[0], steps[-1], step=parameter.step)
    return distributions.FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def _category(value: Any) -> Any:
    """A value as Optuna keeps it: lists and mappings as their JSON text."""
    return json_text(value) if isinstance(value, list | dict) else value


def _stored(parameter: Parameter, value: Any) -> Any:
    return _category(value) if isinstance(parameter, Choice) else value


def _plain(parameter: Parameter, stored: Any) -> Any:
    if isinstance(parameter, Choice):
        return next(v for v in parameter.values if _category(v) == stored and type(_category(v)) is type(stored))
    if parameter.step is not None:
        return min(parameter.listed() or [stored], key=lambda value: abs(value - stored))
    return stored
