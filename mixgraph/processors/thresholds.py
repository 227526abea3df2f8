"""Thresholds of processors, which follow the level of the audio."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mixgraph.processors.collection import Processors


def moved_thresholds(
    processors: Processors, parameters: Mapping[str, Mapping[str, Tensor]], shift_db: float
) -> dict[str, dict[str, Tensor]]:
    """Adapts parameters to audio that is louder by `shift_db`: thresholds move along, so that all acts as before."""
    moved = {t: dict(values) for t, values in parameters.items()}
    for t, values in moved.items():
        for name, declared in processors[t].specification.items():
            if declared.follows_level:
                shifted = declared.to_unit(values[name]) + declared.follows_level * shift_db
                values[name] = declared.from_unit(shifted)
    return moved
