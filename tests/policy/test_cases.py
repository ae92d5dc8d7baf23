"""The language as its users know it: each case file's every case."""

from typing import Any

import pytest

from tests.policy.run_cases import CASES, cases, judge


@pytest.mark.parametrize("case", list(cases(sorted(CASES.glob("*.jsonl")))), ids=lambda case: case["id"])
def test_a_case_of_the_language(case: dict[str, Any]) -> None:
    assert judge(case) == ""
