"""What the collector frees it needs again at once: memory that came back from the kernel would be cleared each time."""

from __future__ import annotations

import ctypes
from typing import Final

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST: Final = 32 << 20
"""DEFAULT_MMAP_THRESHOLD_MAX of glibc on 64 bits; a larger value is refused."""
_KEPT: Final = 512 << 20


def keep_freed() -> bool:
    """From now on freed arrays stay with this process, up to 512 MiB; whether the C library knows how (mallopt(3))."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False  # musl has none.
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, _KEPT))
