"""Weight files whose small pickle would allocate a lot of memory when loaded, by copying one object again and again."""

from __future__ import annotations

import pickletools
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from mfer_lightning.errors import UserError
from mfer_lightning.nn.weights import safety
from mfer_lightning.nn.weights.pickle_copies import Copies

N = 4_000

#: An object of N elements or characters in memo 0.
TUPLE = b"(" + b"K\x01" * N + b"tq\x00"
LIST = b"]q\x00(" + b"K\x01" * N + b"e"
TEXT = b"X" + N.to_bytes(4, "little") + b"a" * N + b"q\x00"
SIZE = b"ctorch\nSize\n"


def pickled(content: bytes) -> bytes:
    return b"\x80\x02" + content + b"}."


def copies_in(data: bytes) -> float:
    copies = Copies()
    for opcode, argument, _ in pickletools.genops(data):
        copies.step(opcode, argument)
    return copies.total


def archive(path: Path, data: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", data)
        file.writestr("archive/version", "3")
    return path


@pytest.mark.parametrize(
    ("made", "call"),
    [
        (TUPLE, SIZE + b"h\x00\x85R0"),
        (TUPLE, SIZE + b"(h\x00tR0"),
        (LIST, b"ccollections\nCounter\nh\x00\x85R0"),
        (LIST, b"c__builtin__\nset\nh\x00\x85R0"),
        (TEXT, b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00utf-32\x86R0"),
        (TUPLE + SIZE + b"h\x00\x85Rq\x01", SIZE + b"h\x01\x85R0"),  # a copy of a copy
        (b"]q\x00\x85q\x01h\x00(" + b"K\x01" * N + b"e", SIZE + b"h\x01R0"),  # filled after the arguments exist
        (b"ccollections\nOrderedDict\n(tRq\x00(" + b"K\x01K\x02" * N + b"u", b"ccollections\nCounter\nh\x00\x85R0"),
        (b"}q\x00(" + b"K\x01K\x02" * N + b"u", b"ccollections\nOrderedDict\n)Rh\x00b0"),
        (
            b"}q\x00(" + b"K\x01K\x02" * N + b"u",
            b"ctorch._utils\n_rebuild_parameter_with_state\n(N\x88Nh\x00tR0",
        ),
    ],
    ids=["Size", "marked", "Counter", "set", "encode", "nested", "filled later", "OrderedDict", "state", "parameter"],
)
def test_repeated_copies_of_one_object_are_rejected(made: bytes, call: bytes, tmp_path: Path) -> None:
    few, many = pickled(made + 5 * call), pickled(made + 10_000 * call)
    assert copies_in(many) >= 10_000 * N > safety.MOST_COPIES
    safety.check_weights_file(archive(tmp_path / "few.pth", few))
    with pytest.raises(UserError, match=r"many\.pth cannot be read: loading it would copy the same objects"):
        safety.check_weights_file(archive(tmp_path / "many.pth", many))


def test_copies_of_a_real_checkpoint_are_few(tmp_path: Path) -> None:
    network = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(300)))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    state = network.state_dict()
    content = {
        "state_dict": state,
        "ema": state,  # the same tensors
        "optimizer": optimizer.state_dict(),
        "more": OrderedDict(size=torch.Size([3, 4]), shared=[state] * 3),
    }
    torch.save(content, tmp_path / "real.ckpt")
    safety.check_archive(tmp_path / "real.ckpt")
    with zipfile.ZipFile(tmp_path / "real.ckpt") as file:
        data = next(file.read(name) for name in file.namelist() if name.endswith("data.pkl"))
    assert copies_in(data) < safety.MOST_COPIES / 1_000


def test_copies_of_a_tensor_are_rejected(tmp_path: Path) -> None:
    """A tensor with stride 0 may have any number of elements."""
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(NK\x00K\x01\x85K\x00\x85\x89NtR"
    with pytest.raises(UserError, match="copy the same objects"):
        safety.check_weights_file(
            archive(tmp_path / "tensor.pth", pickled(b"c__builtin__\nset\n" + tensor + b"\x85R0"))
        )


def test_damaged_pickle_raises_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="BINGET refers to an object that does not exist"):
        copies_in(pickled(b"h\x07"))
    with pytest.raises(UserError, match="truncated or damaged"):
        safety.check_archive(archive(tmp_path / "bad.ckpt", pickled(b"R")))


def test_damaged_pickle_does_not_affect_the_next_one() -> None:
    numbers = pickled(b"K\x01q\x00" + b"c__builtin__\nset\nh\x00\x85R0")
    before = copies_in(numbers)
    copies_in(pickled(b"K\x01(" + b"K\x01" * N + b"e"))  # adds elements to a number
    assert copies_in(numbers) == before == 0
