"""Write the model card: what the model is, its intended use, its figures, how to load it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.evaluation.schema import METRICS
from mfer_lightning.inference.export.licences import licence_note
from mfer_lightning.views import Views

#: Metrics of a result that the card shows, with their names in words.
_SHOWN = {
    "accuracy": "Accuracy",
    "mean_class_accuracy": "Mean-class accuracy",
    "macro_f1": "Macro F1",
    "nll": "Negative log-likelihood",
    "ece": "Expected calibration error",
}
_SHARES = ("accuracy", "mean_class_accuracy", "macro_f1", "ece")

_LIMITS = """\
## Intended use and limits

The model sorts *pictures of faces* by the expression that observers would name. It was made for research on facial
expression recognition, and for tools in which a wrong answer costs little and a person can correct it.

- **An expression is not an emotion.** What a face shows depends on situation, culture and person; the same feeling
  shows in many ways, and the same face can mean many things (Barrett, Adolphs, Marsella, Martinez, Pollak:
  *Psychological Science in the Public Interest* 20(1), 2019). The labels are opinions of annotators, who often
  disagree with each other.
- **Not for decisions about people**: hiring, schooling, policing, border control, insurance, credit, diagnosis, lie
  detection. In the European Union, AI systems that infer emotions at the workplace or in education institutions are
  prohibited, except for medical or safety reasons (Regulation (EU) 2024/1689, Article 5(1)(f)); elsewhere they
  count, as a rule, as high-risk (Annex III, point 1(c)), and the people exposed to them must be told (Article 50(3)).
  Other countries have rules of their own. Have your use checked.
- **Errors are not spread evenly.** The datasets of the field hold mostly pictures from the web, of which nobody
  knows what the people felt, and over-represent some groups of age, gender and origin; rare expressions tend to be told
  worst (see the figures by class, where there are any). How well it does on the people that you have in mind must be
  measured on them.
- **Faces must be aligned as in training** (below). Other crops, sizes or colour orders lower the accuracy without a
  warning. Tell those whose faces are processed, and keep no more than you need.
"""


def model_card(description: Mapping[str, Any], kind: str, notes: Mapping[str, Any] | None = None) -> str:
    """Write the card of an export.

    Args:
        description: the content of ``config.json``.
        kind: ``"safetensors"`` or ``"onnx"``.
        notes: measurements made while exporting to ONNX.

    Returns:
        Markdown with YAML front matter, as model hubs read it.
    """
    results = [r for r in description.get("results") or [] if isinstance(r, Mapping)]
    parts = [
        _front_matter(description, results, kind),
        _introduction(description),
        _LIMITS,
        _data(description),
        _figures(results),
        _preprocessing(description),
        *([_measured(notes)] if notes else []),
        _loading(kind, Views.of_metadata(description)),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _front_matter(description: Mapping[str, Any], results: list[Mapping[str, Any]], kind: str) -> str:
    dataset = str(description.get("dataset") or "unknown")
    front: dict[str, Any] = {
        "library_name": "mfer_lightning",
        "pipeline_tag": "image-classification",
        "license": "other",
        "license_name": "see-the-datasets-terms",
        "tags": ["facial-expression-recognition", "mfer", kind],
    }
    if results:
        front["model-index"] = [{"name": _name(description), "results": [_index_entry(r, dataset) for r in results]}]
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n"


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


def _name(description: Mapping[str, Any]) -> str:
    network = description["network"]
    return f"MFER ({network['backbone']['name']}, {network['attention']['name']}, {network['head']['name']})"


def _introduction(description: Mapping[str, Any]) -> str:
    names = ", ".join(description["class_names"])
    where = f", trained under `{description['protocol']}`" if description.get("protocol") else ""
    return (
        f"# {_name(description)}\n\nFacial expression recognition in {len(description['class_names'])} classes: {names}"
        f"{where}. Exported by mfer_lightning, an open implementation of MFER (Xu, Li, Yang, He, Luo: IEEE "
        "Transactions on Affective Computing 2024, doi 10.1109/TAFFC.2024.3458464).\n"
    )


def _data(description: Mapping[str, Any]) -> str:
    dataset, protocol = description.get("dataset"), description.get("protocol")
    config = description.get("config") or {}
    loss = (config.get("loss") or {}).get("name")
    lines = [
        "## Data and protocol",
        "",
        f"- Dataset: {dataset or 'not stated'}; protocol: {f'`{protocol}`' if protocol else 'not stated'}",
        f"- Licence of the data: {licence_note(dataset)}",
    ]
    if loss:
        lines.append(f"- Loss: {loss}; seed: {config.get('seed')}; epoch of the checkpoint: {description.get('epoch')}")
    if description.get("data_hash"):
        lines.append(f"- Hash of labels, splits and files: `{description['data_hash']}`")
    lines.append(
        "- Whether weights trained on these data may be passed on, and under which terms, is for you to check."
    )
    return "\n".join(lines) + "\n"


def _figures(results: list[Mapping[str, Any]]) -> str:
    if not results:
        return (
            "## Figures\n\nNo finished evaluation was found beside this checkpoint: measure it with `mfer evaluate`.\n"
        )
    lines = ["## Figures", ""]
    for result in results:
        words = Views.of_metadata(result).words
        averaged = f", {words}" if words else ""
        lines += [
            f"On **{result['split']}** of `{result['protocol']}` ({result['n']:,} faces{averaged}):",
            "",
            "| Metric | Value | 95% interval |",
            "|---|---|---|",
            *(_row(result, name) for name in _SHOWN if name in METRICS and result["metrics"].get(name) is not None),
            "",
        ]
        if result["split"] == "val":
            lines += ["This is a selection figure: the checkpoint was chosen on these faces.", ""]
        lines += [f"- {note}" for note in result.get("notes") or []] + ([""] if result.get("notes") else [])
    first = results[0]
    lines += ["| Class | Faces | Precision | Recall | F1 |", "|---|---|---|---|---|"]
    for name, row in first["per_class"].items():
        lines.append(
            f"| {name} | {row['n']:,} | " + " | ".join(_share(row[k]) for k in ("precision", "recall", "f1")) + " |"
        )
    return "\n".join(lines) + "\n"


def _row(result: Mapping[str, Any], name: str) -> str:
    show = _share if name in _SHARES else lambda v: f"{v:.4f}"
    ends = interval(result, name)
    between = "-" if ends is None else " to ".join(map(show, ends))
    return f"| {_SHOWN[name]} | {show(result['metrics'][name])} | {between} |"


def interval(result: Mapping[str, Any], metric: str) -> tuple[float, float] | None:
    """Return the 95% interval of a figure.

    Args:
        result: main entries of a result.
        metric: its name.

    Returns:
        The result's own interval; without one, Wilson's for the accuracy, else None.
    """
    stored = (result.get("intervals") or {}).get(metric)
    if isinstance(stored, Mapping):
        stored = (stored.get("low"), stored.get("high"))
    if isinstance(stored, (list, tuple)) and len(stored) == 2 and all(isinstance(v, (int, float)) for v in stored):
        return float(stored[0]), float(stored[1])
    value, n = result["metrics"].get(metric), result["n"]
    if metric == "accuracy" and value is not None and n > 0:
        return wilson(round(value * n), n)
    return None


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}%"


def _preprocessing(description: Mapping[str, Any]) -> str:
    said = description["preprocess"]
    size = f"resized to {said['size']} x {said['size']} ({said['interpolation']}" if said["size"] else "not resized ("
    size += ", with a filter against aliasing)" if said["antialias"] and said["size"] else ")"
    return "\n".join(
        [
            "## Preprocessing",
            "",
            f"- Alignment: {_alignment(description.get('alignment'))}",
            "- Input: uint8 RGB faces; everything below happens inside the model",
            f"- Size: {size}".replace(" ()", ""),
            *(["- Colour is taken out: the network was trained on grey faces"] if said["grey"] else []),
            f"- Colour order inside: {said['colour']}; mean {said['mean']}, standard deviation {said['std']} of 0..1",
            "",
        ]
    )


def _alignment(said: Any) -> str:
    if not isinstance(said, Mapping):
        return str(said or "not stated by the checkpoint: as its dataset comes")
    words = f"{said['template']}, crops {said['height']} pixels high, margin {said['margin']}, border {said['border']}"
    return words + (f"; {said['note']}" if said.get("note") else "")


def _measured(notes: Mapping[str, Any]) -> str:
    return "\n".join(["## Measured while exporting", "", *(f"- {line}" for line in notes["lines"]), ""])


def _loading(kind: str, views: Views) -> str:
    if kind == "onnx":
        code = (
            "from mfer_lightning.onnx import OnnxModel  # needs numpy, onnxruntime and pillow; no torch\n\n"
            'print(OnnxModel(".").predict(["aligned_face.png"]))'
        )
    else:
        code = (
            "from mfer_lightning import load_model\n\n"
            'model = load_model(".")  # this folder; photographs: `mfer predict checkpoint=. source=photo.jpg`'
        )
    text = f"## How to load\n\n```python\n{code}\n```\n"
    if views.words:
        text += (
            f"\nA face is {views.words}, which the lines above do by themselves; other programs take the mean of the "
            f"{views.count} pictures' logits, and the softmax of that.\n"
        )
    return text
