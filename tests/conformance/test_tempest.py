"""The suites' own results, read: what counts as passed, failed and skipped."""

from __future__ import annotations

from tests.conformance.controllers import SETTINGS, by_setting
from tests.conformance.tempest import verdicts

TEST = "a.api.test_x.XTest.test_one[id-1]"


def test_each_test_has_a_verdict() -> None:
    cases = {
        "passed": {TEST: {"status": "success", "said": ""}},
        "skipped": {"setUpClass (a.api.test_x.XTest)": {"status": "skip", "said": "no extension"}},
        "failed": {"setUpClass (a.api.test_x.XTest)": {"status": "fail", "said": "Traceback\nConflict: taken"}},
    }
    for status, results in cases.items():
        (verdict,) = verdicts([TEST], results)
        assert (verdict.test, verdict.status) == (TEST, status)
    assert verdict.cause == "Conflict: taken"


def test_what_was_never_reported_has_failed() -> None:
    (verdict,) = verdicts([TEST], {})
    assert (verdict.status, verdict.cause) == ("failed", "it was not run")


def test_a_class_that_could_not_be_cleaned_up_after_has_failed() -> None:
    results = {TEST: {"status": "success", "said": ""}}
    results["tearDownClass (a.api.test_x.XTest)"] = {"status": "fail", "said": "Conflict: in use"}
    assert [verdict.status for verdict in verdicts([TEST], results)] == ["passed", "failed"]


def test_each_test_runs_with_one_setting() -> None:
    assert by_setting([TEST]) == {SETTINGS[-1]: [TEST]}
