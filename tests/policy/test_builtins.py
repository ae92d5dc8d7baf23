"""Every builtin, asked through a clause: what follows from values alone, and what has no answer."""

from __future__ import annotations

import pytest

from suimon.policy.builtins import BUILTINS
from tests.policy.test_engine import engine

ANSWERS = {
    "lt": [("1, 1.5", True), ('"a", "b"', True), ("2, 1", False), ('1, "a"', False)],
    "lteq": [("2, 2", True), ("3, 2", False)],
    "gt": [("2, 1", True), ("2, 2", False)],
    "gteq": [("2, 2.0", True), ("1, 2", False)],
    "equal": [("1, 1.0", True), ("true, 1", False), ("null, null", True)],
    "max": [("1, 2", 2), ('"a", "b"', "b"), ('1, "b"', None)],
    "plus": [("2, 3", 5), ("1, 0.5", 1.5), (f"{2**63 - 1}, 1", None)],
    "minus": [("2, 3", -1)],
    "mul": [("-2, 3", -6)],
    "div": [("7, 2", 3), ("7.0, 2", 3.5), ("-7, 2", -4), ("1, 0", None)],
    "float": [("7", 7.0), ('"1.5"', 1.5), ('"x"', None)],
    "int": [("7.9", 7), ('"12"', 12), ('"x"', None)],
    "concat": [('"ab", "c"', "abc"), (f'"{"a" * 1023}", "b"', "a" * 1023 + "b"), (f'"{"a" * 1023}", "bc"', None)],
    "len": [('"abc"', 3)],
    "unpack_date": [('"2024-02-29 13:04:05"', (2024, 2, 29))],
    "unpack_time": [('"2024-02-29T13:04:05Z"', (13, 4, 5)), ('"soon"', None)],
    "unpack_datetime": [('"2024-2-9 1:04:05"', (2024, 2, 9, 1, 4, 5))],
    "pack_date": [("2024, 3, 1", "2024-3-1")],
    "pack_time": [("0, 30, 0", "0:30:0")],
    "pack_datetime": [("2024, 3, 1, 0, 30, 0", "2024-3-1 0:30:0")],
    "extract_date": [('"2024-03-01 00:30:00"', "2024-03-01")],
    "extract_time": [('"2024-03-01 00:30:00"', "00:30:00")],
    "datetime_to_seconds": [('"1900-01-02 00:00:01"', 86401)],
    "datetime_plus": [
        ('"2024-02-28", 86400', "2024-02-29 00:00:00"),
        ('"2024-02-28", "1:1:0:0:0"', "2024-03-07 00:00:00"),
    ],
    "datetime_minus": [('"2024-03-01 00:30:00", "1:00:00"', "2024-02-29 23:30:00")],
    "datetime_lt": [('"2024-01-01", "2024-01-02"', True)],
    "datetime_lteq": [('"2024-01-01", "2024-01-01 00:00:00"', True)],
    "datetime_gt": [('"2024-01-01", "2024-01-02"', False), ('"2024-01-03", "2024-01-02"', True)],
    "datetime_gteq": [('"2024-01-02", "2024-01-02"', True)],
    "datetime_equal": [('"2024-1-2", "2024-01-02 00:00:00"', True)],
    "ips_equal": [('"2001:db8::1", "2001:0db8:0:0::0001"', True)],
    "ips_lt": [('"10.0.0.9", "10.0.0.10"', True), ('"10.0.0.9", "nowhere"', False)],
    "ips_lteq": [('"10.0.0.9", "10.0.0.9"', True)],
    "ips_gt": [('"10.0.0.100", "10.0.0.20"', True)],
    "ips_gteq": [('"10.0.0.20", "10.0.0.20"', True)],
    "networks_equal": [('"10.0.0.1/24", "10.0.0.0/24"', True)],
    "networks_overlap": [('"10.0.0.128/25", "10.0.0.0/24"', True), ('"10.0.0.0/24", "fd00::/8"', False)],
    "ip_in_network": [('"10.1.2.3", "10.1.0.0/16"', True), ('"fd00::1", "10.1.0.0/16"', False)],
    "validate_int": [
        ('1, 5, "3"', ""),
        ("1, 5, 7", "Should be less than or equal to 5"),
        ('"", "", "x"', "x is not an integer"),
    ],
    "validate_float": [('1, "", 0.5', "Should be greater than or equal to 1")],
    "validate_string": [
        ('"^a+$", 5, false, false, "aaa"', ""),
        ('"", 2, false, false, "aaa"', "Value 'aaa' exceeds maximum length 2"),
        ('"(a+)+$", 0, false, false, "aaa"', None),
    ],
}


def test_all_are_here() -> None:
    assert ANSWERS.keys() == BUILTINS.keys()


@pytest.mark.parametrize("name", ANSWERS)
def test_a_builtin_answers(name: str) -> None:
    outputs = BUILTINS[name].outputs
    names = ", ".join(f"o{i}" for i in range(outputs))
    for inputs, expected in ANSWERS[name]:
        made = engine(
            f"r({names or 1}) :- true_(1), builtin:{name}({inputs}{', ' if names else ''}{names})", "true_(1)"
        )
        found = made.rows("main", "r")
        if not outputs:
            assert bool(found) == expected, inputs
        elif expected is None:
            assert not found, inputs
        else:
            row = expected if isinstance(expected, tuple) else (expected,)
            assert list(map(repr, found)) == [repr(row)], inputs
