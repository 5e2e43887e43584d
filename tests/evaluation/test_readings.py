from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_digits.evaluation.readings import (
    DECLINED,
    Score,
    align,
    confuse_page,
    count_edits,
    interval,
    only_digits,
    score_page,
    score_pictures,
)

TEXTS = st.text("0123", max_size=6)
LINES = st.lists(st.text("012", min_size=1, max_size=4), max_size=4)


def distance(first: str, second: str) -> int:
    """Levenshtein's, as its definition has it."""

    @cache
    def between(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        return min(
            between(i - 1, j) + 1, between(i, j - 1) + 1, between(i - 1, j - 1) + (first[i - 1] != second[j - 1])
        )

    return between(len(first), len(second))


def fewest_changes(true: list[str], read: list[str]) -> int:
    """Over every way to pair lines in their order."""
    totals = []
    for count in range(min(len(true), len(read)) + 1):
        for left in combinations(range(len(true)), count):
            for right in combinations(range(len(read)), count):
                paired = sum(distance(true[i], read[j]) for i, j in zip(left, right, strict=True))
                alone = sum(len(line) for n, line in enumerate(true) if n not in left)
                totals.append(paired + alone + sum(len(line) for n, line in enumerate(read) if n not in right))
    return min(totals)


@pytest.mark.parametrize(
    ("true", "read", "expected"),
    [
        # Score(digits, mistaken, missed, invented, rows, exact)
        (["12 34", "5"], ["1234", "5"], Score(5, 0, 0, 0, 2, 2)),
        (["1234"], ["1274"], Score(4, 1, 0, 0, 1, 0)),
        (["1234"], ["134"], Score(4, 0, 1, 0, 1, 0)),
        (["1234"], ["12334"], Score(4, 0, 0, 1, 1, 0)),
        (["123", "456", "789"], ["123", "789"], Score(9, 0, 3, 0, 3, 2)),
        (["123", "789"], ["123", "00", "789"], Score(6, 0, 0, 2, 2, 2)),
        (["123", "456"], ["123456"], Score(6, 0, 3, 3, 2, 0)),
        (["123"], [], Score(3, 0, 3, 0, 1, 0)),
        ([], ["1", ""], Score(0, 0, 0, 1, 0, 0)),
        (["123"], ["Tel.: 1-2/3", "Name"], Score(3, 0, 0, 0, 1, 1)),
        # A line in the wrong place is both missed and invented.
        (["11", "2222"], ["2222", "11"], Score(6, 0, 2, 2, 2, 1)),
    ],
)
def test_scores_computed_by_hand(true: list[str], read: list[str], expected: Score):
    assert score_page(true, read) == expected


def test_accuracy_is_what_is_left_of_the_digits():
    assert Score(10, 1, 2, 1, 2, 0).accuracy == pytest.approx(0.6)
    assert Score(2, 0, 0, 5, 1, 0).accuracy == pytest.approx(-1.5)
    assert Score.total([Score(10, 1, 2, 1, 2, 0), Score(2, 0, 0, 5, 1, 1)]) == Score(12, 1, 2, 6, 3, 1)
    assert Score.total([]) == Score(0, 0, 0, 0, 0, 0)


def test_equally_cheap_pairings_keep_exact_rows():
    assert align(["1", "2"], ["2"]) == ((0, None), (1, 0))
    assert align(["1", "1"], ["1"]).count((None, 0)) == 0


def test_confusions_counted_by_hand():
    confusion = confuse_page(["12 34", "77"], ["1274", "7", "5"])
    expected = np.zeros((11, 11), int)
    # 3 as 7, a 7 that is missed, and a 5 that is not there.
    for wanted, found in [(1, 1), (2, 2), (3, 7), (4, 4), (7, 7), (7, 10), (10, 5)]:
        expected[wanted, found] += 1
    np.testing.assert_array_equal(confusion, expected)


@given(LINES, LINES)
def test_confusions_are_the_edits_of_the_score(true: list[str], read: list[str]):
    confusion, score = confuse_page(true, read), score_page(true, read)
    inside = confusion[:10, :10]
    assert inside.sum() - np.trace(inside) == score.mistaken
    assert (confusion[:10, 10].sum(), confusion[10, :10].sum()) == (score.missed, score.invented)
    written, found = "".join(true), "".join(read)
    assert confusion[:10].sum(1).tolist() == [written.count(str(digit)) for digit in range(10)]
    assert confusion[:, :10].sum(0).tolist() == [found.count(str(digit)) for digit in range(10)]


@given(TEXTS, TEXTS)
def test_changes_are_levenshteins(true: str, read: str):
    mistaken, missed, invented = count_edits(true, read)
    assert mistaken + missed + invented == distance(true, read)
    assert missed - invented == len(true) - len(read)
    assert count_edits(read, true) == (mistaken, invented, missed)


@given(LINES, LINES)
def test_lines_are_paired_with_the_fewest_changes(true: list[str], read: list[str]):
    score = score_page(true, read)
    assert score.mistaken + score.missed + score.invented == fewest_changes(true, read)
    assert 0 <= score.exact <= min(len(true), len(read))
    pairs = align(true, read)
    for side, lines in enumerate((true, read)):
        assert [pair[side] for pair in pairs if pair[side] is not None] == list(range(len(lines)))


@given(LINES)
def test_a_page_read_right_has_no_changes(lines: list[str]):
    assert score_page(lines, lines) == Score(sum(map(len, lines)), 0, 0, 0, len(lines), len(lines))


@given(LINES)
def test_spaces_and_letters_do_not_count(lines: list[str]):
    assert only_digits(" ".join(line) + "x" for line in [*lines, "no"]) == lines


def test_the_interval_holds_the_accuracy_and_narrows_with_more_pages():
    scores = [Score(10, 0, 0, 0, 1, 1), Score(10, 2, 0, 0, 1, 0)] * 5
    low, high = interval(scores)
    assert low < 0.9 < high
    closer = interval(scores * 20)
    assert low < closer[0] < 0.9 < closer[1] < high
    assert interval([Score(10, 1, 0, 0, 1, 0)] * 3) == pytest.approx((0.9, 0.9))


def test_pictures_are_scored_by_group():
    labels, digits = np.array([3, 3, 5, 8, 8]), np.array([3, 5, DECLINED, 8, 8])
    scores = score_pictures(labels, digits, ["a", "a", "a", "b", "b"])
    assert (scores.accuracy, scores.count, scores.misread, scores.declined) == (0.6, 5, 1, 1)
    assert scores.interval95 == pytest.approx((0.2307, 0.8824), abs=1e-4)  # Wilson's, computed by R's binom package
    assert scores.confusion[3].tolist() == [0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]
    assert scores.confusion[5, 10] == 1
    assert {name: part.accuracy for name, part in scores.groups.items()} == {"a": pytest.approx(1 / 3), "b": 1.0}
    assert score_pictures(labels, digits, ["a"] * 5).groups == {}
    assert score_pictures(labels, digits).to_json()["groups"] == {}


@pytest.mark.parametrize(("labels", "digits"), [([], []), ([1], [1, 2]), ([10], [1]), ([1], [-2])])
def test_pictures_that_cannot_be_scored(labels: list[int], digits: list[int]):
    with pytest.raises(ValueError, match="expected"):
        score_pictures(np.array(labels, int), np.array(digits, int))
