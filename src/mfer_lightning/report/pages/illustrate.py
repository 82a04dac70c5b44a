"""The figures of a section: groups of panels that stand side by side."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.evaluation.statistics import summarise_seeds
from mfer_lightning.figures.embedding import embed
from mfer_lightning.figures.learning_curves import Curve, read_curves
from mfer_lightning.figures.panels import (
    Dot,
    plot_bands,
    plot_differences,
    plot_dots,
    plot_small_confusion,
    plot_small_embedding,
    plot_small_reliability,
)
from mfer_lightning.figures.panels.curves import STYLES, band
from mfer_lightning.report.study.details import recalls
from mfer_lightning.report.study.feature_space import FeatureSpace
from mfer_lightning.report.study.overview import SHARES
from mfer_lightning.report.study.sections import Method, Section
from mfer_lightning.report.study.verdicts import signed

#: Methods that get panels of their own; with more, a page could not be read.
MOST_PANELS = 12
#: Embeddings, each of which takes seconds.
MOST_EMBEDDINGS = 6

#: Column of ``metrics.csv`` -> heading, unit, factor.
CURVES = {
    "val/accuracy": ("Accuracy on val", "accuracy (%)", 100.0),
    "train/loss": ("Training loss", "loss", 1.0),
    "val/nll": ("Negative log-likelihood on val", "nats", 1.0),
}


@dataclass(frozen=True)
class Picture:
    """One panel.

    Args:
        file: its PNG, relative to the report's folder.
        svg: the same for the page.
        alt: what it shows, in words.
    """

    file: str
    svg: str
    alt: str


@dataclass(frozen=True)
class Group:
    """Panels that belong together.

    Args:
        title: heading.
        caption: how to read them.
        pictures: at least one.
    """

    title: str
    caption: str
    pictures: tuple[Picture, ...]


class Illustrator:
    """Draws the figures of a section.

    Args:
        section: what to draw.
        folder: the report's folder.
    """

    def __init__(self, section: Section, folder: Path) -> None:
        self.section = section
        self.folder = folder
        self.pictured = self._pictured()
        left = len(section.methods) - len(self.pictured)
        self.few = f" Of {len(section.methods)} methods {len(self.pictured)} are shown." if left else ""

    def _pictured(self) -> list[Method]:
        """Choose the methods with panels: all, or the baseline and the highest means."""
        section = self.section
        if len(section.methods) <= MOST_PANELS:
            return list(section.methods)
        ranked = sorted(section.methods, key=lambda m: -float(np.mean(m.figures("accuracy") or [0.0])))
        kept = [section.baseline, *(m for m in ranked if m is not section.baseline)][:MOST_PANELS]
        return [m for m in section.methods if m in kept]

    def _picture(self, name: str, alt: str, draw: Callable[[Path], str]) -> Picture:
        safe = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80] or "figure"
        file = f"figures/{self.section.slug}/{safe}.png"
        return Picture(file, draw(self.folder / file), alt)

    def comparison(self) -> Group | None:
        """Main figures with intervals, and differences from the baseline."""
        pictures = []
        for name, heading in SHARES.items():
            dots = [dot for m in self.pictured if (dot := _dot(m, name, m is self.section.baseline))]
            if not dots:
                continue
            title = heading.removesuffix(" %")
            base = self.section.baseline.figures(name)
            told = "; ".join(f"{d.label} {d.mean:.1f}" for d in dots)
            pictures.append(
                self._picture(
                    name,
                    f"{title} of each method in per cent: {told}.",
                    lambda path, d=dots, t=title, b=base: plot_dots(  # type: ignore[misc]
                        d, path, t[0].upper() + t[1:], f"{t} (%)", 100 * float(np.mean(b)) if b else None
                    ),
                )
            )
        compared = self.section.comparisons
        dots = [
            Dot(
                m.short,
                100 * c.difference,
                None if c.low is None else 100 * c.low,
                None if c.high is None else 100 * c.high,
                verdict=c.verdict,
            )
            for m in self.pictured
            if (c := compared.get(m.label))
        ]
        if dots:
            told = "; ".join(f"{m.short} {signed(compared[m.label].difference)}, {compared[m.label].verdict}" for m in self.pictured if m.label in compared)  # fmt: skip # noqa: E501
            title = "Difference from the baseline"
            alt = f"{title} in points of accuracy: {told}."
            pictures.append(
                self._picture("difference", alt, lambda path: plot_differences(dots, path, title, "points"))
            )
        caption = (
            "Lines are 95% intervals: of the mean over seeds (left; of a single seed over faces), and of the difference "
            "over seeds and faces (last panel; ▲ better, ▼ worse, ● tie, ◆ undecided after Holm's correction). Small "
            f"dots are seeds, the dashed line is the baseline.{self.few}"
        )
        return Group("Figures with intervals", caption, tuple(pictures)) if pictures else None

    def curves(self) -> tuple[Group | None, list[str]]:
        """Learning curves, the mean over seeds with a band, and what could not be read."""
        found: dict[str, dict[str, list[Curve]]] = {}
        problems = []
        marks: dict[str, float] = {}
        shown = self.pictured[: len(STYLES)]
        for method in shown:
            chosen = [run.result["selection"]["epoch"] for run in method.runs]
            known = [float(epoch) for epoch in chosen if epoch is not None]
            if known:
                marks[method.short] = float(np.mean(known))
            for run in method.runs:
                path = run.folder / "metrics.csv"
                if not run.stored.trained or not path.is_file():
                    continue
                try:
                    curves = read_curves(path)
                except (UserError, ValueError, UnicodeDecodeError) as error:
                    problems.append(f"{run.folder.name}: no learning curves ({error})")
                    continue
                for name in CURVES:
                    if name in curves:
                        found.setdefault(name, {}).setdefault(method.short, []).append(curves[name])
        pictures = []
        for name, (title, unit, factor) in CURVES.items():
            bands = [b for label, curves_ in found.get(name, {}).items() if (b := band(label, curves_)) is not None]
            if bands:
                told = "; ".join(f"{b.label} from {factor * b.mean[0]:.3g} to {factor * b.mean[-1]:.3g}" for b in bands)
                pictures.append(
                    self._picture(
                        f"curve-{name}",
                        f"{title} over the epochs: {told}.",
                        lambda path, b=bands, t=title, u=unit, f=factor, m=marks if name.startswith("val/") else None: (  # type: ignore[misc]
                            plot_bands(b, path, t, u, f, m)
                        ),
                    )
                )
        few = f" {len(shown)} of {len(self.section.methods)} methods." if len(shown) < len(self.section.methods) else ""
        caption = (
            "Mean over seeds with a band of one standard deviation; dots stand at the mean selected epoch. Losses of "
            f"different methods hold different terms: compare their course, not their height.{few}"
        )
        return (Group("Learning curves", caption, tuple(pictures)) if pictures else None), problems

    def confusions(self) -> Group:
        """A confusion matrix for each method, summed over its seeds."""
        pictures = []
        for method in self.pictured:
            total = np.sum([np.asarray(run.result["confusion"]) for run in method.runs], axis=0)
            alt = f"Confusion matrix of {method.short}. {_largest_confusions(total, self.section.class_names)}"
            pictures.append(
                self._picture(
                    f"confusion-{method.short}",
                    alt,
                    lambda path, c=total, m=method: plot_small_confusion(  # type: ignore[misc]
                        c, self.section.class_names, path, m.short
                    ),
                )
            )
        caption = f"Share of each true class in per cent, over all seeds; rows are the truth.{self.few}"
        return Group("Confusion matrices", caption, tuple(pictures))

    def classes(self) -> Group:
        """The recall of each class with every method."""
        pictures = []
        for name, n in zip(self.section.class_names, self.section.support, strict=True):
            dots = []
            for method in self.pictured:
                values = recalls(method, name)
                if values and n:
                    mean = float(np.mean(values))
                    low, high = wilson(round(mean * n), n)
                    seeds = tuple(100 * v for v in values) if len(values) > 1 else ()
                    dots.append(Dot(method.short, 100 * mean, 100 * low, 100 * high, seeds))
            if dots:
                told = "; ".join(f"{d.label} {d.mean:.0f}" for d in dots)
                pictures.append(
                    self._picture(
                        f"recall-{name}",
                        f"Recall of {name} in per cent: {told}.",
                        lambda path, d=dots, t=f"{name} ({n:,} faces)": plot_dots(d, path, t, "recall (%)"),  # type: ignore[misc]
                    )
                )
        caption = (
            "Mean recall over seeds, which are the small dots. Lines are Wilson's 95% intervals for one network of that "
            f"recall on as many faces: what other faces would change.{self.few}"
        )
        return Group("Recall of each class", caption, tuple(pictures))

    def reliabilities(self) -> Group | None:
        """A reliability diagram for each method, its seeds joined."""
        pictures = []
        for method in self.pictured:
            tables = [run.predictions for run in method.runs if run.predictions is not None]
            if not tables:
                continue
            p, y = np.concatenate([t.probabilities for t in tables]), np.concatenate([t.label for t in tables])
            error = method.figures("ece")
            title = method.short + (f": ECE {100 * float(np.mean(error)):.1f}%" if error else "")
            sure, right = 100 * float(p.max(axis=1).mean()), 100 * float((p.argmax(axis=1) == y).mean())
            pictures.append(
                self._picture(
                    f"reliability-{method.short}",
                    f"Reliability of {title}. Mean confidence {sure:.1f}%, accuracy {right:.1f}%.",
                    lambda path, p=p, y=y, t=title: plot_small_reliability(p, y, path, t),  # type: ignore[misc]
                )
            )
        caption = (
            "Accuracy over confidence in ten bins of equal mass, all seeds joined; on the dashed line confidences can be "
            "believed, below it the network is surer than right. ECE is the mean of the seeds' own (15 bins)."
            f"{self.few}"
        )
        return Group("Reliability", caption, tuple(pictures)) if pictures else None

    def embeddings(self, space: FeatureSpace, method_name: str) -> Group | None:
        """Features in the plane side by side, a panel for each method."""
        pictures = []
        shown = [m for m in self.pictured if m.label in space.clouds][:MOST_EMBEDDINGS]
        for method in shown:
            cloud = space.clouds[method.label]
            plane = embed(cloud.feature, method_name)
            ratios = [m.ratio for m in space.overall[method.label] if m.ratio is not None]
            below = f"spread / distance {float(np.mean(ratios)):.2f}" if ratios else ""
            alt = f"Features of {method.short} in the plane, coloured by true class; {below or 'one class only'}."
            pictures.append(
                self._picture(
                    f"embedding-{method.short}",
                    alt,
                    lambda path, x=plane, c=cloud, m=method, b=below: plot_small_embedding(  # type: ignore[misc]
                        x, c.label, self.section.class_names, path, m.short, b
                    ),
                )
            )
        how = {"tsne": "t-SNE: neighbourhoods count, distances between clusters mean little", "pca": "PCA"}[method_name]
        caption = (
            f"Features of each method's first seed ({how}), as in the MFER paper's comparison of losses. The measure "
            "below each is taken in the whole feature space over all faces and seeds, not from the drawing."
        )
        if len(shown) < len(self.section.methods):
            caption += f" Of {len(self.section.methods)} methods {len(shown)} are shown."
        return Group("Features in the plane", caption, tuple(pictures)) if pictures else None


def _dot(method: Method, name: str, is_baseline: bool) -> Dot | None:
    values = method.figures(name)
    if not values:
        return None
    found = summarise_seeds(values)
    low, high = found.low, found.high
    if len(values) == 1 and name == "accuracy":
        n = int(method.runs[0].result["n"])
        low, high = wilson(round(values[0] * n), n)
    seeds = tuple(100 * v for v in values) if len(values) > 1 else ()
    ends = (None if low is None else 100 * max(low, 0.0), None if high is None else 100 * min(high, 1.0))
    return Dot(method.short, 100 * found.mean, *ends, seeds, verdict="" if is_baseline else "tie")


def _largest_confusions(confusion: np.ndarray, names: Sequence[str]) -> str:
    total = confusion.sum(axis=1, keepdims=True)
    share = np.divide(confusion, total, out=np.zeros(confusion.shape), where=total > 0)
    np.fill_diagonal(share, 0)
    order = np.argsort(-share, axis=None)[:3]
    pairs = [np.unravel_index(i, share.shape) for i in order if share.flat[i] > 0]
    if not pairs:
        return "No confusions."
    return (
        "Largest confusions: " + ", ".join(f"{names[i]} as {names[j]} {100 * share[i, j]:.0f}%" for i, j in pairs) + "."
    )
