"""What kind of picture some bytes are, and how large."""

from __future__ import annotations

import struct
from typing import NamedTuple

#: Markers of JPEG that begin a frame, which says the size.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class Picture(NamedTuple):
    """What is known of a picture; 0 is not known."""

    media_type: str
    width: int = 0
    height: int = 0


def look(head: bytes) -> Picture | None:
    """Look at the beginning of a file. Gives ``None`` for what is no picture."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return Picture("image/png", *(struct.unpack(">II", head[16:24]) if len(head) >= 24 else ()))
    if head.startswith((b"GIF87a", b"GIF89a")):
        return Picture("image/gif", *(struct.unpack("<HH", head[6:10]) if len(head) >= 10 else ()))
    if head.startswith(b"\xff\xd8\xff"):
        return Picture("image/jpeg", *_jpeg(head))
    if head.startswith(b"BM"):
        return Picture("image/bmp")
    if head.startswith((b"II*\0", b"MM\0*")):
        return Picture("image/tiff")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Picture("image/webp")
    if b"<svg" in head[:1024]:
        return Picture("image/svg+xml")
    return None


def _jpeg(head: bytes) -> tuple[int, ...]:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], struct.unpack(">H", head[at + 2 : at + 4])[0]
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return ()
