"""Memory of this process: keep freed blocks for reuse, and report the peak.

glibc returns every large block to the system when it is freed, and the system clears its pages before handing them out
again. For batches of images, some tens of megabytes each, that costs more than resizing them (docs/performance.md).
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

#: glibc's names for what is set (malloc.h).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_LARGEST_KEPT = 1 << 30
_NEVER = (1 << 31) - 1
_PAD = 1 << 26

#: Environment variables by which a user sets the same; they are left alone.
_USERS_OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_freed_memory() -> bool:
    """Let this process keep freed blocks of up to 1 GiB for its next allocations.

    It then holds its peak until it ends. Nothing is done where the user has set an allocator or its thresholds by
    environment variables, or the C library is another one.

    Returns:
        Whether it was set.
    """
    if not sys.platform.startswith("linux") or any(os.environ.get(name) for name in _USERS_OWN):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl and others
        return False
    wanted = ((_M_MMAP_THRESHOLD, _LARGEST_KEPT), (_M_TRIM_THRESHOLD, _NEVER), (_M_TOP_PAD, _PAD))
    return all(mallopt(name, value) == 1 for name, value in wanted)


def peak_memory_bytes() -> int | None:
    """Most memory that this process has held at once; None if the system does not say.

    Linux hands a parent's ``ru_maxrss`` down to what it starts, so that a small program started by a large one would
    report the large one's peak: there the kernel's mark of this program alone (``VmHWM``) is read.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="ignore").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024
