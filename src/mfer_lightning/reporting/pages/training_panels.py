"""Draw the panels of a section that need more than results: learning curves and embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.metrics_csv import Curve, read_curves
from mfer_lightning.figures.embedding import embedding_panel
from mfer_lightning.figures.learning_curves import STYLES, band, curves_panel
from mfer_lightning.figures.plane import embed_all
from mfer_lightning.plurals import counted
from mfer_lightning.reporting.pages.panel_groups import Group, SectionPanels
from mfer_lightning.reporting.study.feature_space import FeatureSpace
from mfer_lightning.reporting.study.sections import Method

#: Maximum number of embeddings, each of which takes seconds.
MOST_EMBEDDINGS = 6

#: Column of ``metrics.csv`` -> heading, unit, factor.
CURVES = {
    "val/accuracy": ("Accuracy on val", "accuracy (%)", 100.0),
    "train/loss": ("Training loss", "loss", 1.0),
    "val/nll": ("Negative log-likelihood on val", "nats", 1.0),
}
EMBEDDINGS = {"tsne": "t-SNE: neighbourhoods are meaningful, distances between clusters are not", "pca": "PCA"}


def curve_panels(panels: SectionPanels) -> tuple[Group | None, list[str]]:
    """Draw learning curves, the mean over seeds with a band; also return notes on files that could not be read."""
    found: dict[str, dict[str, list[Curve]]] = {name: {} for name in CURVES}
    problems: list[str] = []
    shown = panels.methods[: len(STYLES)]
    for method in shown:
        for curves in _curves(method, problems):
            for name in CURVES:
                if name in curves:
                    found[name].setdefault(method.short, []).append(curves[name])
    marks = {m.short: mean for m in shown if (mean := _selected(m)) is not None}
    pictures = []
    for name, (title, unit, factor) in CURVES.items():
        bands = [b for label, curves_ in found[name].items() if (b := band(label, curves_)) is not None]
        if bands:
            told = "; ".join(f"{b.label} from {factor * b.mean[0]:.3g} to {factor * b.mean[-1]:.3g}" for b in bands)
            here = marks if name.startswith("val/") else None
            options = {"title": title, "unit": unit, "scale": factor, "marks": here}
            alt = f"{title} over the epochs: {told}."
            pictures.append(panels.picture(f"curve-{name}", alt, curves_panel, bands, **options))
    caption = (
        "Mean over seeds with a band of one standard deviation; dots mark the mean selected epoch. Losses of "
        "different methods have different terms, so compare the shapes of the curves, not their values."
        f"{panels.limit_note(len(shown))}"
    )
    return (Group("Learning curves", caption, tuple(pictures)) if pictures else None), problems


def begin_planes(
    panels: SectionPanels, space: FeatureSpace, how: str, progress: Callable[[str], None] = lambda _: None
) -> Callable[[], dict[str, NDArray[np.floating]]]:
    """Start computing the embeddings, in parallel with the drawing of other figures.

    Embeddings stored by runs are reused.

    Args:
        panels: determines which methods are drawn.
        space: result of :func:`mfer_lightning.reporting.study.feature_space.measure_features`.
        how: ``tsne`` or ``pca``.
        progress: called with a short description if embeddings are computed, which takes seconds per method.

    Returns:
        A function that waits for the points and returns them: method label -> (M,2).
    """
    shown = [m.label for m in panels.methods if m.label in space.clouds][:MOST_EMBEDDINGS]
    kept = {label: space.clouds[label].plane for label in shown if how == "tsne"}
    ready = {label: plane for label, plane in kept.items() if plane is not None}
    new = [label for label in shown if label not in ready]
    if new:
        progress(f"{panels.section.title}: embeddings of {counted(len(new), 'method')}")
    begun = embed_all([space.clouds[label].feature for label in new], how)
    return lambda: {**ready, **dict(zip(new, begun(), strict=True))}


def embedding_panels(
    panels: SectionPanels, space: FeatureSpace, how: str, planes: Mapping[str, NDArray[np.floating]]
) -> Group | None:
    """Draw 2-D embeddings of the features side by side, one panel per method.

    Args:
        panels: draws the panels.
        space: result of :func:`mfer_lightning.reporting.study.feature_space.measure_features`.
        how: ``tsne`` or ``pca``.
        planes: result of :func:`begin_planes`.
    """
    pictures = []
    shown = [m for m in panels.methods if m.label in planes]
    for method in shown:
        cloud = space.clouds[method.label]
        ratios = [m.ratio for m in space.overall[method.label] if m.ratio is not None]
        below = f"spread / distance {float(np.mean(ratios)):.2f}" if ratios else ""
        alt = f"Features of {method.short} in the plane, coloured by true class; {below or 'one class only'}."
        plane, names = planes[method.label], panels.section.class_names
        words = {"title": method.short, "below": below}
        name = f"embedding-{method.short}"
        pictures.append(panels.picture(name, alt, embedding_panel, plane, cloud.label, names, **words))
    caption = (
        f"Features of each method's first seed ({EMBEDDINGS[how]}), as in the MFER paper's comparison of losses. The "
        "ratio below each panel is computed in the full feature space over all faces and seeds, not from the drawing."
        f"{panels.limit_note(len(shown))}"
    )
    return Group("Features in the plane", caption, tuple(pictures)) if pictures else None


def _curves(method: Method, problems: list[str]) -> list[dict[str, Curve]]:
    found = []
    for run in method.runs:
        metrics = run.metrics()
        if not run.trained or metrics is None:
            continue
        try:
            found.append(read_curves(metrics))
        except (UserError, ValueError) as error:
            problems.append(f"{run.folder.name}: no learning curves ({error})")
    return found


def _selected(method: Method) -> float | None:
    epochs = [run.result["selection"]["epoch"] for run in method.runs]
    known = [float(epoch) for epoch in epochs if isinstance(epoch, (int, float))]
    return float(np.mean(known)) if known else None
