"""Memory of this process: keep freed blocks for reuse, skip libraries in garbage collection, and report the peak.

By default, glibc returns every large block to the system when it is freed, and the system zeroes the pages before it
allocates them again. For image batches of tens of megabytes, this takes longer than resizing the images.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Parameters of mallopt (malloc.h).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_LARGEST_KEPT = 1 << 30
_NEVER = (1 << 31) - 1
_PAD = 1 << 26

#: Environment variables that configure the allocator; if the user has set one, nothing is changed.
_ALLOCATOR_VARIABLES = (
    *("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_"),
    *("GLIBC_TUNABLES", "LD_PRELOAD"),
)


def keep_freed_memory() -> bool:
    """Let this process keep freed blocks of up to 1 GiB for its next allocations.

    The memory use of the process then stays at its peak until it ends. This function has no effect if environment
    variables select or configure an allocator, if the C library is not glibc, or if it is an older glibc, which limits
    the mmap threshold to 32 MiB.

    Returns:
        Whether the thresholds were set.
    """
    if not sys.platform.startswith("linux") or any(os.environ.get(name) for name in _ALLOCATOR_VARIABLES):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl and others
        return False
    wanted = ((_M_MMAP_THRESHOLD, _LARGEST_KEPT), (_M_TRIM_THRESHOLD, _NEVER), (_M_TOP_PAD, _PAD))
    return all(mallopt(name, value) == 1 for name, value in wanted)


@contextmanager
def importing_torch() -> Iterator[None]:
    """Exclude the objects that exist at the end of the block from all later garbage collection.

    This includes the final collection when the process ends.

    For the import of torch: its 180,000 objects live as long as the process, and searching them for garbage takes a
    quarter of the time of ``mfer predict``, most of it when the process ends. This function has no effect if torch is
    already imported.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def peak_memory_bytes() -> int | None:
    """Return the peak resident memory of this process in bytes; None if the system does not report it.

    On Linux, ``VmHWM`` in ``/proc/self/status`` is read instead of ``ru_maxrss``: a process inherits ``ru_maxrss``
    from its parent, so a small program started by a large one would report the peak of the large one.
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
