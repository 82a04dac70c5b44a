"""Distillation: train on the softened predictions of trained networks in addition to the labels.

Paper: Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, NIPS 2014 workshop, arXiv 1503.02531. From
the paper: softmax with a temperature for both student and teacher, the factor T^2, averaging of several teachers. The
Kullback-Leibler divergence replaces the cross-entropy, from which it differs by a constant. The default values are this
project's choice, because the paper has no experiment on faces. Its speech experiment tried temperatures 1, 2, 5 and 10,
with a relative weight of 0.5 for the labels. For networks with several heads, this project distils the summed logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.errors import UserError, check_number
from mfer_lightning.methods.base import Method, Step


class Distill(Method):
    """Train on the labels and on the mean prediction of teachers.

    With the teachers' probabilities p, the mean of softmax(z / T), and the network's q = softmax(z / T), the loss is
    ``alpha * T^2 * KL(p || q) + (1 - alpha) * objective``.

    Args:
        teachers: each maps uint8 faces (B,3,H,W) to ``logits`` (B,K) in the network's class order. They are neither
            trained nor saved in checkpoints. Empty: for evaluation only.
        temperature: T > 0.
        alpha: weight of the teachers, within [0, 1].

    Terms in addition to the objective's: ``distillation``, T^2 times the divergence; ``teachers_right``, the fraction
    of faces for which the teachers predict the label.

    Raises:
        ValueError: for arguments outside their range.
    """

    takes_mixup: ClassVar[bool] = False  # teachers receive the faces before mixing

    def __init__(self, teachers: Sequence[nn.Module] = (), temperature: float = 2.0, alpha: float = 0.5) -> None:
        super().__init__()
        self.temperature = check_number("temperature", temperature, 0, excluded="low")
        self.alpha = check_number("alpha", alpha, 0, 1)
        self._teachers = _Teachers(teachers)
        for teacher in self._teachers:
            teacher.eval().requires_grad_(False)

    @property
    def teachers(self) -> tuple[nn.Module, ...]:
        """The teachers."""
        return self._teachers

    def forward(self, batch: Mapping[str, Tensor], step: Step) -> dict[str, Tensor]:
        """Compute the objective and the divergence from the teachers' mean prediction."""
        output = step.network(batch["image"])
        terms = dict(step.objective(output, batch["target"]))
        p = self.probabilities(batch["pixels"])
        logits = output["logits"].to(torch.promote_types(output["logits"].dtype, torch.float32))
        divergence = F.kl_div((logits / self.temperature).log_softmax(1), p.to(logits.dtype), reduction="batchmean")
        terms["distillation"] = self.temperature**2 * divergence
        terms["total"] = self.alpha * terms["distillation"] + (1 - self.alpha) * terms["total"]
        terms["teachers_right"] = (p.argmax(1) == batch["target"].argmax(1)).float().mean()
        return terms

    @torch.no_grad()
    def probabilities(self, faces: Tensor) -> Tensor:
        """Compute the teachers' mean softened prediction.

        Args:
            faces: uint8 (B,3,H,W).

        Returns:
            (B,K), at least float32, rows sum to 1.

        Raises:
            UserError: if there is no teacher.
        """
        if not self._teachers:
            raise UserError("Method Distill needs teachers. Pass at least one: Distill(teachers=[...]).")
        total: Any = 0
        for teacher in self._teachers:
            held = next(chain(teacher.parameters(), teacher.buffers()), None)
            if held is not None and held.device != faces.device:
                teacher.to(faces.device)
            with torch.autocast(faces.device.type, enabled=False):
                logits = teacher(faces)["logits"]
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            total = total + (logits / self.temperature).softmax(1)
        mean: Tensor = total / len(self._teachers)
        return mean.clone()  # a teacher may run in inference mode, whose tensors cannot be used in autograd


class _Teachers(tuple[nn.Module, ...]):
    """Modules that are not registered as submodules and are shared by copies of a method."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Teachers:
        return self
