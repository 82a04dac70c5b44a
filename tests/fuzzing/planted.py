"""Plant faults in a reader, to show that the harness detects them."""

from __future__ import annotations

import importlib
import mmap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing.campaign import Kind, survives
from fuzzing.outcome import USUAL, Limits

from mfer_lightning.errors import UserError

_SECONDS, _BYTES = 0.2, 100 << 20
#: Fault -> text of the reported failure.
FAULTS = {
    "traceback": "KeyError",
    "hang": "seconds; the limit is",
    "memory": "MB of memory",
    "outside": "outside its folder",
    "numbers": "",
}


def found(kind: Kind, fault: str, folder: Path, patch: pytest.MonkeyPatch) -> bool:
    """Plant a fault in a reader, run a short campaign, and return whether the fault was reported.

    Args:
        kind: the input.
        fault: a key of :data:`FAULTS`; ``"numbers"`` is skipped if the answers of this kind are not compared.
        folder: an empty folder.
        patch: plants the fault, and removes it after the test.
    """
    if fault == "numbers" and kind.spoil is None:
        pytest.skip("nothing in the answer can be compared with the whole input")
    module_name, _, name = kind.planted.partition(":")
    module = importlib.import_module(module_name)
    reached: list[str] = []
    patch.setattr(module, name, _faulty(getattr(module, name), fault, folder / "beside.txt", kind, reached))
    limits = Limits(_SECONDS if fault == "hang" else USUAL.seconds, _BYTES if fault == "memory" else USUAL.memory)
    for count in (10,) if fault == "numbers" else (2, 10, 40):
        failures = survives(kind, folder, count, limits, every=True).failures
        if reached:  # damage may be rejected before the reader is called
            break
    return bool(failures) and all(FAULTS[fault] in words for words in failures)


def _faulty(original: Callable[..., Any], fault: str, beside: Path, kind: Kind, reached: list[str]) -> Any:
    def faulty(first: Any, *arguments: Any, **options: Any) -> Any:
        reached.append(fault)
        if fault == "traceback":
            raise KeyError("planted")
        if fault == "hang":
            time.sleep(2 * _SECONDS)
        if fault == "memory":
            # new pages, because an array may reuse memory that the process already holds
            np.frombuffer(mmap.mmap(-1, 2 * _BYTES), dtype=np.uint8).fill(1)
        if fault == "outside":
            beside.write_text("written", encoding="utf-8")
        if fault != "numbers" or kind.spoil is None:
            return original(first, *arguments, **options)
        try:
            return kind.spoil(original(first, *arguments, **options))
        except UserError:  # input that should be rejected is accepted
            return kind.spoil(original(kind.source, *arguments, **options))

    return faulty
