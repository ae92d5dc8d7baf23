"""Which branches a run took, told by the interpreter itself: after each conditional jump, where did it go on?"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from inspect import unwrap
from itertools import pairwise
from types import CodeType, FrameType
from typing import Any

_Place = tuple[CodeType, int]


class Branches:
    """Those of some functions, with all that is defined inside them."""

    def __init__(self, functions: Iterable[Callable[..., Any]]) -> None:
        self._next: dict[_Place, int] = {}
        self._taken: dict[_Place, set[bool]] = {}
        self._codes: set[CodeType] = set()
        for function in functions:
            self._read(getattr(unwrap(function), "__code__"))  # noqa: B009 (a function has one, mypy's Callable not)

    @property
    def share(self) -> float:
        taken = sum(map(len, self._taken.values()))
        return taken / (2 * len(self._taken)) if self._taken else 1.0

    def untaken(self) -> list[str]:
        """`function:line` of every conditional that only ever went one way."""
        lines = []
        for (code, offset), ways in self._taken.items():
            if len(ways) < 2:
                line = max((start, number) for start, _, number in code.co_lines() if start <= offset and number)[1]
                lines.append(f"{code.co_qualname}:{line}")
        return lines

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Costs a hundred times what runs in it."""
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(before)

    def _read(self, code: CodeType) -> None:
        self._codes.add(code)
        instructions = list(dis.get_instructions(code))
        prefixed = -1
        for one, following in pairwise(instructions):
            # A jump too far for its argument has a prefix; the interpreter tells of both together, as of the prefix.
            begin = one.offset if prefixed < 0 else prefixed
            prefixed = begin if one.opname == "EXTENDED_ARG" else -1
            if "_IF_" in one.opname or one.opname == "FOR_ITER":
                self._next[code, begin] = following.offset
                self._taken[code, begin] = set()
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self._read(constant)

    def _called(self, frame: FrameType, _event: str, _argument: object) -> Any:
        if frame.f_code not in self._codes:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        last = -1

        def step(frame: FrameType, event: str, _argument: object) -> Any:
            nonlocal last
            if event == "opcode":
                place = frame.f_code, last
                if place in self._next:
                    self._taken[place].add(frame.f_lasti == self._next[place])
                last = frame.f_lasti
            return step

        return step
