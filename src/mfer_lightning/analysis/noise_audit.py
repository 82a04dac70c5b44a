"""Audit the labels of a training set: list suspected label errors, and evaluate the list if true labels are known."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.analysis.judges import Judged, judge_training_set
from mfer_lightning.data.splits import make_splits
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.audit_measures import measure_ranking
from mfer_lightning.evaluation.confident_learning import LabelNoise, find_label_noise
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.runs import is_training
from mfer_lightning.figures.heat_map import plot_heat_map
from mfer_lightning.figures.suspect_sheet import Suspect, plot_suspects
from mfer_lightning.files import atomic_path, make_folder, write_json
from mfer_lightning.progress import status
from mfer_lightning.reporting.terminal.noise_audit import print_noise_audit

#: File name of the list of suspects.
TABLE = "suspects.csv"


@dataclass(frozen=True, eq=False)
class NoiseAudit:
    """Suspected label errors of a training set.

    Args:
        judged: the faces, with predictions of networks that were not trained on them.
        noise: the estimates of confident learning, indexed by position among the judged faces.
        given: (N,) int64 labels to audit, after any ``dataset.relabel`` and ``dataset.label_noise``.
        truth: (N,) int64 labels before label noise was added (``dataset.label_noise``); None if none was added.
        votes: (N,K) int64 annotators' votes by class; None if the dataset has none.
        folder: folder of the results.
        least_margin: as in :func:`~mfer_lightning.evaluation.confident_learning.find_label_noise`.
    """

    judged: Judged
    noise: LabelNoise
    given: NDArray[np.int64]
    truth: NDArray[np.int64] | None
    votes: NDArray[np.int64] | None
    folder: Path
    least_margin: float = 0.0

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K classes."""
        return self.judged.datamodule.class_names

    @property
    def paths(self) -> NDArray[np.str_]:
        """(N,) paths of the faces."""
        return self.judged.datamodule.index.path[self.judged.rows]

    def pairs(self) -> list[tuple[str, str, int]]:
        """Count suspects by given and suggested label.

        Returns:
            (given, suggested, number of faces), the most frequent pair first.
        """
        ranked, names = self.noise.ranked, self.class_names
        counted = Counter(zip(self.given[ranked].tolist(), self.noise.suggested[ranked].tolist(), strict=True))
        return [(names[a], names[b], count) for (a, b), count in sorted(counted.items(), key=lambda x: (-x[1], x[0]))]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``noise.json``: plain values, with None for NaN."""
        datamodule, noise, ranked = self.judged.datamodule, self.noise, self.noise.ranked
        found: dict[str, Any] = {
            "dataset": self.judged.config.get("name", datamodule.dataset),
            "protocol": datamodule.protocol.name,
            "data_hash": datamodule.data_hash,
            "checkpoints": list(self.judged.checkpoints),
            "judges": {"least": int(self.judged.judges.min()), "most": int(self.judged.judges.max())},
            "class_names": list(self.class_names),
            "faces": len(self.given),
            "suspected": len(ranked),
            "least_margin": self.least_margin,
            "estimated_rate": noise.rate,
            "thresholds": _plain(noise.thresholds),
            "confident_joint": noise.confident_joint.tolist(),
            "noise_matrix": [_plain(row) for row in noise.noise_matrix],
            "pairs": [{"given": a, "suggested": b, "faces": n} for a, b, n in self.pairs()],
        }
        if self.truth is not None:
            wrong, right = self.truth != self.given, self.noise.suggested == self.truth
            found["truth"] = {
                **measure_ranking(wrong[noise.order], len(ranked)),
                "suggested_rightly": int((wrong & right)[ranked].sum()),
            }
        if self.votes is not None:
            found["votes"] = self._votes()
        return found

    def _votes(self) -> dict[str, Any]:
        """Describe the annotators' votes: mean proportions for the given and the suggested label."""
        assert self.votes is not None
        total = np.maximum(self.votes.sum(axis=1), 1)
        rows = np.arange(len(self.given))
        shares = {
            "given": self.votes[rows, self.given] / total,
            "suggested": self.votes[rows, self.noise.suggested] / total,
        }
        parts = {"suspected": self.noise.suspected, "others": ~self.noise.suspected}
        found: dict[str, Any] = {
            part: {label: float(share[mask].mean()) if mask.any() else None for label, share in shares.items()}
            for part, mask in parts.items()
        }
        found["suggested_has_more"] = int((shares["suggested"] > shares["given"])[self.noise.suspected].sum())
        return found

    def write(self, faces: int = 12) -> Path:
        """Write the list of suspects, the predictions, the estimates and two figures.

        ``suspects.csv`` has one row per suspect, the most suspect first, with the columns ``path``, ``label``
        (suggested), ``given``, ``self_confidence``, ``margin`` and ``rank``; ``true`` if label noise was added; and
        ``votes_given`` and ``votes_label`` if the dataset has votes. ``dataset.exclude=`` and ``dataset.relabel=``
        accept this file. ``predictions_train.csv`` is the table of predictions for all judged faces, and ``noise.json``
        contains the estimates. ``figures/suspects.png`` shows the most suspect faces of each given label, and
        ``figures/noise_matrix.png`` the estimated noise matrix.

        Args:
            faces: maximum number of faces per given label in the contact sheet.

        Returns:
            The folder.

        Raises:
            UserError: if the folder cannot be written to.
        """
        make_folder(self.folder / "figures")
        self._write_table(self.folder / TABLE)
        self.predictions().to_csv(self.folder / "predictions_train.csv")
        matrix = self.noise.noise_matrix
        plot_heat_map(
            [_plain(row) for row in matrix],
            [["" for _ in row] for row in matrix],
            self.class_names,
            self.class_names,
            self.folder / "figures" / "noise_matrix.png",
            caption="estimated noise matrix (%): true label in rows, given label in columns",
        )
        sheet = self.folder / "figures" / "suspects.png"
        if len(self.noise.ranked):
            plot_suspects(self._suspects(faces), sheet, f"{self.judged.datamodule.protocol.name}: most suspect labels")
        else:
            sheet.unlink(missing_ok=True)  # from an earlier audit
        write_json(self.folder / "noise.json", self.to_dict())
        return self.folder

    def predictions(self) -> Predictions:
        """Return the table of predictions for all judged faces. Its logits are the logarithms of the probabilities."""
        index = self.judged.datamodule.index
        return Predictions(
            index=self.judged.rows,
            path=self.paths,
            label=self.given,
            logits=np.log(np.maximum(self.judged.probabilities, 1e-30)),
            class_names=self.class_names,
            votes=None if index.votes is None else index.votes[self.judged.rows],
            vote_names=index.vote_names,
        )

    def _write_table(self, path: Path) -> None:
        names, noise = self.class_names, self.noise
        with atomic_path(path) as part, part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            votes = ("votes_given", "votes_label") if self.votes is not None else ()
            true = ("true",) if self.truth is not None else ()
            writer.writerow(("path", "label", "given", "self_confidence", "margin", "rank", *true, *votes))
            for rank, i in enumerate(noise.ranked.tolist(), start=1):
                given, suggested = self.given[i], noise.suggested[i]
                numbers = f"{noise.self_confidence[i]:.6f}", f"{noise.margin[i]:.6f}", rank
                further = [] if self.truth is None else [names[self.truth[i]]]
                if self.votes is not None:
                    further += [self.votes[i, given], self.votes[i, suggested]]
                writer.writerow((self.paths[i], names[suggested], names[given], *numbers, *further))

    def _suspects(self, faces: int) -> list[tuple[str, list[Suspect]]]:
        """Read the most suspect faces of each given label."""
        datamodule, ranked, names = self.judged.datamodule, self.noise.ranked, self.class_names
        source = datamodule.make_source(datamodule.index)
        rows = []
        for k, name in enumerate(names):
            mine = ranked[self.given[ranked] == k][:faces].tolist()
            drawn = [Suspect(source.read(int(self.judged.rows[i])), names[self.noise.suggested[i]]) for i in mine]
            if drawn:
                rows.append((name, drawn))
        return rows


def audit_labels(
    checkpoints: str | PathLike[str] | Sequence[str | PathLike[str]] | None,
    *,
    output: str | Path | None = None,
    runs: str | Path = "runs",
    faces: int = 12,
    margin: float = 0.0,
    show: bool = True,
    **options: Any,
) -> NoiseAudit:
    """Find suspected label errors in a training set; write and print them.

    Args:
        checkpoints: runs, checkpoints or folders of runs that were trained on parts of the training set
            (``dataset.hold_out=1/3``, ``2/3``, ``3/3``).
        output: folder; None: ``noise-<protocol>-<hash>`` in ``runs``, with a hash of the data and the checkpoint paths.
        runs: folder of runs.
        faces: maximum number of faces per given label in the contact sheet.
        margin: within [0, 1); if positive, a face is listed only if another class is more probable than its given label
            by at least this much.
        show: whether to print a summary.
        **options: options of :func:`~mfer_lightning.analysis.judges.judge_training_set`.

    Returns:
        The audit, after writing it.

    Raises:
        UserError: if the margin is outside [0, 1) or the folder is unsuitable, and as in
            :func:`~mfer_lightning.analysis.judges.judge_training_set`.
    """
    if not 0 <= margin < 1:
        raise UserError(f"margin={margin}: the value must be at least 0 and below 1, e.g. 0.6.")
    named = [checkpoints] if isinstance(checkpoints, (str, PathLike)) else list(checkpoints or [])
    if output is not None and is_training(Path(output).expanduser()):
        raise UserError(f"output={output} is the folder of a training run. Choose another folder for the audit.")
    with status("reading labels") as say:
        judged = judge_training_set(named, progress=say, **options)
    folder = Path(output) if output else Path(runs) / _name(judged)
    audit = audit_judged(judged, folder.expanduser(), margin)
    root = judged.datamodule.index.root
    if root.is_dir() and audit.folder.resolve().is_relative_to(root.resolve()):
        raise UserError(
            f"{audit.folder} is inside the dataset's folder, {root}, which must not be changed. Choose another folder "
            "with output=..."
        )
    audit.write(faces)
    if show:
        print_noise_audit(audit.to_dict(), audit.folder)
    return audit


def audit_judged(judged: Judged, folder: Path, margin: float = 0.0) -> NoiseAudit:
    """Find suspected label errors among judged faces.

    Args:
        judged: the faces and their predictions.
        folder: folder for the results; this function does not write anything.
        margin: as in :func:`audit_labels`.
    """
    datamodule, index = judged.datamodule, judged.datamodule.index
    given = datamodule.splits.labels(len(index))[judged.rows]
    truth: NDArray[np.int64] | None = None
    if datamodule.label_noise:  # if only a table (dataset.relabel) changed labels, the true labels are unknown
        clean = make_splits(index, datamodule.protocol, datamodule.target, needed=())
        truth = clean.labels(len(index))[judged.rows]
    votes: NDArray[np.int64] | None = None
    if index.votes is not None and set(datamodule.class_names) <= set(index.vote_names):
        votes = index.votes[judged.rows][:, [index.vote_names.index(name) for name in datamodule.class_names]]
    noise = find_label_noise(judged.probabilities, given, margin)
    return NoiseAudit(judged, noise, given, truth, votes, folder, margin)


def _name(judged: Judged) -> str:
    digest = hashlib.sha256("\n".join([judged.datamodule.data_hash, *judged.checkpoints]).encode()).hexdigest()
    return f"noise-{judged.datamodule.protocol.name}-{digest[:8]}"


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
