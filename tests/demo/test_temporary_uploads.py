"""Uploads are always deleted."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from mfer_lightning.demo.temporary_uploads import forget, keep_swept, private_folder


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_upload_folder_is_private_to_its_owner(scratch: Path) -> None:
    folder = private_folder()
    assert folder.parent == scratch
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_upload_is_deleted_with_its_server_folder(scratch: Path) -> None:
    folder = private_folder()
    upload = folder / "0a1b" / "me.jpg"
    upload.parent.mkdir()
    upload.write_bytes(b"x")
    forget(upload, folder)
    assert list(folder.iterdir()) == []
    forget(upload, folder)  # a second time is not an error


def test_unrequested_uploads_expire_but_active_ones_stay(scratch: Path) -> None:
    folder = private_folder()
    for name in ("tmp0", "0a1b/me.jpg"):  # interrupted, and never passed to the page
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (1, 1))
    (folder / "tmp1").write_bytes(b"x")
    (scratch / "mine.jpg").write_bytes(b"x")
    (folder / "link").symlink_to(scratch / "mine.jpg")
    os.utime(folder / "link", (1, 1), follow_symlinks=False)
    thread = keep_swept(folder, patience=60, look=0.05)
    for _ in range(100):
        if len([f for f in folder.rglob("*") if not f.is_dir()]) < 2:
            break
        time.sleep(0.05)
    assert [f.name for f in folder.rglob("*") if not f.is_dir()] == ["tmp1"]
    assert (scratch / "mine.jpg").is_file()
    shutil.rmtree(folder)
    thread.join(5)
    assert not thread.is_alive()


def test_files_outside_the_folder_are_not_deleted(scratch: Path) -> None:
    folder = private_folder()
    outside = scratch / "mine.jpg"
    outside.write_bytes(b"x")
    forget(outside, folder)
    forget(folder / ".." / "mine.jpg", folder)
    (folder / "link.jpg").symlink_to(outside)
    forget(folder / "link.jpg", folder)
    assert outside.exists()


def test_leftovers_of_a_killed_page_are_deleted_but_not_those_of_a_running_one(scratch: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, alive, foreign = (scratch / f"mfer-demo-{p}" for p in (f"{gone.pid}-x", f"{os.getpid()}-y", "notes"))
    for folder in (left, alive, foreign):
        folder.mkdir()
        (folder / "f").write_bytes(b"x")
    private_folder()
    assert (left.exists(), alive.exists(), foreign.exists()) == (False, True, True)


def test_folder_is_deleted_when_the_process_exits(tmp_path: Path) -> None:
    code = (
        "from mfer_lightning.demo.temporary_uploads import private_folder; "
        "f = private_folder(); (f / 'x').write_text('x'); print(f)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert Path(done.stdout.strip()).parent == tmp_path
    assert list(tmp_path.iterdir()) == []
