"""Memory that is given back is asked for again at the next step: better to keep it.

glibc returns every large block to the system when it is freed, and the system clears its pages before handing them out
again. For batches of images, some tens of megabytes each, that costs more than resizing them (benchmarks/loader.py).
"""

from __future__ import annotations

import ctypes
import os
import sys

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
