"""Start Ray on this machine, or connect to a running cluster, within a block. Imports Ray lazily.

A local Ray instance is reachable only from this machine, has no dashboard unless requested, and writes its messages to
a file. At the end, its processes are stopped and its temporary folder is removed.
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

#: Options of ``ray.init`` that a running cluster determines itself.
_OF_A_NEW_ONE = ("num_cpus", "num_gpus", "resources", "object_store_memory", "include_dashboard")

#: Read by Ray when it is imported and started. The first restricts its servers to the loopback interface, which is the
#: default only on macOS and Windows; the second disables usage reports.
_ENVIRONMENT = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


#: Maximum length of the parent of Ray's folder. Of the 107 bytes of a socket's path, the name of our folder takes 30,
#: and Ray's part 65.
_LONGEST = 12


class _WithoutRay:
    """Standard output without the messages of Ray's threads, which go to a file.

    Args:
        stream: standard output.
        file: file open for writing.
    """

    def __init__(self, stream: TextIO, file: TextIO) -> None:
        self._stream, self._file = stream, file

    def write(self, text: str) -> int:
        """Write to the stream or the file, depending on the thread."""
        ours = not threading.current_thread().name.startswith("ray_")
        return (self._stream if ours else self._file).write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def ray_started(options: Mapping[str, Any], log: Path) -> Iterator[None]:
    """Run Ray within a block.

    Args:
        options: arguments of ``ray.init``; None values are ignored. ``address`` is ``"local"``, or names a cluster.
        log: file for Ray's messages; with ``log_to_driver``, only for those written while Ray starts.

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
            # a token, so that other users of this machine are rejected, without a token file in the home folder
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token)
            given |= {"address": "local", "_temp_dir": scratch}
        try:
            import ray

            with output_to(log):
                try:
                    ray.init(**given, configure_logging=False)
                except Exception as error:  # from Ray, gRPC or the operating system
                    said = " ".join(str(error).split())[:300] or type(error).__name__
                    raise UserError(
                        f"Ray cannot be {'started' if local else 'reached'} with hydra.launcher.ray.init.address="
                        f"{given['address']}: {said}"
                    ) from error
                finally:
                    if threading.current_thread() is threading.main_thread():
                        signal.signal(signal.SIGTERM, handler)  # replaces the handler that Ray has installed
            logging.getLogger("ray").setLevel(logging.ERROR)
            with ExitStack() as held:
                if not given.get("log_to_driver"):
                    file = held.enter_context(log.open("a", encoding="utf-8"))
                    held.enter_context(redirect_stdout(_WithoutRay(sys.stdout, file)))
                yield
        finally:
            _end(scratch, token)


def _refuse_silence(address: str) -> None:
    """Reject a cluster address where nothing listens, because Ray would retry for minutes and then end this process.

    Raises:
        UserError: if there is no cluster.
    """
    place = address
    if address == "auto":
        place = os.environ.get("RAY_ADDRESS", "")
        with suppress(OSError):  # written by `ray start`
            place = place or Path("/tmp", "ray", "ray_current_cluster").read_text(encoding="utf-8").strip()  # noqa: S108
    host, _, port = place.rpartition(":")
    if host and port.isdecimal() and int(port) < 2**16 and "//" not in host:  # everything else is validated by Ray
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=20).close()
        except OSError as error:
            raise UserError(
                f"Ray cannot be reached with hydra.launcher.ray.init.address={address}: nothing answers at {place} "
                f"({error.strerror or error}). Start a cluster there with `ray start --head`, or give its address."
            ) from error


def _scratch() -> str:
    """Create a folder for Ray's temporary files, and remove the folders of killed processes.

    The names of the folder and its parent are short because the paths of Ray's sockets, which are created in
    subfolders, must not exceed 107 bytes. The name includes the machine, because containers may share the parent folder
    without seeing each other's processes.
    """
    usual = tempfile.gettempdir()
    place = usual if len(usual) <= _LONGEST else "/tmp"  # noqa: S108 - the folder in it has a unique name
    prefix = f"mfer-ray-{zlib.crc32(platform.node().encode()) & 0xFFFF:04x}-"
    for left in Path(place).glob(f"{prefix}*-*"):
        process = left.name.removeprefix(prefix).partition("-")[0]
        if process.isdigit() and not Path(f"/proc/{process}").exists() and Path("/proc/self").exists():
            shutil.rmtree(left, ignore_errors=True)  # fails for the folders of other users, which stay
    return tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=place)


def _end(scratch: str | None, token: str) -> None:
    import ray

    try:
        ray.shutdown()
    finally:
        began = time.monotonic()
        while (left := _processes_of(token)) and time.monotonic() - began < 20:
            if time.monotonic() - began > 3:  # workers check for their parent now and then, ranks never do
                for process in left:
                    with suppress(OSError):
                        os.kill(process, signal.SIGKILL)
            time.sleep(0.1)
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _processes_of(token: str) -> list[int]:
    """Return the remaining processes of a Ray instance started here, by the token that they all inherit (Linux)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            running = (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
            if running and entry.name != str(os.getpid()) and token.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def machines() -> list[Mapping[str, float]]:
    """Return the machines currently in the cluster, each with its total resources: ``CPU``, ``GPU`` and others."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
