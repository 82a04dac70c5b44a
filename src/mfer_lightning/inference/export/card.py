"""Write the model card: what the model is, intended use, results, how to load it. The template is card.md.j2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jinja2
import yaml

from mfer_lightning.bundled.export_results import export_results
from mfer_lightning.confidence import Confidence
from mfer_lightning.config.chosen import PARTS, kept_choices
from mfer_lightning.data.datasets.declaration import UNKNOWN_LICENCE
from mfer_lightning.data.datasets.registry import find_dataset
from mfer_lightning.evaluation.intervals import result_interval
from mfer_lightning.evaluation.schema import METRICS
from mfer_lightning.evaluation.valence_arousal import TITLES
from mfer_lightning.plurals import counted
from mfer_lightning.views import Views

#: Metrics on the card, with their names in words.
_SHOWN = {
    "accuracy": "Accuracy",
    "mean_class_accuracy": "Mean-class accuracy",
    "macro_f1": "Macro F1",
    "nll": "Negative log-likelihood",
    "ece": "Expected calibration error",
    **{name: title for name, (title, *_) in TITLES.items()},
}
_SHARES = ("accuracy", "mean_class_accuracy", "macro_f1", "ece", *(name for name, form in TITLES.items() if form[1]))


def model_card(description: Mapping[str, Any], kind: str, measured: Sequence[str] = ()) -> str:
    """Write the card of an export.

    Args:
        description: the content of ``config.json``.
        kind: ``"safetensors"`` or ``"onnx"``.
        measured: for exports to ONNX or in half precision: the comparisons made while exporting, one per line.

    Returns:
        Markdown with YAML front matter, as model hubs read it.
    """
    results = export_results(description)
    network = description["network"]
    choices = kept_choices(description.get("config") or {})
    parts = (str(choices.get(part) or network[part]["name"]) for part in PARTS if part in network)
    name = f"{str(network.get('name', 'mfer')).upper()} ({', '.join(parts)})"
    front: dict[str, Any] = {
        "library_name": "mfer_lightning",
        "pipeline_tag": "image-classification",
        **_licence(description),
        "tags": ["facial-expression-recognition", "mfer", kind],
    }
    if results:
        dataset = str(description.get("dataset") or "unknown")
        front["model-index"] = [{"name": name, "results": [_index_entry(r, dataset) for r in results]}]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mfer_lightning.inference.export", ""),
        autoescape=False,  # noqa: S701 - Markdown, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "averaged": lambda result: Views.of_metadata(result).words,
        "metric_rows": _metric_rows,
        "share": _share,
    }
    return environment.get_template("card.md.j2").render(
        said=description,
        kind=kind,
        name=name,
        front_matter=yaml.safe_dump(front, sort_keys=False, allow_unicode=True),
        licence=licence_note(description.get("dataset")),
        config=description.get("config") or {},
        augmentation=_augmentation(description.get("augmentation")),
        results=results,
        main=next((result for result in results if result["split"] == "test"), results[0] if results else None),
        confidences=list(calibration_in_words(description)),
        measured=measured,
        views=Views.of_metadata(description),
    )


def calibration_in_words(description: Mapping[str, Any]) -> Iterator[str]:
    """Describe in sentences how the confidences were calibrated; empty if they were not.

    Args:
        description: the content of ``config.json``, or a model's metadata.
    """
    said, stored = Confidence.of_metadata(description), description.get("calibration") or {}
    n = stored.get("n")
    number = counted(n, "face") if isinstance(n, int) else "? faces"
    where = _one_line(f"{stored.get('fitted_on') or 'validation faces'} ({number})")
    if said.temperature != 1:
        errors = [_number(stored.get(when), "ece") for when in ("before", "after")]
        ece = f", where the expected calibration error changes from {_share(errors[0])} to {_share(errors[1])}"
        yield (
            f"Logits are divided by a temperature of {said.temperature:.3f}, fitted on {where}"
            f"{'' if None in errors else ece}. The metrics of the run were computed without it; predicted emotions and "
            "accuracies are the same."
        )
    if said.threshold:
        uncertain = stored["uncertain"]
        shares = [_number(uncertain, name) for name in ("coverage", "error")]
        ends = uncertain.get("error_interval")
        known = isinstance(ends, (list, tuple)) and all(isinstance(end, (int, float)) for end in ends)
        interval = f" (95%: {' to '.join(map(_share, ends))})" if known else ""
        words = (
            f": there, {_share(shares[0])} of the faces reach it, and {_share(shares[1])} of these predictions are "
            f"wrong{interval}"
        )
        yield (
            f"A prediction with a probability below {said.threshold:.3f} is uncertain; the threshold was chosen on "
            f"{where}{'' if None in shares else words}."
        )


def _number(node: Any, name: str) -> float | None:
    """Return a number of a stored mapping; None if there is none."""
    value = node.get(name) if isinstance(node, Mapping) else None
    return float(value) if isinstance(value, (int, float)) else None


def _licence(description: Mapping[str, Any]) -> dict[str, str]:
    """Return the licence entries of a model card: the licence of the data, if training began with random weights."""
    known = find_dataset(description.get("dataset"))
    scratch = (description.get("config") or {}).get("weights") == "none"
    if known is not None and known.licence_id and scratch:
        return {"license": known.licence_id}
    return {"license": "other", "license_name": "see-the-datasets-terms"}


def licence_note(dataset: str | None) -> str:
    """Return the declared licence of a dataset as a sentence.

    Example:
        >>> licence_note("facs")
        'Synthetic faces, rendered by mfer_lightning (MIT licence); they do not depict real people.'
    """
    known = find_dataset(dataset)
    return UNKNOWN_LICENCE if known is None else known.licence


def _augmentation(described: Any) -> dict[str, Any] | None:
    """Format the training transforms recorded by ``albumentations.to_dict``, one line per transform."""
    whole = described.get("transform") if isinstance(described, Mapping) else None
    if whole is None:
        return None
    transforms = whole.get("transforms") if isinstance(whole, Mapping) else [whole]
    version = f"albumentations {described.get('__version__')}"
    return {"library": _one_line(version), "transforms": [_one_line(_call(t)) for t in transforms or ()]}


def _call(value: Any) -> str:
    """Format a recorded transform as the call that creates it; any other value unchanged."""
    if isinstance(value, list):
        return f"[{', '.join(_call(item) for item in value)}]"
    if not isinstance(value, Mapping) or "__class_fullname__" not in value:
        return str(value)
    name = str(value["__class_fullname__"]).rpartition(".")[2]
    return f"{name}({', '.join(f'{k}={_call(v)}' for k, v in value.items() if k != '__class_fullname__')})"


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("`", "'")[:1000]


def _index_entry(result: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    metrics = [
        {"type": name, "name": shown, "value": round(float(result["metrics"][name]), 4)}
        for name, shown in _SHOWN.items()
        if result["metrics"].get(name) is not None
    ]
    return {
        "task": {"type": "image-classification", "name": "Facial expression recognition"},
        "dataset": {"type": dataset, "name": str(result["protocol"]), "split": str(result["split"])},
        "metrics": metrics,
    }


def _metric_rows(result: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and interval of each metric."""
    for name, words in _SHOWN.items():
        value = result["metrics"].get(name)
        if name in (*METRICS, *TITLES) and value is not None:
            show = _share if name in _SHARES else "{:.4f}".format
            ends = result_interval(result, name)
            yield words, show(value), "-" if ends is None else " to ".join(map(show, ends))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}%"
