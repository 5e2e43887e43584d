import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import classification_report, log_loss

from mnist_digits.evaluation import Metrics, confused_pairs, evaluate, mistakes, reliability


def predict(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Probabilities that are right about half the time."""
    random = np.random.default_rng(seed)
    scores = random.dirichlet(np.full(10, 0.5), len(labels)) + 0.4 * np.eye(10)[labels]
    return (scores / scores.sum(1, keepdims=True)).astype(np.float32)


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(7).integers(0, 10, 500).astype(np.uint8)


some_labels = st.lists(st.integers(0, 9), min_size=1, max_size=60).map(lambda digits: np.array(digits, np.uint8))


def assert_same(left: Metrics, right: Metrics) -> None:
    """Equal but for the order in which floats were summed."""
    assert left.confusion.tolist() == right.confusion.tolist()
    assert left.per_class == right.per_class
    assert (left.accuracy, left.count, left.interval95) == (right.accuracy, right.count, right.interval95)
    assert left.loss == pytest.approx(right.loss)
    assert left.calibration_error == pytest.approx(right.calibration_error)


def test_class_scores_are_those_of_scikit_learn(labels):
    probabilities = predict(labels)
    expected = classification_report(labels, probabilities.argmax(1), output_dict=True)
    metrics = evaluate(labels, probabilities)
    assert [scores.digit for scores in metrics.per_class] == list(range(10))
    for scores in metrics.per_class:
        row = expected[str(scores.digit)]
        found = (scores.precision, scores.recall, scores.f1, scores.count)
        assert found == pytest.approx((row["precision"], row["recall"], row["f1-score"], row["support"]))


def test_loss_is_the_cross_entropy_of_scikit_learn(labels):
    probabilities = predict(labels).astype(np.float64)
    probabilities /= probabilities.sum(1, keepdims=True)
    expected = log_loss(labels, probabilities, labels=range(10))
    assert evaluate(labels, probabilities).loss == pytest.approx(expected)


def test_a_sure_mistake_costs_much_but_not_infinitely_much():
    probabilities = np.eye(10, dtype=np.float32)[[3]]
    assert evaluate(np.array([4]), probabilities).loss == pytest.approx(-math.log(1e-7))


@pytest.mark.parametrize(("right", "count"), [(0, 5), (5, 5), (97, 100), (1, 3)])
def test_interval_is_wilsons_closed_formula(right, count):
    labels = np.zeros(count, int)
    read = np.where(np.arange(count) < right, 0, 1)
    z, share = 1.959963984540054, right / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    interval = evaluate(labels, np.eye(10)[read]).interval95
    assert interval == pytest.approx((centre - half, centre + half), abs=1e-12)


def test_calibration_error_by_hand():
    # Bin (0.6, 0.667]: confidence 0.62 and 0.66, one of two right. Bin (0.933, 1]: 0.98, right.
    confidence = np.array([0.62, 0.66, 0.98])
    probabilities = np.zeros((3, 10))
    probabilities[:, 0] = confidence
    probabilities[:, 1] = 1 - confidence
    labels = np.array([0, 1, 0])
    expected = 2 / 3 * abs(0.64 - 0.5) + 1 / 3 * abs(0.98 - 1)
    assert evaluate(labels, probabilities).calibration_error == pytest.approx(expected)
    bins = reliability(labels, probabilities)
    assert bins.count.tolist() == [0] * 9 + [2] + [0] * 4 + [1]
    assert bins.confidence[9] == pytest.approx(0.64)
    assert bins.accuracy[9] == 0.5
    assert np.isnan(bins.accuracy[0])


def test_a_confidence_on_an_edge_belongs_to_the_bin_below_it():
    probabilities = np.array([[0.8, 0.2] + [0.0] * 8])
    assert reliability(np.array([0]), probabilities).count[11] == 1


def test_a_sum_that_rounds_above_one_stays_in_the_last_bin():
    probabilities = np.zeros((1, 10), np.float32)
    probabilities[0, 4] = np.nextafter(np.float32(1), np.float32(2))
    assert reliability(np.array([4]), probabilities).count[-1] == 1


def test_a_perfect_model():
    labels = np.arange(10)
    metrics = evaluate(labels, np.eye(10, dtype=np.float32))
    assert (metrics.accuracy, metrics.loss, metrics.calibration_error) == (1, 0, 0)
    assert metrics.interval95[1] == 1
    assert confused_pairs(metrics.confusion) == []
    assert mistakes(labels, np.eye(10)).tolist() == []


def test_absent_classes_score_zero_without_a_warning():
    metrics = evaluate(np.array([3, 3]), np.eye(10)[[3, 5]])
    absent = metrics.per_class[7]
    assert (absent.precision, absent.recall, absent.f1, absent.count) == (0, 0, 0, 0)
    assert metrics.confusion.shape == (10, 10)


@settings(max_examples=25, deadline=None)
@given(some_labels, st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(labels, random):
    probabilities = predict(labels)
    order = np.array(random.sample(range(len(labels)), len(labels)))
    assert_same(evaluate(labels, probabilities), evaluate(labels[order], probabilities[order]))


@settings(max_examples=25, deadline=None)
@given(some_labels)
def test_confusion_accounts_for_every_image(labels):
    metrics = evaluate(labels, predict(labels))
    assert metrics.confusion.sum() == metrics.count == len(labels)
    assert metrics.confusion.sum(1).tolist() == np.bincount(labels, minlength=10).tolist()
    assert metrics.accuracy == np.trace(metrics.confusion) / len(labels)
    assert metrics.interval95[0] <= metrics.accuracy <= metrics.interval95[1]
    assert 0 <= metrics.calibration_error <= 1


@settings(max_examples=25, deadline=None)
@given(some_labels)
def test_mistakes_are_all_wrong_ones_most_confident_first(labels):
    probabilities = predict(labels)
    found = mistakes(labels, probabilities)
    assert sorted(found) == np.flatnonzero(probabilities.argmax(1) != labels).tolist()
    assert (np.diff(probabilities[found].max(1)) <= 0).all()


def test_mistakes_with_equal_confidence_keep_the_order_of_the_images():
    assert mistakes(np.array([1, 1, 0, 1]), np.eye(10)[[0, 0, 0, 0]]).tolist() == [0, 1, 3]


def test_confused_pairs_come_worst_first_and_ties_in_order():
    confusion = np.diag([50] * 10)
    for truth, predicted, count in ((4, 9, 7), (9, 4, 7), (2, 7, 8), (5, 3, 1)):
        confusion[truth, predicted] = count
    before = confusion.copy()
    assert confused_pairs(confusion) == [(2, 7, 8), (4, 9, 7), (9, 4, 7)]
    assert confused_pairs(confusion.tolist(), count=9) == [(2, 7, 8), (4, 9, 7), (9, 4, 7), (5, 3, 1)]
    assert (confusion == before).all()


def test_json_holds_the_contract_and_survives_a_round_trip(labels):
    metrics = evaluate(labels, predict(labels))
    stored = json.loads(json.dumps(metrics.to_json(), allow_nan=False))
    assert list(stored) == ["accuracy", "interval95", "loss", "count", "calibration_error", "per_class", "confusion"]
    assert stored["interval95"] == list(metrics.interval95)
    assert stored["confusion"] == metrics.confusion.tolist()
    assert list(stored["per_class"][3]) == ["digit", "precision", "recall", "f1", "count"]
    assert stored["per_class"][3]["recall"] == metrics.per_class[3].recall


GOOD = np.full((2, 10), 0.1, np.float32)


@pytest.mark.parametrize(
    ("labels", "probabilities", "words"),
    [
        (np.array([[1], [2]]), GOOD, r"labels: int64 \(2, 1\), expected integers \(n,\)"),
        (np.array([1.0, 2.0]), GOOD, "labels: float64"),
        (np.array([1, 2, 3]), GOOD, "3 labels but 2 rows"),
        (np.array([1, 10]), GOOD, "from 1 to 10, expected 0 to 9"),
        (np.array([-1, 1]), GOOD, "from -1 to 1, expected 0 to 9"),
        (np.array([1, 2]), GOOD[:, :9], r"float32 \(2, 9\), expected floats \(n, 10\)"),
        (np.array([1, 2]), np.eye(10, dtype=int)[:2], "int64"),
        (np.array([1, 2]), GOOD * 5, "sums to 5, expected .* after softmax"),
        (np.array([1, 2]), GOOD * [[-1] + [11 / 9] * 9], "from -0.1 to"),
        (np.array([1, 2]), GOOD * [[1], [np.nan]], r"NaN or infinite in 1 row\(s\), the first is 1, .* diverged"),
        (np.array([], int), GOOD[:0], "at least one image"),
    ],
)
def test_bad_input_is_refused_by_name(labels, probabilities, words):
    for function in (evaluate, reliability, mistakes):
        with pytest.raises(ValueError, match=words):
            function(labels, probabilities)


def test_slow_libraries_load_only_where_they_are_used():
    slow = "{'sklearn', 'scipy', 'matplotlib', 'seaborn', 'h5py', 'jinja2', 'pandas'}"
    code = (
        "import sys; from mnist_digits.evaluation import evaluate;"
        "from mnist_digits.evaluation.report_process import ReportProcess;"
        f"sys.exit(str({slow} & set(sys.modules)) if {slow} & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
