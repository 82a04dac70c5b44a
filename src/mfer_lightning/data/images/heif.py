"""Read HEIC and HEIF photos, as iPhones take them, with pillow-heif, which is imported at the first such photo."""

from __future__ import annotations

from typing import IO

#: What to do where the package is missing. Its wheels hold x265 and so are under the GPL: an extra of its own.
NEEDS = "HEIC photos need the package pillow-heif: pip install 'mfer_lightning[heic]'"

_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")


def is_heif(start: bytes) -> bool:
    r"""Whether a file with these first bytes (64 will do) is a HEIC or HEIF photo.

    Example:
        >>> is_heif(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic")
        True
        >>> is_heif(b"\0\0\0\x18ftypavif\0\0\0\0mif1avif")
        False
    """
    brands = start[8 : min(len(start), int.from_bytes(start[:4], "big"))]
    return start[4:8] == b"ftyp" and any(brands[i : i + 4] in _BRANDS for i in range(0, len(brands), 4))


def prepare_for(file: IO[bytes]) -> bool:
    """Make PIL able to open a file if that is a HEIC photo.

    Args:
        file: at its beginning, where it is left.

    Returns:
        Whether it is one.

    Raises:
        ImportError: with a sentence that says what to install.
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
