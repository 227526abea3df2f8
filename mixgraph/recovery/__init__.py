"""Comparison of a found graph with the graph that made the mix.

- `agreement`: the processors that both graphs have.
- `parameters`: the errors of the settings of these processors, in physical units.
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
