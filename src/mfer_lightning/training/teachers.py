"""Load the teachers of ``method=distill``, and detect whether one has changed since the run was started."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mfer_lightning.errors import UserError
from mfer_lightning.files import sha256_of
from mfer_lightning.inference.checkpoint import checkpoint_path, model_path
from mfer_lightning.inference.export.safetensors_folder import WEIGHTS, is_export
from mfer_lightning.inference.match_classes import match_classes
from mfer_lightning.inference.model import FERModel, read_model

Config = Mapping[str, Any]


class Teacher(nn.Module):
    """A trained model whose outputs are reordered to match the student's classes.

    Args:
        model: the model, including its preprocessing.
        columns: column of the model's logits for each class of the student.
    """

    def __init__(self, model: FERModel, columns: Sequence[int]) -> None:
        super().__init__()
        self.model = model
        self.columns = list(columns)

    @property
    def network(self) -> nn.Module:
        """The network of the teacher."""
        return self.model.network

    @property
    def size(self) -> int | None:
        """Side of the input of the teacher's network in pixels; None: the original size."""
        return self.model.preprocess.size

    def forward(self, faces: Tensor) -> dict[str, Tensor]:
        """Classify uint8 faces (B,3,H,W): ``logits`` (B,K), float32."""
        return {"logits": self.model(faces)["logits"][:, self.columns]}

    def train(self, mode: bool = True) -> Teacher:
        """Stay in evaluation mode."""
        self.training = False
        return self


def teacher_files(config: Config) -> list[Path]:
    """Return the files of the teachers in ``method.teachers``; empty for a method without this option.

    Raises:
        UserError: if no teacher is given, or a teacher does not exist.
    """
    node = config.get("method", {})
    if "teachers" not in node:
        return []
    given = node["teachers"] or []
    named = [given] if isinstance(given, str) else list(given)
    if not named:
        raise UserError(
            f"method={node.get('name')} needs trained networks. Name one or more runs or checkpoints, as in "
            "method.teachers=[runs/first,runs/second]."
        )
    return [_file(where) for where in named]


def _file(where: object) -> Path:
    if not isinstance(where, (str, int)) or isinstance(where, bool) or not str(where).strip():
        raise UserError(
            f"method.teachers: a teacher is a run's folder, a checkpoint or an exported folder, not {_written(where)}. "
            "Use e.g. method.teachers=[runs/first,runs/second]."
        )
    try:
        path = model_path(str(where))
        return path / WEIGHTS if path.is_dir() and is_export(path) else checkpoint_path(path)
    except UserError as error:
        raise UserError(f"method.teachers: {error}") from error


def _written(value: object) -> str:
    """Format a value as in YAML."""
    return json.dumps(value, default=str)


def teacher_records(config: Config) -> list[dict[str, str]]:
    """Return ``path`` and ``sha256`` of each teacher, as stored in checkpoints of the student."""
    return [{"path": str(path), "sha256": sha256_of(path)} for path in teacher_files(config)]


def check_teachers(stored: Any, now: Sequence[Mapping[str, str]], run_dir: Path) -> None:
    """Reject resuming a run whose teachers have changed since it was started.

    Args:
        stored: records in the run's last checkpoint; None: no teachers.
        now: records of the current files.
        run_dir: the run's folder.

    Raises:
        UserError: if a teacher has changed; the message names the first such teacher.
    """
    former = [record["sha256"] for record in stored or ()]
    for place, record in enumerate(now):
        if place >= len(former) or former[place] != record["sha256"]:
            raise UserError(
                f"The teacher {record['path']} has changed since {run_dir} was started (its SHA-256 differs). Restore "
                "the original file, or start a new run with resume=never."
            )


def load_teachers(config: Config, class_names: Sequence[str], alignment: str | None) -> tuple[Teacher, ...]:
    """Load the teachers on the CPU, each with its own preprocessing.

    Args:
        config: plain resolved configuration.
        class_names: the K emotions in the student's order.
        alignment: name of the alignment template of the student's faces; None: unknown.

    Raises:
        UserError: if a teacher cannot be read, has other classes, or was trained with another alignment.
    """
    return tuple(_load(path, class_names, alignment) for path in teacher_files(config))


def _load(path: Path, class_names: Sequence[str], alignment: str | None) -> Teacher:
    state = torch.random.get_rng_state()
    try:
        model = read_model(path, device="cpu")
        columns = match_classes(model.class_names, class_names).columns.tolist()
    except UserError as error:
        hint = str(error).partition(" To leave them out")[0]
        raise UserError(f"method.teachers: {path} cannot be a teacher here: {hint}") from error
    finally:
        torch.random.set_rng_state(state)  # so that the student's weights do not depend on its teachers
    own = model.preprocess.alignment
    if own and alignment and own != alignment:
        raise UserError(
            f"method.teachers: {path} was trained on faces aligned to {own}, but these are aligned to {alignment}. "
            "Align the faces the same way (mfer align), or use another teacher."
        )
    return Teacher(model, columns)
