"""Lightning callbacks of a search."""

from callbacks.iterative_pruning import IterativePruning
from callbacks.progress import SearchProgress
from callbacks.result_folder import ResultFolder
from callbacks.time_budget import TimeBudget

__all__ = ["IterativePruning", "ResultFolder", "SearchProgress", "TimeBudget"]
