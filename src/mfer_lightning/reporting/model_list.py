"""``mfer models``: list the bundled models and the models of finished runs, with their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mfer_lightning.bundled.registry import BundledModel, bundled_models
from mfer_lightning.evaluation.intervals import result_interval
from mfer_lightning.evaluation.runs import StoredResult, find_results

#: Default folder of runs.
RUNS = "runs"


@dataclass(frozen=True)
class ListedModel:
    """One trained model and its main result.

    Args:
        name: value of ``checkpoint=`` that selects the model: a bundled name with version, or a run's folder.
        bundled: whether it comes with the package.
        default: whether it is the default model.
        dataset: dataset it was trained on.
        protocol: protocol of the result.
        split: split of the result.
        class_names: the emotions that it distinguishes.
        n: number of faces on which the result was measured.
        accuracy: accuracy; None if unknown.
        interval: 95% interval of the accuracy over faces, or None.
        parameters: number of parameters of the network; None if unknown.
        bytes: size of the weights file or the checkpoint.
    """

    name: str
    bundled: bool
    default: bool
    dataset: str | None
    protocol: str | None
    split: str | None
    class_names: tuple[str, ...]
    n: int | None
    accuracy: float | None
    interval: tuple[float, float] | None
    parameters: int | None
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def models(
    runs: str | Path | Sequence[str | Path] | None = RUNS, *, trained_on: str | None = None
) -> list[ListedModel]:
    """List the bundled models, then those of finished runs by protocol, split and decreasing accuracy.

    Args:
        runs: one or several folders of runs; None or ``"none"``: only bundled models. The default may be missing.
        trained_on: only models trained on this dataset.

    Returns:
        One entry per model. Runs without a checkpoint and folders that are not finished runs are left out.

    Raises:
        UserError: if a folder is missing, or a bundled model is damaged.
    """
    places = [] if runs is None or runs == "none" else [runs] if isinstance(runs, (str, Path)) else list(runs)
    if places == [RUNS] and not Path(RUNS).is_dir():
        places = []
    found = [_bundled(model, number == 0) for number, model in enumerate(bundled_models())]
    of_runs = [_of_run(result) for result in find_results(places).results if result.trained]
    found += sorted(
        (model for model in of_runs if model is not None),
        key=lambda model: (str(model.protocol), str(model.split), -(model.accuracy or 0.0), model.name),
    )
    return [model for model in found if trained_on in (None, model.dataset)]


def _bundled(model: BundledModel, default: bool) -> ListedModel:
    weights = model.checked() / "model.safetensors"
    said = model.description()
    own: dict[str, Any] = {"name": model.full_name, "bundled": True, "default": default}
    return ListedModel(
        **own, dataset=said.get("dataset"), **_figure(model.result()), class_names=tuple(said["class_names"]),
        bytes=weights.stat().st_size,
    )  # fmt: skip


def _of_run(stored: StoredResult) -> ListedModel | None:
    result, folder = stored.result, stored.folder / "checkpoints"
    names = ("best.ckpt", "last.ckpt") if result["selection"]["split"] is not None else ("last.ckpt", "best.ckpt")
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    if file is None:
        return None
    own: dict[str, Any] = {"name": str(stored.folder), "bundled": False, "default": False}
    return ListedModel(
        **own, dataset=result["dataset"], **_figure(result), class_names=tuple(result["class_names"]),
        bytes=file.stat().st_size,
    )  # fmt: skip


def _figure(result: Mapping[str, Any]) -> dict[str, Any]:
    if not result:
        return dict.fromkeys(("protocol", "split", "n", "accuracy", "interval", "parameters"))
    cost: Any = result.get("cost") or {}
    return {
        **{name: result[name] for name in ("protocol", "split", "n")},
        "accuracy": result["metrics"]["accuracy"],
        "interval": result_interval(result, "accuracy"),
        "parameters": cost.get("parameters"),
    }
