"""Thousands of photos and a two-hour video: memory stays flat, and a killed prediction resumes to the same table."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands.processes import Bench
from commands.processes import bench as bench
from faults.faces import memory, photo, write_photo

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

PHOTOS = 3000
#: One frame per second for two hours.
FRAMES = 7200
#: Number of photos or frames after which memory must be flat, and the fraction by which it may still grow.
WARM, GROWTH = 500, 0.05


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(PHOTOS):
        write_photo(folder / f"{number:04}.png", number)
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people, one of whom moves; both are replaced from time to time."""
    path = tmp_path_factory.mktemp("video") / "day.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 1.0, (192, 96))
    for number in range(FRAMES):
        left, right = photo(number // 60 % 40, 96, 96), photo(40 + number // 90 % 40, 96, 96)
        writer.write(
            np.ascontiguousarray(np.concatenate((left, np.roll(right, number % 9, axis=1)), axis=1)[:, :, ::-1])
        )
    writer.release()
    return path


def lines(output: Path) -> int:
    path = output / "predictions.jsonl"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def begin(bench: Bench, output: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mfer_lightning", "predict", *arguments, f"output={output}", "device=cpu"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, env=bench.environment(), cwd=bench.folder)


def watched(process: subprocess.Popen[bytes], output: Path) -> list[tuple[int, int]]:
    """Return pairs of items done and resident memory, sampled until the process ends."""
    found = []
    while process.poll() is None:
        done = lines(output)
        try:
            found.append((done, memory(process.pid)["VmRSS"]))
        except (OSError, KeyError):  # the process has just ended
            break
        time.sleep(0.02)  # a fast machine finishes all photos in seconds
    assert process.wait() == 0
    return found


def check_flat(found: list[tuple[int, int]], total: int) -> str:
    """Check that memory grows by at most ``GROWTH`` after the first items."""
    after = [(done, size) for done, size in found if WARM <= done < total]
    assert len(after) > 10
    first = max(size for done, size in after if done <= 2 * WARM)
    largest = max(size for _, size in after)
    assert largest <= (1 + GROWTH) * first, [(done, size >> 20) for done, size in after[:: max(1, len(after) // 20)]]
    return f"{first >> 20} MB after {WARM} to {2 * WARM}, {largest >> 20} MB at most until {total}"


def table(output: Path) -> tuple[bytes, bytes]:
    return (output / "predictions.jsonl").read_bytes(), (output / "predictions.csv").read_bytes()


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def kill_and_go_on(bench: Bench, output: Path, total: int, start: Callable[[], subprocess.Popen[bytes]]) -> list[int]:
    """Kill the prediction at two random moments, then let it finish."""
    rng, killed = random.Random(total), []
    for low in (0.2, 0.6):
        process, moment = start(), int(rng.uniform(low, low + 0.3) * total)
        while process.poll() is None and lines(output) < moment:
            time.sleep(0.01)
        assert process.poll() is None, "the process ended before it could be killed"
        process.kill()
        process.wait()
        killed.append(lines(output))
        assert bench.left_running() == []
    assert start().wait() == 0
    return killed


def check_killed_against_alone(bench: Bench, arguments: tuple[str, ...], total: int) -> None:
    """Check that memory is flat, and that a killed prediction resumes to the same table and files."""
    alone, killed = bench.folder / "alone", bench.folder / "killed"
    began = time.monotonic()
    said = check_flat(watched(begin(bench, alone, *arguments), alone), total)
    took = time.monotonic() - began
    assert lines(alone) == total
    places = kill_and_go_on(bench, killed, total, lambda: begin(bench, killed, *arguments))
    print(f"{arguments}: {took:.0f} s; {said}; killed after {places}")
    assert table(killed) == table(alone)
    assert names(killed) == names(alone)


@pytest.mark.parametrize("options", [("aligned=true",), ("workers=2",)], ids=["aligned", "detected by two processes"])
def test_predict_three_thousand_photos(options: tuple[str, ...], bench: Bench, photos: Path, run: Path) -> None:
    arguments = (str(photos), f"checkpoint={run}", *options)
    check_killed_against_alone(bench, arguments, PHOTOS)
    assert bench.left_running() == []


def test_predict_video_of_two_hours(bench: Bench, video: Path, run: Path) -> None:
    arguments = (str(video), f"checkpoint={run}", "video.fps=1", "video.timelines=2")
    check_killed_against_alone(bench, arguments, FRAMES)
