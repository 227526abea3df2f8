"""Lightning callbacks of a search."""

from .iterative_pruning import IterativePruning
from .progress import SearchProgress
from .result_folder import ResultFolder
from .stage_scores import StageScores
from .time_budget import TimeBudget

__all__ = ["IterativePruning", "ResultFolder", "SearchProgress", "StageScores", "TimeBudget"]
