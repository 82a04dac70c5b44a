"""Read HEIC and HEIF photos, e.g. from iPhones, with the package pillow-heif, which is imported lazily."""

from __future__ import annotations

from typing import IO

#: Message if the package is missing. It is a separate extra because its wheels contain x265, which is under the GPL.
NEEDS = "HEIC photos need the package pillow-heif: pip install 'mfer_lightning[heic]'"

_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")


def is_heif(start: bytes) -> bool:
    r"""Whether a file with these first bytes (64 are enough) is a HEIC or HEIF photo.

    Example:
        >>> is_heif(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic")
        True
        >>> is_heif(b"\0\0\0\x18ftypavif\0\0\0\0mif1avif")
        False
    """
    brands = start[8 : min(len(start), int.from_bytes(start[:4], "big"))]
    return start[4:8] == b"ftyp" and any(brands[i : i + 4] in _BRANDS for i in range(0, len(brands), 4))


def prepare_for(file: IO[bytes]) -> bool:
    """If a file is a HEIC or HEIF photo, enable PIL to open it.

    Args:
        file: the file, positioned at its beginning; the position is restored.

    Returns:
        Whether it is a HEIC or HEIF photo.

    Raises:
        ImportError: if pillow-heif is missing; the message says how to install it.
    """
    start = file.read(64)
    file.seek(0)
    if not is_heif(start):
        return False
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise ImportError(NEEDS) from error
    register_heif_opener()
    return True
