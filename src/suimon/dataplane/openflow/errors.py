"""What an OpenFlow error message says, in words (OpenFlow 1.5.1, 7.5.4; Open vSwitch's ofp-errors.h for Nicira's)."""

from __future__ import annotations

import struct
from typing import Final

_TYPES: Final = {
    0: "hello failed",
    1: "bad request",
    2: "bad action",
    3: "bad instruction",
    4: "bad match",
    5: "flow refused",
    6: "group refused",
    9: "queue operation failed",
    10: "switch configuration refused",
    11: "role request failed",
    12: "meter refused",
    17: "bundle failed",
}
_CODES: Final = {
    (1, 0): "OpenFlow version not supported",
    (1, 1): "message type not supported",
    (1, 2): "multipart type not supported",
    (1, 5): "not permitted",
    (1, 6): "wrong length",
    (1, 9): "no such table",
    (1, 11): "invalid or missing port",
    (1, 12): "invalid packet in packet-out",
    (2, 0): "unknown action",
    (2, 1): "wrong action length",
    (2, 3): "unknown Nicira action",
    (2, 4): "invalid output port",
    (2, 5): "invalid argument",
    (2, 9): "no such group",
    (2, 10): "action does not fit the match: a prerequisite is missing",
    (2, 13): "field can't be set: unknown",
    (2, 14): "field can't be set: wrong length",
    (2, 15): "field can't be set to this value, or is read-only",
    (2, 17): "no such meter",
    (3, 0): "unknown instruction",
    (3, 1): "instruction not supported",
    (3, 2): "goto to a table that is not later",
    (3, 7): "wrong instruction length",
    (4, 1): "wrong match length",
    (4, 6): "unknown field",
    (4, 7): "value not supported for this field",
    (4, 8): "mask not supported for this field",
    (4, 9): "a prerequisite of a field is missing",
    (4, 10): "field given twice",
    (5, 1): "table is full",
    (5, 2): "no such table",
    (5, 3): "overlaps another flow",
    (6, 0): "group exists already",
    (6, 1): "invalid group",
    (6, 3): "no room for more groups",
    (6, 4): "too many buckets",
    (6, 7): "groups would make a loop",
    (6, 8): "no such group",
    (6, 12): "invalid bucket",
    (12, 1): "meter exists already",
    (12, 2): "invalid meter",
    (12, 3): "no such meter",
    (12, 5): "flags not supported",
    (12, 6): "rate not supported",
    (12, 7): "burst not supported",
    (12, 10): "no room for more meters",
    (17, 2): "no such bundle",
    (17, 3): "bundle exists already",
    (17, 4): "bundle is closed",
    (17, 15): "bundles not supported",
    (17, 16): "a message in it failed",
}
_EXPERIMENTER_CODES: Final = {
    2: "invalid match",
    3: "unknown field, or wrong mask or length",
    4: "a field that must be zero is not",
    11: "an argument that must be zero is not",
    15: "conjunction must stand alone, with clause 1..n of 2..64",
    42: "the datapath can't do this connection tracking action",
    43: "the datapath can't match on this connection tracking field",
}
_EXPERIMENTER: Final = 0xFFFF
UNKNOWN_METER: Final = (12, 3)
METER_EXISTS: Final = (12, 1)


class Refused(Exception):
    """The switch answered with an error. `code` is (type, code); str() is for people."""

    def __init__(self, code: tuple[int, int]) -> None:
        super().__init__(_text(*code))
        self.code = code


def decode_error(body: bytes) -> Refused:
    """From an OFPT_ERROR message without its header."""
    kind, code = struct.unpack_from("!HH", body)
    return Refused((kind, code))


def _text(kind: int, code: int) -> str:
    if kind == _EXPERIMENTER:
        return f"{_EXPERIMENTER_CODES.get(code, 'refused')} (Nicira error {code})"
    why = _CODES.get((kind, code), "")
    return f"{_TYPES.get(kind, 'refused')}{': ' if why else ''}{why} (OpenFlow error {kind},{code})"
