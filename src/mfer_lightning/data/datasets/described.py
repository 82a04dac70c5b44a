"""Base datamodule with methods that describe it: its arguments as plain values, and a one-line summary."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np

from mfer_lightning.data.folds import describe_fold
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.protocols import Protocol
from mfer_lightning.data.split_hashes import split_hashes
from mfer_lightning.data.splits import Splits
from mfer_lightning.errors import UserError, is_plain
from mfer_lightning.plurals import counted

#: Package that exports the datamodules; a configuration names a class there instead of in its module.
_HOME = __name__.rpartition(".")[0]

#: Arguments that do not affect the faces themselves.
_OF_TRAINING = (
    "augment", "sampler", "batch_size", "eval_batch_size", "num_workers", "pin_memory", "cache_dir", "seed",
    "train_faces", "track_test",
)  # fmt: skip


class DescribedDataModule(L.LightningDataModule):
    """The methods of :class:`~mfer_lightning.data.FaceDataModule` that describe it."""

    dataset: str
    index: FaceIndex
    data_hash: str
    protocol: Protocol
    splits: Splits
    #: The splits before label noise, corrections, a held-out part or ``train_faces`` change the training set.
    protocol_splits: Splits

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K class names in order; before :meth:`setup`, only if the dataset declares them.

        Raises:
            UserError: if the files define the classes and have not been read yet.
        """
        names = self.index.class_names if self.data_hash else self.protocol.class_names
        if not names:
            raise UserError(f"The files of {self.dataset} define the classes: call datamodule.setup() first.")
        return names

    @property
    def num_classes(self) -> int:
        """Number of classes K; errors as for :attr:`class_names`."""
        return len(self.class_names)

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Number of training faces per class; available after :meth:`setup`."""
        counts = np.bincount(self.splits.train.label, minlength=self.num_classes)
        return tuple(int(count) for count in counts)

    def fold_entry(self) -> dict[str, Any]:
        """Return the entry ``folds`` of a result, which identifies the test fold; empty without folds."""
        found = describe_fold(self.index.group, self.protocol)
        return {} if found is None else {"folds": found}

    def split_hashes(self) -> dict[str, dict[str, str]]:
        """Return the hashes of :attr:`protocol_splits`, see :func:`~mfer_lightning.data.split_hashes.split_hashes`."""
        return split_hashes(self.index, self.protocol_splits)

    def keep_plain_arguments(self) -> None:
        """Keep only plain values in ``hparams``, because checkpoints with other objects are rejected."""
        for argument, value in list(self.hparams.items()):
            if isinstance(value, Path):
                self.hparams[argument] = str(value)
            elif not is_plain(value):
                del self.hparams[argument]

    def arguments_of_faces(self) -> dict[str, Any]:
        """Return the arguments as plain values, without those for loading and training; ``fold`` only if it is set."""
        return {k: v for k, v in self.hparams.items() if k not in _OF_TRAINING and (k, v) != ("fold", None)}

    def default_arguments(self) -> dict[str, Any]:
        """Return the default of each argument that has one; a subclass takes precedence over its base classes."""
        kinds = [kind for kind in reversed(type(self).__mro__) if "__init__" in vars(kind)]
        known = [p for kind in kinds for p in inspect.signature(vars(kind)["__init__"]).parameters.values()]
        return {p.name: p.default for p in known if p.default is not p.empty}

    def describe(self) -> dict[str, Any] | None:
        """Return the class and the arguments that reproduce the same faces, in the form of a ``dataset`` node.

        Returns:
            ``_target_``, ``name`` and arguments as plain values, without those for loading and training; None if the
            class is defined in a script or a function, so that a configuration cannot name it.
        """
        kind = type(self)
        home = _HOME if kind.__module__.startswith(f"{_HOME}.") else kind.__module__
        if kind.__module__ == "__main__" or "." in kind.__qualname__:
            return None
        return {
            "_target_": f"{home}.{kind.__qualname__}",
            **self.arguments_of_faces(),
            "name": self.dataset,
            "protocol": self.protocol.short_name,
        }

    def __repr__(self) -> str:
        """Show the protocol, and after :meth:`setup` the classes and the number of faces per split."""
        if not self.data_hash:
            return f"{type(self).__name__}({self.protocol.name}, not set up)"
        faces = ", ".join(f"{name} {len(self.splits[name])}" for name in ("train", "val", "test"))
        return f"{type(self).__name__}({self.protocol.name}, {counted(self.num_classes, 'class')}, faces: {faces})"

    def __str__(self) -> str:
        """Same as :meth:`__repr__`; Lightning's version creates all loaders and shows none before :meth:`setup`."""
        return repr(self)
