"""Disk space is checked before anything is written, a full disk gives one message, and folders are replaced safely."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mfer_lightning.callbacks import AtomicCheckpointIO
from mfer_lightning.errors import UserError
from mfer_lightning.files import changed_settings, drop_partial_line, replace_folder, require_space, write_text


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(total=10**12, used=0, free=size))


def test_low_disk_space_error_names_required_free_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 3_000_000)
    require_space(tmp_path, 3_000_000, "the run")
    with pytest.raises(UserError, match=r"the run: it needs 2\.5 GB, and .* has 3\.0 MB free.*paths\.runs"):
        require_space(tmp_path / "not" / "there" / "yet", 2_500_000_000, "the run")


def test_checkpoint_without_room_is_not_started_and_the_old_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, writer = tmp_path / "last.ckpt", AtomicCheckpointIO()
    writer.save_checkpoint({"state_dict": {"w": torch.zeros(2)}}, path)
    before = path.read_bytes()
    free(monkeypatch, 100)
    with pytest.raises(UserError, match=r"too full for the checkpoint .*last\.ckpt"):
        writer.save_checkpoint({"state_dict": {"w": torch.zeros(20)}, "optimizer_states": [{"m": torch.ones(9)}]}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_during_writing_raises_one_clear_error_and_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "whole")

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match=r"Cannot write .*a\.txt: No space left on device\. Free some space"):
        write_text(path, "half")
    monkeypatch.undo()
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


FULL = "Free some space and repeat the same command, or choose another folder."
FORBIDDEN = "Check the permissions and repeat the same command, or choose another folder."


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, FULL),
        (errno.EDQUOT, FULL),
        (errno.EACCES, FORBIDDEN),
        (errno.EPERM, FORBIDDEN),
        (errno.EROFS, "Make the disk writable and repeat the same command, or choose another folder."),
        (errno.EISDIR, "Choose another folder."),
    ],
)
def test_advice_fits_the_error_of_the_operating_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(UserError) as stop:
        write_text(tmp_path / "a.txt", "text")
    assert str(stop.value) == f"Cannot write {tmp_path / 'a.txt'}: {os.strerror(number)}. {advice}"


def test_full_disk_in_torch_save_raises_os_error(tmp_path: Path) -> None:
    from mfer_lightning.callbacks.atomic_io import write_checkpoint

    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint({"w": torch.zeros(1_000_000)}, Path("/dev/full"))


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b"", b""),
        (b"one\ntwo\n", b"one\ntwo\n"),
        (b"one\ntw", b"one\n"),
        (b"half", b""),
        (b"one\n" + b"x" * 200_000, b"one\n"),
    ],
)
def test_incomplete_last_line_is_removed(content: bytes, kept: bytes, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    drop_partial_line(path)
    assert not path.exists()
    path.write_bytes(content)
    drop_partial_line(path)
    assert path.read_bytes() == kept


def test_folder_settings_are_written_once_and_compared_afterwards(tmp_path: Path) -> None:
    stored = tmp_path / "folder" / "settings.json"
    assert changed_settings(stored, {"size": 3, "name": "a"}) == {}
    assert changed_settings(stored, {"size": 4, "name": "a", "more": 1}) == {"size": 3, "more": None}
    assert changed_settings(stored, {"size": 3}) == {}
    stored.write_text("[")
    with pytest.raises(UserError, match="is damaged"):
        changed_settings(stored, {"size": 3})


def test_folder_that_cannot_be_replaced_is_kept(tmp_path: Path) -> None:
    target, old = tmp_path / "report", tmp_path / "scratch"
    target.mkdir()
    (target / "page").write_text("earlier")
    with pytest.raises(OSError, match="missing"):
        replace_folder(target, tmp_path / "missing", old)
    assert (target / "page").read_text() == "earlier"
    assert not old.exists()
