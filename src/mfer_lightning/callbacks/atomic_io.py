"""Write checkpoints atomically: a checkpoint is either complete or absent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from torch import Tensor

from mfer_lightning.files import atomic_path, require_space
from mfer_lightning.nn.weights.checksums import check_storages


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write each checkpoint to a temporary file next to its target, flush it to disk, and rename it.

    Lightning writes to the temporary folder of the system. If it is on a different file system, moving a file means
    copying it, and a killed process leaves an incomplete copy. Lightning also keeps a second copy of the checkpoint in
    memory.

    Before writing, this class checks that there is enough free space. The previous checkpoint is kept until the new one
    is complete.
    """

    def save_checkpoint(
        self, checkpoint: Mapping[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            UserError: if the disk is full or the folder cannot be written to.
        """
        require_space(Path(path).parent, tensor_bytes(checkpoint), f"the checkpoint {path}")
        with atomic_path(path) as temporary:
            write_checkpoint(checkpoint, temporary)

    def load_checkpoint(self, path: str | Path, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Read a checkpoint like Lightning, and compare its tensors with the checksums in the file.

        Only tensors that are loaded to the CPU are compared.

        Raises:
            UserError: if the file has changed since it was written.
        """
        checkpoint: dict[str, Any] = super().load_checkpoint(path, *arguments, **options)
        check_storages(Path(path), (tensor for tensor in tensors_in(checkpoint) if tensor.device.type == "cpu"))
        return checkpoint


def write_checkpoint(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint to a file.

    Raises:
        OSError: if the disk is full. (torch.save itself raises a RuntimeError instead.)
    """
    try:
        with path.open("wb") as file:
            torch.save(dict(checkpoint), file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def tensor_bytes(value: Any) -> int:
    """Count the bytes of all tensors in nested containers.

    Example:
        >>> tensor_bytes({"state": [torch.zeros(3), {"step": torch.zeros(1, dtype=torch.int64)}], "epoch": 2})
        20
    """
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_in(value))


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield all tensors in nested containers."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)
