"""The rank correlations of the figure of weights and loss increases."""

import pytest
from scipy.stats import spearmanr

from mixgraph.report.loss_increases import rank_correlation

WEIGHTS = (0.9, 0.1, 0.5, 0.5, 0.2)


@pytest.mark.parametrize("rises", [(0.3, 0.1, 0.2, 0.0, -0.1), (0.0, 0.0, 0.0, 0.2, 0.1)])
def test_equal_values_share_their_ranks(rises) -> None:
    """Processors of silent tracks all have a loss increase of 0, whose order says nothing."""
    assert rank_correlation(WEIGHTS, rises) == pytest.approx(spearmanr(WEIGHTS, rises).statistic)


def test_there_is_none_of_equal_values_or_of_two() -> None:
    assert rank_correlation((0.1, 0.2, 0.3), (0.0, 0.0, 0.0)) is None
    assert rank_correlation((0.1, 0.2), (0.0, 1.0)) is None
