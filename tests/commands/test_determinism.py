"""The same command gives the same results, and result.json records the code."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands.conftest import FEW, Mfer, only_run

from mfer_lightning.inference.checkpoint import read_checkpoint
from mfer_lightning.tracking import provenance

VARIED = (*FEW, "mixup=default", "augment=strong", "loss=dsf", "dataset.target=probability", "dataset.label_noise=0.2")


def result_of(run: Path) -> dict:
    return json.loads((run / "result.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_metrics_do_not_depend_on_number_of_workers(mfer: Mfer, tmp_path: Path) -> None:
    for workers in (0, 2):
        assert mfer(*VARIED, f"loader.num_workers={workers}", f"name=w{workers}") == 0
    none, two = (only_run(tmp_path / "runs" / f"w{workers}") for workers in (0, 2))
    assert none.name == two.name
    for figure in ("metrics", "per_class", "confusion", "selection", "data_hash", "versions", "git"):
        assert result_of(none)[figure] == result_of(two)[figure], figure
    assert (none / "predictions_test.csv").read_bytes() == (two / "predictions_test.csv").read_bytes()


@pytest.mark.slow
def test_two_processes_give_identical_metrics(tmp_path: Path) -> None:
    results = []
    for name in ("first", "second"):
        command = [sys.executable, "-m", "mfer_lightning", *VARIED, "loader.num_workers=2", f"name={name}"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
        results.append(result_of(only_run(tmp_path / "runs" / name)))
    assert results[0]["metrics"] == results[1]["metrics"]
    assert results[0]["confusion"] == results[1]["confusion"]


def test_result_records_code_versions_and_hardware(few_run: Path) -> None:
    run, result = few_run, result_of(few_run)
    assert len(result["data_hash"]) == 64
    assert {"python", "torch", "lightning", "timm"} <= set(result["versions"])
    assert result["hardware"]["cores"] == os.cpu_count()
    assert result["hardware"]["instructions"] == torch.backends.cpu.get_cpu_capability()
    arithmetic = read_checkpoint(run / "checkpoints" / "best.ckpt")["mfer"]["precision"]
    assert result["hardware"]["precision"] == arithmetic in ("bf16-mixed", "32-true")  # the value that auto resolved to
    git = result["git"]
    if git is not None and git["dirty"]:
        patch = (run / "changes.patch").read_bytes()
        assert git["patch"] == "changes.patch"
        assert hashlib.sha256(patch).hexdigest() == git["diff_sha256"]
    else:
        assert not (run / "changes.patch").exists()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository that seems to contain this package."""
    top = tmp_path / "checkout"
    package = top / "src" / "mfer_lightning" / "tracking"
    package.mkdir(parents=True)
    (package / "a.py").write_text("x = 1\n")
    (top / "README.md").write_text("words\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "begin"]):
        subprocess.run(["git", *command], cwd=top, check=True)
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
    return top


def test_patch_of_a_dirty_checkout_restores_the_code(checkout: Path, tmp_path: Path) -> None:
    clean = provenance.git_state(tmp_path)
    assert clean is not None
    assert (clean["dirty"], clean["diff_sha256"], clean["patch"]) == (False, None, None)
    code = checkout / "src" / "mfer_lightning" / "tracking"
    (code / "a.py").write_text("x = 2\n")
    (code / "new é.py").write_text("y = 3\n")
    (checkout / "notes.txt").write_text("no code\n")
    dirty = provenance.git_state(tmp_path)
    assert dirty is not None
    assert dirty["commit"] == clean["commit"]
    assert (dirty["dirty"], dirty["patch"]) == (True, "changes.patch")
    patch = tmp_path / "changes.patch"
    assert hashlib.sha256(patch.read_bytes()).hexdigest() == dirty["diff_sha256"]
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "-q", str(checkout), str(copy)], check=True)
    subprocess.run(["git", "apply", str(patch)], cwd=copy, check=True)
    assert (copy / "src/mfer_lightning/tracking/a.py").read_text() == "x = 2\n"
    assert (copy / "src/mfer_lightning/tracking/new é.py").read_text() == "y = 3\n"
    assert not (copy / "notes.txt").exists()


def test_oversized_diff_is_hashed_but_not_stored(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "LONGEST_PATCH", 200)
    (checkout / "src" / "mfer_lightning" / "tracking" / "a.py").write_text("x = 2  # " + "long " * 100)
    state = provenance.git_state(tmp_path)
    assert state is not None
    assert len(state["diff_sha256"]) == 64
    assert state["patch"] is None
    assert not (tmp_path / "changes.patch").exists()


def test_git_state_is_none_outside_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    assert provenance.git_state(tmp_path) is None
