"""How well a found graph agrees with the one that made the mix.

- `agreement`: which processors both graphs have.
- `parameters`: how far the settings of those are from each other, in physical units.
"""

from mixgraph.graph import GraphValues
from mixgraph.recovery.agreement import Agreement, GraphComparison, compare_graphs
from mixgraph.recovery.parameters import ParameterErrors, QuantityError, Setting, parameter_errors

__all__ = [
    "Agreement",
    "GraphComparison",
    "GraphValues",
    "ParameterErrors",
    "QuantityError",
    "Setting",
    "compare_graphs",
    "parameter_errors",
]
