"""Training steps of a module: the method computes the loss, and its terms are averaged over an epoch."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from mfer_lightning.methods import Step
from mfer_lightning.module.evaluation_steps import EvaluationSteps
from mfer_lightning.module.meet_datamodule import check_batch
from mfer_lightning.module.valence_arousal import learns_valence_arousal
from mfer_lightning.nn.valence_arousal import VALENCE_AROUSAL
from mfer_lightning.optim import Mixup


class TrainingSteps(EvaluationSteps):
    """Training steps of :class:`~mfer_lightning.module.FERModule`.

    Attributes:
        batch_index: int64 (B,), the rows of the current training batch in the dataset's table.
    """

    mixup: Mixup | None
    batch_index: Tensor | None = None
    _sums: dict[str, Tensor]
    _seen: int

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Compute the loss of one batch; see :class:`mfer_lightning.methods.Method` for its terms."""
        learns = learns_valence_arousal(self.objective)
        check_batch(batch, "image", "index", "target", *((VALENCE_AROUSAL,) if learns else ()))
        self.batch_index = batch["index"]
        seen = {**batch, "pixels": batch["image"], "image": self.preprocess(batch["image"])}
        if self.mixup is not None:
            number = self.current_epoch * int(self.trainer.num_training_batches) + batch_idx
            seen = self.mixup(seen, step=number, rank=self.global_rank)
        seen["image"] = seen["image"].contiguous(memory_format=self.memory_format)
        perturbed = bool(getattr(self.trainer.optimizers[0], "perturbed", False))
        objective = partial(self.objective, valence_arousal=seen[VALENCE_AROUSAL]) if learns else self.objective
        step = Step(self.network, objective, self.current_epoch, repeated=perturbed)
        terms: dict[str, Tensor] = self.method(seen, step)
        if perturbed:
            return terms["total"]  # SAM's second pass is at perturbed weights and is not logged
        n = len(batch["index"])
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value.detach() * n
        self._seen += n
        total = terms["total"]
        if self.trainer.progress_bar_callback is not None:  # nothing else uses the values of single steps
            self.log("loss", total.detach(), on_step=True, on_epoch=False, prog_bar=True, logger=False)
        return total

    def on_train_epoch_start(self) -> None:
        """Reset the means of the epoch."""
        self._sums, self._seen = {}, 0

    def train_means(self) -> dict[str, float]:
        """Return the means of the loss terms over the faces of this epoch so far, on all ranks.

        The total is named ``train/loss``, every other term ``train/<term>``.
        """
        means = {
            f"train/{'loss' if name == 'total' else name}": self.trainer.strategy.reduce(total / max(self._seen, 1))
            for name, total in self._sums.items()
        }
        return {name: float(value) for name, value in means.items()}

    def on_train_epoch_end(self) -> None:
        """Log the means of the epoch."""
        self.log_dict(self.train_means())
