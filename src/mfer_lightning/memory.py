"""Memory of this process: keep freed blocks for reuse, and report the peak.

glibc returns every large block to the system when it is freed, and the system clears its pages before handing them out
again. For batches of images, tens of megabytes each, that costs more than resizing them (docs/performance.md).
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

#: glibc's names of the settings (malloc.h).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_LARGEST_KEPT = 1 << 30
_NEVER = (1 << 31) - 1
_PAD = 1 << 26

#: Environment variables with which a user sets the same; if present, nothing is changed.
_USERS_OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_freed_memory() -> bool:
    """Let this process keep freed blocks of up to 1 GiB for its next allocations.

    Its memory use then stays at its peak until it ends. Nothing is done if the user has set an allocator or its
    thresholds by environment variables, or the C library is not glibc.

    Returns:
        Whether the thresholds were set.
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
    """Return the peak memory of this process; None if the system does not report it.

    On Linux, a process inherits ``ru_maxrss`` from its parent, so a small program started by a large one would report
    the large one's peak. There, the kernel's own mark of this program (``VmHWM``) is read instead.
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
