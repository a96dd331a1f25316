"""Scores of predicted label maps against the true ones, all computed from one confusion matrix."""

import numpy as np

IGNORED = 255  # the label of pixels that do not count


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """The numbers of pixels of true class i that were predicted as class j, int64 [classes, classes].

    truth, predicted: integers of one shape. Pixels whose truth is IGNORED are left out, as in the Cityscapes
    benchmark. Raises ValueError for shapes that differ and for any other label outside 0 to classes - 1: a
    prediction has to give a class to every pixel that counts.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"label maps of shapes {truth.shape} and {predicted.shape} cannot be compared")
    counted = truth != IGNORED
    truth, predicted = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
    for name, labels in (("truth", truth), ("prediction", predicted)):
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(f"the {name} has labels from {labels.min()} to {labels.max()}, "
                             f"outside 0 to {classes - 1}")
    return np.bincount(truth * classes + predicted, minlength=classes ** 2).reshape(classes, classes)


def pixel_accuracy(matrix: np.ndarray) -> float:
    """Share of pixels with the right class; NaN where no pixel counts."""
    return float(np.trace(matrix) / matrix.sum()) if matrix.sum() else float("nan")


def class_accuracies(matrix: np.ndarray) -> np.ndarray:
    """For each class the share of its true pixels that were found (recall); NaN for a class without any."""
    return _shares(np.diag(matrix), matrix.sum(axis=1))


def class_ious(matrix: np.ndarray) -> np.ndarray:
    """For each class intersection over union (Everingham et al. 2010); NaN for a class in neither map."""
    return _shares(np.diag(matrix), matrix.sum(axis=0) + matrix.sum(axis=1) - np.diag(matrix))


def class_precisions(matrix: np.ndarray) -> np.ndarray:
    """For each class the share of its predicted pixels that are right; NaN for a class never predicted."""
    return _shares(np.diag(matrix), matrix.sum(axis=0))


def mean_over_classes(shares: np.ndarray) -> float:
    """Mean over the classes whose share is not NaN; NaN where all are."""
    known = shares[~np.isnan(shares)]
    return float(known.mean()) if known.size else float("nan")


def mean_scores(matrix: np.ndarray) -> dict[str, float]:
    """The scores of the whole set by name, in percent; NaN where no pixel counts."""
    shares = {"pixAcc": pixel_accuracy(matrix), "classAcc": mean_over_classes(class_accuracies(matrix)),
              "mean IoU": mean_over_classes(class_ious(matrix)),
              "mean precision": mean_over_classes(class_precisions(matrix))}
    return {name: 100 * share for name, share in shares.items()}


def scores_by_class(matrix: np.ndarray, names: list[str]) -> dict[str, dict[str, float]]:
    """Class -> its share of all pixels, accuracy and IoU, in percent; NaN where it does not occur."""
    pixels = matrix.sum(axis=1) / max(matrix.sum(), 1)
    found = zip(names, pixels, class_accuracies(matrix), class_ious(matrix), strict=True)
    return {name: {"pixels": 100 * float(share), "accuracy": 100 * float(accuracy), "IoU": 100 * float(iou)}
            for name, share, accuracy, iou in found}


def _shares(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    return np.divide(parts, wholes, out=np.full(len(parts), np.nan), where=wholes > 0)
