"""A datamodule that can say what it is: its arguments as plain values, and a line for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np

from mfer_lightning.data.folds import describe_fold
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.protocols import Protocol
from mfer_lightning.data.splits import Splits
from mfer_lightning.errors import UserError, is_plain

#: The module whose names a configuration may give.
_HOME = __name__.rpartition(".")[0]

#: Arguments that say nothing about the faces themselves.
_OF_TRAINING = (
    "augment", "sampler", "batch_size", "eval_batch_size", "num_workers", "pin_memory", "cache_dir", "seed",
    "train_faces", "track_test",
)  # fmt: skip


class DescribedDataModule(L.LightningDataModule):
    """What :class:`~mfer_lightning.data.FaceDataModule` says of itself."""

    dataset: str
    index: FaceIndex
    data_hash: str
    protocol: Protocol
    splits: Splits

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K classes in order; before :meth:`setup` only where the dataset declares them.

        Raises:
            UserError: if the files name the classes and have not been read.
        """
        names = self.index.class_names if self.data_hash else self.protocol.class_names
        if not names:
            raise UserError(f"The files of {self.dataset} name the classes: call datamodule.setup() first.")
        return names

    @property
    def num_classes(self) -> int:
        """K; as :attr:`class_names`."""
        return len(self.class_names)

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Training faces by class; after :meth:`setup`."""
        counts = np.bincount(self.splits.train.label, minlength=self.num_classes)
        return tuple(int(count) for count in counts)

    def fold_entry(self) -> dict[str, Any]:
        """Return what a result says of the fold that is tested on, under ``folds``; nothing without folds."""
        found = describe_fold(self.index.group, self.protocol)
        return {} if found is None else {"folds": found}

    def keep_plain_arguments(self) -> None:
        """Leave in ``hparams`` what a checkpoint may hold: one with other objects in it is never read."""
        for argument, value in list(self.hparams.items()):
            if isinstance(value, Path):
                self.hparams[argument] = str(value)
            elif not is_plain(value):
                del self.hparams[argument]

    def describe(self) -> dict[str, Any] | None:
        """Return the class and arguments that give the same faces, as a configuration's ``dataset`` node holds them.

        Returns:
            ``_target_``, ``name`` and arguments as plain values, without those of loading and training; None if a
            configuration cannot name the class, since it is defined in a script.
        """
        kind = type(self)
        home = _HOME if kind.__module__.startswith(f"{_HOME}.") else kind.__module__
        if kind.__module__ == "__main__" or "." in kind.__qualname__:
            return None
        faces = {k: v for k, v in self.hparams.items() if k not in _OF_TRAINING and (k, v) != ("fold", None)}
        return {
            "_target_": f"{home}.{kind.__qualname__}",
            **faces,
            "name": self.dataset,
            "protocol": self.protocol.short_name,
        }

    def __repr__(self) -> str:
        """Name the protocol, and after :meth:`setup` the classes and the faces of each split."""
        if not self.data_hash:
            return f"{type(self).__name__}({self.protocol.name}, not set up)"
        faces = ", ".join(f"{name} {len(self.splits[name])}" for name in ("train", "val", "test"))
        return f"{type(self).__name__}({self.protocol.name}, {self.num_classes} classes, faces: {faces})"

    def __str__(self) -> str:
        """As :meth:`__repr__`; Lightning's own says nothing before the loaders are made."""
        return repr(self)
