"""Reads a subunit stream, writes JSON: id → {status, said}. Run by the Python that has tempest, and so subunit."""

import json
import sys
from typing import Any

import subunit  # type: ignore[import-not-found]
import testtools  # type: ignore[import-not-found]

results: dict[str, dict[str, str]] = {}


def keep(test: dict[str, Any]) -> None:
    said = [test["details"][key].as_text() for key in ("reason", "traceback") if key in test["details"]]
    results[test["id"]] = {"status": test["status"], "said": "\n".join(said)}


if __name__ == "__main__":
    stream = testtools.StreamToDict(keep)
    stream.startTestRun()
    subunit.ByteStreamToStreamResult(sys.stdin.buffer, non_subunit_name="stdout").run(stream)
    stream.stopTestRun()
    json.dump(results, sys.stdout)
