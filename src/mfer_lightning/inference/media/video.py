"""Read frames of a video or a camera at a chosen rate, and write videos, with OpenCV."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfer_lightning.errors import UserError, check_number
from mfer_lightning.files import atomic_path
from mfer_lightning.inference.media.photo_files import VIDEO_SUFFIXES, shown
from mfer_lightning.inference.media.photos import MOST_PIXELS, Picture
from mfer_lightning.inference.results import TOO_LARGE, UNREADABLE
from mfer_lightning.plurals import counted

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # errors become rows of the results

_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"

#: A video counts as truncated if less than this fraction of its frames and of its duration can be read. Containers may
#: state a few more frames than they contain. If a container does not state the number of frames, OpenCV multiplies the
#: duration by the frame rate, which is arbitrary if it is variable (1000 per second in screen and browser recordings).
_CUT_OFF = 0.95

#: Frame rate of an annotated copy if that of the video is above the second number, and therefore only nominal.
_USUAL_RATE, _HIGHEST_RATE = 60.0, 240.0


def is_camera(source: str) -> bool:
    """Whether a source is the number of a camera.

    Example:
        >>> is_camera("0"), is_camera("clip.mp4")
        (True, False)
    """
    return source.isascii() and source.isdigit() and not Path(source).exists()


def is_video(source: str | Path) -> bool:
    """Whether a source is a file with a video file extension."""
    path = Path(source).expanduser()
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


class Frames:
    """Frames of a video or a camera.

    After the last frame, ``message`` explains why there are no more frames; it is empty if all requested frames were
    read. ``rate`` is the number of frames per second returned, based on the rate that OpenCV reports, or on 25 if it
    reports none. For a variable frame rate, OpenCV reports the average or a nominal maximum, depending on the file.

    Args:
        source: a file, or a camera's number.
        fps: frames per second to return; None: all.
        seconds: stop after this time; None: at the end.
        most_pixels: larger frames are rejected.

    Raises:
        ValueError: if ``fps`` or ``seconds`` is not above 0.
        UserError: if there is no such camera.
    """

    def __init__(
        self,
        source: str | Path | int,
        *,
        fps: float | None = None,
        seconds: float | None = None,
        most_pixels: int = MOST_PIXELS,
    ) -> None:
        for name, value in (("fps", fps), ("seconds", seconds)):
            if value is not None:
                check_number(name, value, 0, excluded="low")
        self.source = source
        self.live = isinstance(source, int)
        self.name = f"camera {source}" if self.live else shown(Path(source))  # type: ignore[arg-type]
        self.fps = fps
        self.seconds = seconds
        self.most_pixels = most_pixels
        self.message = ""
        self.status = UNREADABLE
        self._capture = _open(source)
        if self.live and not self._capture.isOpened():
            raise UserError(f"source={source}: there is no such camera, or another program is using it.")
        own = float(self._capture.get(cv2.CAP_PROP_FPS) or 0)
        self.own_rate = own if math.isfinite(own) and 0 < own <= 1000 else 25.0
        self.rate = self.own_rate if fps is None else min(fps, self.own_rate)
        self.promised = max(0, int(_finite(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))))
        self.length = self.promised / own if math.isfinite(own) and own > 0 else 0.0  # seconds

    @property
    def expected(self) -> int | None:
        """Number of frames to expect, if the file states it; None for a camera."""
        if self.live or not self.promised:
            return None
        return max(1, round(min(self.length, self.seconds or self.length) * self.rate))

    def __iter__(self) -> Iterator[Picture]:
        """Read the frames in order; those between the wanted ones are decoded, but not converted to RGB."""
        try:
            if not self._opened():
                return
            yield from self._read()
        finally:
            self._capture.release()

    def _opened(self) -> bool:
        if not self._capture.isOpened():
            self.message = "it cannot be opened as a video: it is damaged, truncated, or in an unknown format"
            return False
        sides = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        width, height = (int(_finite(self._capture.get(side))) for side in sides)
        if width * height > self.most_pixels:
            self.status = TOO_LARGE
            self.message = f"its frames have {width:,} x {height:,} pixels, more than max_pixels={self.most_pixels:,}"
            return False
        return True

    def _read(self) -> Iterator[Picture]:
        number, due, last, started = 0, 0.0, -1.0, monotonic()
        while self._capture.grab():
            time = monotonic() - started if self.live else self._time(number, last)
            if self.seconds is not None and time >= self.seconds:
                return
            if self.fps is None or time >= due - 0.5 / self.own_rate:
                due = _next_due(due, time, self.fps) if self.fps else time
                good, frame = self._capture.retrieve()
                if good and frame is not None:
                    image = np.ascontiguousarray(_three(frame)[:, :, ::-1])
                    size = {"width": image.shape[1], "height": image.shape[0]}
                    yield Picture(self.name, image, frame=number, time=round(time, 4), **size)
            number, last = number + 1, time
        if number == 0:
            self.message = "it contains no readable frame"
        elif self.live:
            self.message = "the camera sent no more frames"
        elif number < _CUT_OFF * self.promised - 2 and last < _CUT_OFF * self.length - 2 / self.own_rate:
            shown = f"{last:,.1f} of {self.length:,.1f} seconds could be read ({counted(number, 'frame')})"
            self.message = f"it is truncated, or its last frame is frozen: {shown}"

    def _time(self, number: int, last: float) -> float:
        """Return the time of the frame from the file, or by counting if the file's times do not increase."""
        stamp = _finite(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        return stamp if stamp > last or (number == 0 and stamp == 0) else max(last, 0.0) + 1 / self.own_rate


@contextmanager
def video_writer(path: Path, rate: float, width: int, height: int) -> Iterator[Any]:
    """Write an MPEG-4 file atomically: yield a function that takes (H,W,3) RGB frames.

    The function's second argument is the time of the frame in seconds. OpenCV only writes constant rates, so a frame is
    repeated until the next one is due, and skipped if the previous one is due at the same time. Without times, all
    frames are written once.

    Args:
        path: the file.
        rate: frames per second.
        width: width of the frames in pixels.
        height: height of the frames in pixels.

    Raises:
        UserError: if this OpenCV cannot write videos, the folder cannot be written to, or the video is incomplete.
    """
    rate = rate if rate <= _HIGHEST_RATE else _USUAL_RATE
    written, first, latest = 0, 0.0, np.zeros((height, width, 3), np.uint8)
    with atomic_path(path) as temporary:
        writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))
        if not writer.isOpened():
            _write_some(temporary)
            raise UserError(f"{path} cannot be written: this OpenCV has no MPEG-4 encoder. Leave out annotate=true.")

        def write(frame: NDArray[np.uint8], time: float | None = None) -> None:
            nonlocal written, first, latest
            if not written:
                first = time or 0.0
            due = written if time is None else round((time - first) * rate)
            if due < written:
                return
            for _ in range(due - written):
                writer.write(latest)
            if frame.shape[:2] != (height, width):
                frame = np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
            latest = np.ascontiguousarray(frame[:, :, ::-1])
            writer.write(latest)
            written = due + 1

        try:
            yield write
        finally:
            writer.release()
        if written and not _is_whole(temporary):  # OpenCV does not report a full disk
            _write_some(temporary)
            raise UserError(
                f"{path}: OpenCV wrote an incomplete video, although there is space on the disk now. Repeat the same "
                "command, or leave out annotate=true."
            )


def _write_some(path: Path) -> None:
    """Append a block to a file, which raises OSError if the disk is full."""
    with path.open("ab") as file:
        file.write(bytes(1 << 16))
        os.fsync(file.fileno())


def _is_whole(path: Path) -> bool:
    """Whether the boxes of an MPEG-4 file add up to its size and include the index, which is written last."""
    size, position, kinds = path.stat().st_size, 0, []
    with path.open("rb") as file:
        while position + 8 <= size:
            file.seek(position)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            length = int.from_bytes(head[8:16], "big") if length == 1 else length
            kinds.append(head[4:8])
            if length < 8:
                return False
            position += length
    return position == size and b"moov" in kinds


def _open(source: str | Path | int) -> Any:
    logging = getattr(cv2.utils, "logging", cv2)  # since OpenCV 5; before that, in cv2 itself
    level = logging.getLogLevel()
    logging.setLogLevel(0)  # silent: the caller reports what cannot be opened
    try:
        return _open_loudly(source)
    finally:
        logging.setLogLevel(level)


def _open_loudly(source: str | Path | int) -> Any:
    if isinstance(source, int):
        return cv2.VideoCapture(source)
    before = os.environ.get(_OPTIONS)
    os.environ[_OPTIONS] = "protocol_whitelist;file"  # a playlist named .mp4 must not fetch anything
    try:
        # other backends interpret % as a pattern
        return cv2.VideoCapture(str(Path(source).expanduser()), cv2.CAP_FFMPEG)
    finally:
        os.environ.pop(_OPTIONS) if before is None else os.environ.update({_OPTIONS: before})


def _next_due(due: float, time: float, fps: float) -> float:
    """Return when the next frame is wanted: on the grid of ``fps``, which starts again after a gap.

    Example:
        >>> _next_due(0.4, 0.41, 5.0).__round__(2), _next_due(0.4, 3.0, 5.0)
        (0.6, 3.2)
    """
    return due + 1 / fps if time < due + 1 / fps else time + 1 / fps


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _three(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(frame[:, :, None], 3, axis=2) if frame.ndim == 2 else frame[:, :, :3]
