import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from mnist_digits.evaluation.comparison import mcnemar

DIGITS = st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=1, max_size=80)


@given(rows=DIGITS)
def test_the_test_is_the_binomial_one_and_symmetric(rows: list[tuple[int, int, int]]):
    labels, first, second = np.array(rows).T
    found, swapped = mcnemar(labels, first, second), mcnemar(labels, second, first)
    only_first = sum(a == truth != b for truth, a, b in rows)
    only_second = sum(b == truth != a for truth, a, b in rows)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert (swapped.only_first, swapped.only_second) == (only_second, only_first)
    assert found.p_value == pytest.approx(swapped.p_value)
    smaller, both = min(only_first, only_second), only_first + only_second
    # The closed form: both tails of a fair coin.
    expected = min(1.0, 2 * scipy.stats.binom.cdf(smaller, both, 0.5)) if both else 1.0
    assert found.p_value == pytest.approx(expected)


def test_arrays_of_other_lengths():
    with pytest.raises(ValueError, match="expected equal shapes"):
        mcnemar(np.zeros(3), np.zeros(3), np.zeros(4))
