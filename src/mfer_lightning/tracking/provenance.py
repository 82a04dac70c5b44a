"""Record the code, libraries and hardware behind a result."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

import mfer_lightning.memory as memory
from mfer_lightning.files import atomic_path

#: File in a run's folder with the uncommitted changes, and its maximum size in bytes.
PATCH = "changes.patch"
LONGEST_PATCH = 1_000_000

#: Packages whose version can change a result.
PACKAGES = (
    "mfer_lightning",
    "torch",
    "torchvision",
    "lightning",
    "torchmetrics",
    "timm",
    "hydra-core",
    "omegaconf",
    "albumentations",
    "opencv-python-headless",
    "numpy",
    "scipy",
    "scikit-learn",
)


def versions() -> dict[str, str]:
    """Return the versions of Python and of relevant installed packages."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_state(run_dir: Path | None = None) -> dict[str, Any] | None:
    """Return the commit of this package's checkout, and whether it has uncommitted changes.

    These are changes to any tracked file, and new files of code and configuration.

    Args:
        run_dir: folder for ``changes.patch``, which is written if it has at most :data:`LONGEST_PATCH` bytes, so that
            ``git checkout <commit> && git apply changes.patch`` restores the code. None: the changes are only hashed.

    Returns:
        ``commit``, ``dirty``, ``diff_sha256`` (None without changes), ``patch`` (name of the file, or None); None if
        the package is not in a git checkout.
    """
    here = Path(__file__).resolve().parent
    try:
        top = Path(_git(here, "rev-parse", "--show-toplevel").decode().strip())
        if not (top / "src" / "mfer_lightning").is_dir():
            return None  # an installed wheel inside another repository
        commit = _git(here, "rev-parse", "HEAD").decode().strip()
        diff = _git(top, "diff", "--binary", "HEAD") + _new_files(top)
    except (OSError, subprocess.SubprocessError):
        return None
    digest = hashlib.sha256(diff).hexdigest() if diff else None
    patch = None
    if diff and run_dir is not None and len(diff) <= LONGEST_PATCH:
        patch = PATCH
        with atomic_path(run_dir / PATCH) as path:
            path.write_bytes(diff)
    return {"commit": commit, "dirty": bool(diff), "diff_sha256": digest, "patch": patch}


def _git(folder: Path, *arguments: str, legal: tuple[int, ...] = (0,)) -> bytes:
    done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
        capture_output=True,
        check=False,
        timeout=20,
    )
    if done.returncode not in legal:
        raise subprocess.CalledProcessError(done.returncode, "git")
    return done.stdout


def _new_files(top: Path) -> bytes:
    """Return a patch of the untracked code and configuration files; other files do not change results."""
    listed = _git(top, "ls-files", "-z", "--others", "--exclude-standard", "--", "src", "conf").decode().split("\0")
    names = [name for name in listed if name and (top / name).stat().st_size <= LONGEST_PATCH]
    null = "/dev/null"  # git accepts this name on every system; its exit code is 1 if files differ
    return b"".join(_git(top, "diff", "--binary", "--no-index", "--", null, name, legal=(0, 1)) for name in names)


def hardware(precision: str | None = None) -> dict[str, Any]:
    """Return processor, widest vector instructions, cores, memory and GPUs of this machine.

    Args:
        precision: the precision used, e.g. ``"bf16-mixed"``, with ``auto`` resolved. None: not recorded.
    """
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),  # a hypervisor may hide some
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": memory,
        "gpus": gpus,
        **({} if precision is None else {"precision": precision}),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="ignore").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def peak_memory_bytes() -> int | None:
    """Return the peak memory so far: of the GPU if one is used, else of this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0:
        return int(torch.cuda.max_memory_allocated())
    return memory.peak_memory_bytes()
