"""Snappy's block format, as Prometheus has its bodies (https://github.com/google/snappy, format_description.txt)."""

from typing import Final

_INLINE: Final = 60
"""Literals that are shorter say so in their tag; others in so many bytes more than this as the tag says."""


class SnappyError(ValueError):
    """It is no such block."""


def unpacked(block: bytes, most_bytes: int) -> bytes:
    """Raises SnappyError for what isn't sound, or would be more than `most_bytes`."""
    try:
        length, at = varint(block, 0)
        if length > most_bytes:
            raise SnappyError(f"it would be {length} bytes")
        found = bytearray()
        while at < len(block):
            at = _element(block, at, found, length)
    except IndexError:
        raise SnappyError("it ends too early") from None
    if len(found) != length:
        raise SnappyError(f"it says {length} bytes and has {len(found)}")
    return bytes(found)


def packed(plain: bytes) -> bytes:
    """One literal: what we answer is read once, from near by."""
    if not plain:
        return b"\0"
    return written(len(plain)) + bytes([(_INLINE + 3) << 2]) + (len(plain) - 1).to_bytes(4, "little") + plain


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of up to 64 bits, 7 to a byte, and where it ends. Raises IndexError, SnappyError."""
    number = 0
    for place in range(10):
        byte = data[at + place]
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return number & 0xFFFF_FFFF_FFFF_FFFF, at + place + 1
    raise SnappyError("a number is too long")


def written(number: int) -> bytes:
    """The opposite of `varint`."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _element(block: bytes, at: int, found: bytearray, most: int) -> int:
    """One literal or copy, put behind `found`; where the next begins. Raises IndexError, SnappyError."""
    tag = block[at]
    at += 1
    if tag & 3 == 0:
        length = (tag >> 2) + 1
        if length > _INLINE:
            wide = length - _INLINE
            length, at = _little(block, at, wide) + 1, at + wide
        if at + length > len(block) or len(found) + length > most:
            raise SnappyError("a literal is longer than what there is")
        found += block[at : at + length]
        return at + length
    if tag & 3 == 1:
        length, offset, at = 4 + (tag >> 2 & 7), (tag >> 5) << 8 | block[at], at + 1
    else:
        wide = 2 if tag & 3 == 2 else 4
        length, offset, at = 1 + (tag >> 2), _little(block, at, wide), at + wide
    if not 0 < offset <= len(found) or len(found) + length > most:
        raise SnappyError("a copy of what is not there")
    # It may copy what it has just written: then that repeats.
    begin = len(found) - offset
    piece = found[begin : begin + length]
    found += (piece * (length // len(piece) + 1))[:length]
    return at


def _little(block: bytes, at: int, wide: int) -> int:
    if at + wide > len(block):
        raise SnappyError("it ends too early")
    return int.from_bytes(block[at : at + wide], "little")
