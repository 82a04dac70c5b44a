"""Start Ray on this machine, or join a running cluster, for the duration of a block. Imports Ray when it is used.

What is started here is reachable from this machine alone, has no dashboard unless one is asked for, writes its messages
to a file, and is gone at the end with its folder of temporary files.
"""

from __future__ import annotations

import logging
import os
import platform
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO

from mfer_lightning.config.environment import restored
from mfer_lightning.errors import UserError
from mfer_lightning.sweeps.isolation import output_to

#: Options of ``ray.init`` that a running cluster has chosen for itself.
_OF_A_NEW_ONE = ("num_cpus", "num_gpus", "resources", "object_store_memory", "include_dashboard")

#: Read by Ray while it is imported and started. The first keeps its servers on the loopback interface, which it does
#: by itself on macOS and Windows only; the second tells nobody of its use.
_ENVIRONMENT = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


#: Letters of the folder that Ray's own is made in, of 107: ours takes 30, and Ray's sockets 65.
_LONGEST = 12


class _WithoutRay:
    """Standard output, without what Ray's threads print on it, which goes to a file.

    Args:
        stream: standard output.
        file: open for writing.
    """

    def __init__(self, stream: TextIO, file: TextIO) -> None:
        self._stream, self._file = stream, file

    def write(self, text: str) -> int:
        """Write to whichever it is for."""
        ours = not threading.current_thread().name.startswith("ray_")
        return (self._stream if ours else self._file).write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def ray_started(options: Mapping[str, Any], log: Path) -> Iterator[None]:
    """Have Ray for the duration of a block.

    Args:
        options: arguments of ``ray.init``; without those that are None. ``address`` is ``"local"``, or names a cluster.
        log: what Ray says while it starts goes there.

    Raises:
        UserError: if Ray cannot be started or reached.
    """
    given = {key: value for key, value in options.items() if value is not None}
    local = given.get("address", "local") == "local"
    given = {key: value for key, value in given.items() if local or key not in _OF_A_NEW_ONE}
    if not local:
        _refuse_silence(str(given["address"]))
    scratch = _scratch() if local else None
    token, handler = secrets.token_hex(32), signal.getsignal(signal.SIGTERM)
    with restored(*_ENVIRONMENT, "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        if local:
            os.environ.update(_ENVIRONMENT)
            # a token of its own, so that other users of this machine are refused, and no file is left in the home
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token)
            given |= {"address": "local", "_temp_dir": scratch}
        try:
            import ray

            with output_to(log):
                try:
                    ray.init(**given, configure_logging=False)
                except Exception as error:  # of Ray, of its gRPC, of the operating system
                    said = " ".join(str(error).split())[:300] or type(error).__name__
                    raise UserError(
                        f"Ray cannot be {'started' if local else 'reached'} with hydra.launcher.ray.init.address="
                        f"{given['address']}: {said}"
                    ) from error
                finally:
                    if threading.current_thread() is threading.main_thread():
                        signal.signal(signal.SIGTERM, handler)  # Ray has set its own
            logging.getLogger("ray").setLevel(logging.ERROR)
            with ExitStack() as held:
                if not given.get("log_to_driver"):
                    file = held.enter_context(log.open("a", encoding="utf-8"))
                    held.enter_context(redirect_stdout(_WithoutRay(sys.stdout, file)))
                yield
        finally:
            _end(scratch, token)


def _refuse_silence(address: str) -> None:
    """Reject a cluster where nothing listens: Ray would look for it for minutes, and then end this process.

    Raises:
        UserError: if it is none.
    """
    place = address
    if address == "auto":
        place = os.environ.get("RAY_ADDRESS", "")
        with suppress(OSError):  # what `ray start` leaves
            place = place or Path("/tmp", "ray", "ray_current_cluster").read_text(encoding="utf-8").strip()  # noqa: S108
    host, _, port = place.rpartition(":")
    if host and port.isdecimal() and int(port) < 2**16 and "//" not in host:  # the rest is for Ray to judge
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=20).close()
        except OSError as error:
            raise UserError(
                f"Ray cannot be reached with hydra.launcher.ray.init.address={address}: nothing answers at {place} "
                f"({error.strerror or error}). Start a cluster there with `ray start --head`, or give its address."
            ) from error


def _scratch() -> str:
    """Make a folder for Ray's temporary files, and remove those of processes that were killed.

    The name is short, and so is that of the folder above it: the addresses of Ray's sockets, which lie deeper, must not
    be longer than 107 bytes. It marks the machine, since containers may share the folder and do not see each other's
    processes.
    """
    usual = tempfile.gettempdir()
    place = usual if len(usual) <= _LONGEST else "/tmp"  # noqa: S108 - the folder made there has a name of its own
    prefix = f"mfer-ray-{zlib.crc32(platform.node().encode()) & 0xFFFF:04x}-"
    for left in Path(place).glob(f"{prefix}*-*"):
        process = left.name.removeprefix(prefix).partition("-")[0]
        if process.isdigit() and not Path(f"/proc/{process}").exists() and Path("/proc/self").exists():
            shutil.rmtree(left, ignore_errors=True)  # nothing happens to those of other users
    return tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=place)


def _end(scratch: str | None, token: str) -> None:
    import ray

    try:
        ray.shutdown()
    finally:
        began = time.monotonic()
        while (left := _processes_of(token)) and time.monotonic() - began < 20:
            if time.monotonic() - began > 3:  # workers look for their parent now and then, ranks of a killed job never
                for process in left:
                    with suppress(OSError):
                        os.kill(process, signal.SIGKILL)
            time.sleep(0.1)
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _processes_of(token: str) -> list[int]:
    """Find what still runs of a Ray that was started here, by its token, which all its processes inherit (Linux)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            running = (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
            if running and entry.name != str(os.getpid()) and token.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def machines() -> list[Mapping[str, float]]:
    """List the machines that Ray has at the moment, each with what it has in all: ``CPU``, ``GPU`` and others."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
