"""Scores of label maps against counts by hand."""

import math

import numpy as np
import pytest

from util.metrics.segmentation import (
    class_accuracies,
    class_ious,
    class_precisions,
    confusion_matrix,
    mean_over_classes,
    mean_scores,
    pixel_accuracy,
    scores_by_class,
)

TRUTH = np.array([[0, 0, 0, 1], [1, 1, 2, 255]])
FOUND = np.array([[0, 0, 1, 1], [0, 1, 1, 2]])
# Counted by eye: of three 0s two are found and one is taken for 1; of three 1s two are found and one is taken
# for 0; the only 2 is taken for 1; the last pixel does not count; class 3 is nowhere.
MATRIX = np.array([[2, 1, 0, 0], [1, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])


def test_matrix_by_hand():
    assert np.array_equal(confusion_matrix(TRUTH, FOUND, 4), MATRIX)
    narrow = confusion_matrix(TRUTH.astype(np.uint8), FOUND.astype(np.uint8), 200)     # 2 * 200 fits no uint8
    assert np.array_equal(narrow[:4, :4], MATRIX) and narrow.sum() == 7


def test_scores_by_hand():
    assert pixel_accuracy(MATRIX) == pytest.approx(4 / 7)
    assert class_accuracies(MATRIX) == pytest.approx([2 / 3, 2 / 3, 0, math.nan], nan_ok=True)
    assert class_ious(MATRIX) == pytest.approx([2 / 4, 2 / 5, 0, math.nan], nan_ok=True)
    assert class_precisions(MATRIX) == pytest.approx([2 / 3, 2 / 4, math.nan, math.nan], nan_ok=True)
    assert mean_over_classes(class_accuracies(MATRIX)) == pytest.approx(4 / 9)
    assert mean_over_classes(class_ious(MATRIX)) == pytest.approx(3 / 10)


def test_scores_by_name_are_in_percent():
    assert mean_scores(MATRIX) == pytest.approx({
        "pixAcc": 100 * 4 / 7, "classAcc": 100 * 4 / 9, "mean IoU": 100 * 3 / 10,
        "mean precision": 100 * (2 / 3 + 2 / 4) / 2})
    found = scores_by_class(MATRIX, ["sky", "road", "car", "tree"])
    assert found["road"] == pytest.approx({"pixels": 300 / 7, "accuracy": 200 / 3, "IoU": 200 / 5})
    assert found["tree"]["pixels"] == 0 and math.isnan(found["tree"]["accuracy"])


def test_a_class_that_is_only_predicted_counts_against_iou_but_has_no_accuracy():
    matrix = confusion_matrix(np.zeros(4, int), np.array([0, 0, 0, 1]), 2)
    assert class_ious(matrix) == pytest.approx([3 / 4, 0])
    assert class_accuracies(matrix) == pytest.approx([3 / 4, math.nan], nan_ok=True)


def test_matrices_of_parts_add_up():
    parts = sum(confusion_matrix(TRUTH[:, i], FOUND[:, i], 4) for i in range(4))
    assert np.array_equal(parts, MATRIX)


def test_nothing_counted_is_nan():
    empty = confusion_matrix(np.full((2, 2), 255), np.zeros((2, 2), int), 3)
    assert math.isnan(pixel_accuracy(empty)) and math.isnan(mean_over_classes(class_ious(empty)))


@pytest.mark.parametrize(("truth", "found", "message"), [
    ([0, 1], [[0, 1]], "shapes"),
    ([0, 3], [0, 1], "truth has labels from 0 to 3, outside 0 to 2"),
    ([0, 1], [0, 255], "prediction has labels from 0 to 255, outside 0 to 2"),
    ([0, -1], [0, 1], "truth has labels from -1 to 0"),
])
def test_labels_that_are_no_class_are_named(truth, found, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(np.array(truth), np.array(found), 3)
