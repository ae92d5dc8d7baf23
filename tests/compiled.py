"""What is written in C and by numpy: both are asked, and the C is compiled anew."""

import ctypes
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from suimon.model.compiled import digest


def built(module: Any, folder: Path, *options: str) -> ctypes.CDLL:
    """The library of a module's C, made in that folder."""
    build(Path(module.__file__).with_suffix(".c"), folder, *options)
    library: ctypes.CDLL | None = module._loaded(str(folder))
    assert library is not None
    return library


def build(source: Path, folder: Path | None = None, *options: str) -> None:
    """The library of that C, beside it or in that folder, as `.ci/bootstrap` does it, but for these options of gcc."""
    made = (folder or source.parent) / f"lib{source.stem}.so"
    flags = "-O3", "-fvisibility=hidden", "-shared", "-fPIC", f"-DSOURCE={digest(str(source)):#x}"
    subprocess.run(["gcc", *flags, *options, "-o", made, source], check=True)


def both(module: Any, found: Callable[[], Any]) -> Iterator[Any]:
    """By the module's library, then by numpy."""
    yield found()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_LIBRARY", None)
        yield found()
