"""Write the files in this folder: `pip install av pillow-heif`, then `python generate.py`. They contain no real faces.

screen.webm: like a screen recording made by a browser: 24 frames at irregular times within 6 seconds, a nominal rate of
    1000 frames per second, and no stored number of frames. Each frame shows one shade of grey.
face.heic: a face of the built-in dataset, stored on its side with the rotation that an iPhone writes.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mfer_lightning.data.facs.generator import FacsGenerator

FOLDER = Path(__file__).parent
#: Milliseconds: a burst, a pause of three seconds, and a slow end.
TIMES = [0, 33, 66, 100, 133, 700, 716, 733, 800, 1400, 4400, 4433, 4466, 4500, 4600, 4700]
TIMES += [4800, 5000, 5200, 5400, 5500, 5700, 5800, 6000]


def write_screen_recording(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=1000)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        stream.bit_rate = 50_000
        for number, time in enumerate(TIMES):
            frame = av.VideoFrame.from_ndarray(np.full((120, 160, 3), 10 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_phone_photo(path: Path) -> None:
    import pillow_heif

    face = cv2.resize(FacsGenerator(seed=0).image("test", 1), (160, 160), interpolation=cv2.INTER_CUBIC)
    canvas = np.full((200, 240, 3), 150, np.uint8)
    canvas[20:180, 40:200] = face
    exif = Image.Exif()
    exif[0x0112] = 6
    pillow_heif.register_heif_opener()
    Image.fromarray(np.rot90(canvas)).save(path, quality=60, exif=exif.tobytes())


if __name__ == "__main__":
    write_screen_recording(FOLDER / "screen.webm")
    write_phone_photo(FOLDER / "face.heic")
