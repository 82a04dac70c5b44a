from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import namedtuple
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfer_lightning.data.images.cache import PARALLEL_FROM, CacheFile, build_cache, default_cache_dir
from mfer_lightning.errors import UserError

SRC = Path(__file__).parents[3] / "src"


class Numbers:
    """A source whose image of row r is filled with r modulo 251."""

    def __init__(
        self, n: int, size: int = 4, odd: int | None = None, broken: int | None = None, die: int | None = None
    ):
        self.n, self.size, self.odd, self.broken, self.die = n, size, odd, broken, die
        self.reads = 0

    def __len__(self) -> int:
        return self.n

    def name(self, row: int) -> str:
        return f"face{row}.png"

    def fingerprint(self, rows: np.ndarray) -> str:
        return f"{self.size}" + "0" * 20 + rows.tobytes().hex()[:8]

    def read(self, row: int) -> np.ndarray:
        self.reads += 1
        if row == self.broken:
            raise UserError(f"face{row}.png is damaged")
        if row == self.die:
            os.kill(os.getpid(), signal.SIGKILL)
        size = self.size + (row == self.odd)
        return np.full((size, size, 3), row % 251, dtype=np.uint8)


def build(source: Numbers, folder: Path, workers: int | None = 2, **options) -> Path:
    return build_cache(source, np.arange(len(source)), folder, "x-train", workers, **options)


def assert_nothing_left(folder: Path) -> None:
    assert [p.name for p in folder.glob("*") if p.suffix != ".lock"] == []


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_rows_are_stored_at_their_index(tmp_path: Path, workers: int) -> None:
    n = PARALLEL_FROM + 11
    images = CacheFile(build(Numbers(n), tmp_path, workers)).images
    assert images.shape == (n, 4, 4, 3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[:, 0, 0, 0], np.arange(n) % 251)


@pytest.mark.timeout(60)
def test_opencv_threads_do_not_hang_child_processes(tmp_path: Path) -> None:
    """A thread pool does not survive a fork; a child process that uses it hangs or crashes."""

    class Blurred(Numbers):
        def read(self, row: int) -> np.ndarray:
            cv2.GaussianBlur(np.zeros((800, 800, 3), dtype=np.uint8), (9, 9), 2)  # large enough for several threads
            return super().read(row)

    before = cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        Blurred(1).read(0)
        build(Blurred(PARALLEL_FROM), tmp_path)
        assert cv2.getNumThreads() == 4
    finally:
        cv2.setNumThreads(before)


def test_any_subset_of_rows_can_be_cached(tmp_path: Path) -> None:
    path = build_cache(Numbers(50), np.array([7, 3, 40]), tmp_path, "x")
    assert CacheFile(path).images[:, 0, 0, 0].tolist() == [7, 3, 40]


def test_cache_is_built_once(tmp_path: Path) -> None:
    first = Numbers(20)
    path = build(first, tmp_path, 1)
    again = Numbers(20)
    assert build(again, tmp_path, 1) == path
    assert again.reads == 0


def test_different_images_use_another_file(tmp_path: Path) -> None:
    assert build(Numbers(20), tmp_path) != build(Numbers(20, size=5), tmp_path)


def test_size_is_printed_before_anything_is_written(tmp_path: Path) -> None:
    heard: list[tuple[str, list[Path]]] = []
    build(Numbers(20), tmp_path, announce=lambda text: heard.append((text, list(tmp_path.glob("*.npy")))))
    ((text, files),) = heard
    assert "20 images of 4 x 4 pixels, 5.06 kB" in text
    assert files == []


@pytest.mark.parametrize("n", [20, PARALLEL_FROM + 1])
def test_damaged_image_leaves_no_partial_cache(tmp_path: Path, n: int) -> None:
    with pytest.raises(UserError, match=f"face{n - 2}.png is damaged"):
        build(Numbers(n, broken=n - 2), tmp_path)
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("n", [20, PARALLEL_FROM + 1])
def test_images_of_several_sizes_are_named(tmp_path: Path, n: int) -> None:
    with pytest.raises(UserError, match=r"face0\.png is 4 x 4 pixels, face9\.png is 5 x 5.*dataset\.size"):
        build(Numbers(n, odd=9), tmp_path)
    assert_nothing_left(tmp_path)


def test_killed_worker_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="was killed"):
        build(Numbers(PARALLEL_FROM + 1, die=PARALLEL_FROM), tmp_path)
    assert_nothing_left(tmp_path)


def test_low_disk_space_is_detected_before_building(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1000))
    with pytest.raises(UserError, match=r"needs 5.06 kB, but only 1 kB of disk space is free.*paths\.cache"):
        build(Numbers(20), tmp_path)
    assert_nothing_left(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux file size limits")
def test_full_disk_raises_an_error_without_crashing(tmp_path: Path) -> None:
    """A file size limit of 64 kB simulates a full disk: writing to a mapping would kill the process."""
    code = """
        import resource, signal, sys
        import numpy as np
        sys.path[:0] = [{tests!r}]
        from data.images.test_cache import Numbers, build
        from pathlib import Path
        from mfer_lightning.errors import UserError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
        try:
            build(Numbers(2000, size=8), Path({folder!r}))
        except UserError as error:
            print("told:", error)
    """.format(tests=str(SRC.parent / "tests"), folder=str(tmp_path))
    done = run_python(code)
    assert "told: Cannot write the image cache" in done.stdout, done.stderr
    assert "paths.cache" in done.stdout
    assert_nothing_left(tmp_path)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(SRC)},
        check=False,
    )


def test_folder_that_cannot_be_created_raises_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write the image cache"):
        build(Numbers(20), tmp_path / "file" / "cache")


SLOW_BUILDER = """
    import sys, time
    sys.path[:0] = [{tests!r}]
    from pathlib import Path
    import data.images.test_cache as t
    class Slow(t.Numbers):
        def read(self, row):
            time.sleep({pause})
            return super().read(row)
    print("start", flush=True)
    t.build(Slow({n}), Path({folder!r}), {workers})
    print("built", flush=True)
"""


def start_builder(folder: Path, n: int, pause: float, workers: int) -> subprocess.Popen[str]:
    code = SLOW_BUILDER.format(tests=str(SRC.parent / "tests"), folder=str(folder), n=n, pause=pause, workers=workers)
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SRC)},
    )


def until(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize(("n", "workers"), [(200, 1), (2 * PARALLEL_FROM, 2)])
def test_killed_builder_leaves_no_file_that_looks_complete(tmp_path: Path, n: int, workers: int) -> None:
    builder = start_builder(tmp_path, n, 0.02, workers)
    until(lambda: list(tmp_path.glob(".*.part")))
    time.sleep(0.1)
    builder.kill()
    builder.wait()
    assert list(tmp_path.glob("*.npy")) == []
    begun = time.monotonic()
    path = build(Numbers(n), tmp_path)  # neither its lock nor its workers block the next builder
    assert time.monotonic() - begun < 5
    np.testing.assert_array_equal(CacheFile(path).images[:, 0, 0, 0], np.arange(n) % 251)
    assert list(tmp_path.glob(".*.part")) == []


def test_one_of_several_concurrent_builders_builds_and_all_read(tmp_path: Path) -> None:
    builder = start_builder(tmp_path, 100, 0.01, 1)
    until(lambda: list(tmp_path.glob(".*.part")))
    sources = [Numbers(100), Numbers(100)]
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda s=s: paths.append(build(s, tmp_path, 1))) for s in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert builder.wait(20) == 0
    assert len(set(paths)) == 1
    assert [s.reads for s in sources] == [0, 0]
    assert len(list(tmp_path.glob("*.npy"))) == 1


def test_pickled_cache_contains_no_pixels(tmp_path: Path) -> None:
    cache = CacheFile(build(Numbers(200), tmp_path))
    assert cache.images.shape[0] == 200
    copy = pickle.dumps(cache)
    assert len(copy) < 1000
    np.testing.assert_array_equal(pickle.loads(copy).images, cache.images)


def test_cache_is_read_only(tmp_path: Path) -> None:
    images = CacheFile(build(Numbers(20), tmp_path)).images
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_environment_variable_sets_the_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MFER_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("MFER_CACHE")
    assert default_cache_dir() == Path.home() / ".cache" / "mfer_lightning"
