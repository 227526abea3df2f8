"""How well a found graph agrees with the one that made the mix: which processors, and set how."""

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
