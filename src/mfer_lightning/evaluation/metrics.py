"""Compute all metrics of a result from a table of predictions."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import cohen_kappa_score, confusion_matrix, precision_recall_fscore_support

from mfer_lightning.evaluation.calibration import expected_calibration_error
from mfer_lightning.evaluation.class_order import doubt_class_order
from mfer_lightning.evaluation.face_metrics import annotators, face_values
from mfer_lightning.evaluation.predictions import PADDING, Predictions
from mfer_lightning.evaluation.schema import ClassFigures, Evaluation
from mfer_lightning.evaluation.valence_arousal import valence_arousal_figures
from mfer_lightning.plurals import counted


def evaluate(predictions: Predictions) -> Evaluation:
    """Compute the metrics of a table of predictions.

    ========================  ==========================================================================
    accuracy                  fraction of correct predictions
    mean_class_accuracy       mean recall over classes
    macro_f1, weighted_f1     mean F1 over classes, unweighted or weighted by class size
    top2_accuracy             fraction of labels among the two largest logits
    cohen_kappa               agreement beyond chance; None if all labels and predictions are of one class
    nll                       mean negative log-likelihood of the label, in nats
    brier                     mean over samples of ``sum_k (p_k - [k = label])^2``, within [0, 2]
    ece                       expected calibration error, 15 bins of equal mass
    kl_to_votes               mean of ``KL(votes || p)`` in nats, if votes or soft targets exist
    cross_entropy_to_votes    mean of ``-sum_k votes_k log p_k`` in nats, if they exist
    ccc, rmse, sagr           for valence and arousal, if predicted and known (:mod:`.evaluation.valence_arousal`)
    ========================  ==========================================================================

    Classes without samples have no recall or F1: both are None and excluded from means. A class that is never predicted
    has precision 0, as in scikit-learn, or None if it has no samples either. Padding rows and rows without a label are
    ignored; ``notes`` lists everything that was ignored except padding rows, and reports a confusion matrix that
    suggests swapped class names (:mod:`.evaluation.class_order`).

    Args:
        predictions: the table; at least one row must have a label.

    Returns:
        Plain lists, dicts and numbers, ready for JSON. Rows of ``confusion`` are true classes, columns predictions.

    Raises:
        ValueError: if no row has a label.

    Example:
        >>> logits = [[2, 0], [0, 1], [3, 0], [0, 1]]
        >>> table = Predictions([0, 1, 2, 3], ["a", "b", "c", "d"], [0, 0, 0, 1], logits, ("anger", "fear"))
        >>> found = evaluate(table)
        >>> found["metrics"]["accuracy"], round(found["metrics"]["mean_class_accuracy"], 3), found["confusion"]
        (0.75, 0.833, [[2, 1], [0, 1]])
    """
    notes: list[str] = []
    real = predictions.select(predictions.index != PADDING)
    table = real.select(real.label >= 0)
    if not len(table):
        raise ValueError(
            f"Expected argument `predictions` to contain labels, but none of {counted(len(real), 'row')} has one."
        )
    if len(table) < len(real):
        notes.append(f"Left out: {counted(len(real) - len(table), 'row')} without a label.")

    names = table.class_names
    classes = np.arange(len(names))
    label, pred = table.label, table.pred
    means = {name: float(values[counted].mean()) for name, (values, counted) in face_values(table).items()}

    precision, recall, f1, count = precision_recall_fscore_support(label, pred, labels=classes, zero_division=0.0)
    present, predicted = count > 0, np.bincount(pred, minlength=len(names)) > 0
    if not present.all():
        absent = ", ".join(name for name, here in zip(names, present, strict=True) if not here)
        notes.append(f"No samples of {absent}: no recall, and left out of the means over classes.")
    if (present & ~predicted).any():
        silent = ", ".join(name for name, odd in zip(names, present & ~predicted, strict=True) if odd)
        notes.append(f"Never predicted: {silent} (precision counts as 0).")

    degenerate = present.sum() == 1 and (present == predicted).all()
    metrics: dict[str, float | None] = {
        "accuracy": float((pred == label).mean()),
        "mean_class_accuracy": float(recall[present].mean()),
        "macro_f1": float(f1[present].mean()),
        "weighted_f1": float(np.average(f1, weights=count)),
        "top2_accuracy": means["top2_accuracy"],
        "cohen_kappa": None if degenerate else float(cohen_kappa_score(label, pred)),
        "nll": means["nll"],
        "brier": means["brier"],
        "ece": expected_calibration_error(table.probabilities, label),
    }
    annotators(table, notes)
    metrics |= {name: value for name, value in means.items() if name not in metrics}  # for metrics on votes
    metrics |= valence_arousal_figures(table, notes)

    confusion = confusion_matrix(label, pred, labels=classes)
    doubt = doubt_class_order(confusion, names)
    if doubt is not None:
        notes.append(doubt.message)
    per_class: dict[str, ClassFigures] = {}
    for k, name in enumerate(names):
        per_class[name] = {
            "n": int(count[k]),
            "precision": float(precision[k]) if present[k] or predicted[k] else None,
            "recall": float(recall[k]) if present[k] else None,
            "f1": float(f1[k]) if present[k] else None,
        }
    return {
        "class_names": list(names),
        "n": len(table),
        "metrics": metrics,
        "per_class": per_class,
        "confusion": confusion.tolist(),
        "notes": notes,
    }
