"""The command: choose the tests, run them against fresh controllers, say what failed, count."""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.conformance import controllers
from tests.conformance.cloud import prepare
from tests.conformance.tempest import HERE, Suites, Verdict, bare


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted = [line for line in options.list.read_text().splitlines() if line and not line.startswith("#")]
    wanted = [test for test in wanted if re.search(options.regex, test)]
    folder = Path(tempfile.mkdtemp(prefix="suimon-conformance-"))
    began = time.monotonic()
    found: list[Verdict] = []
    try:
        for setting, tests in controllers.by_setting(wanted).items():
            found += _run(setting, tests, options, folder / setting.name)
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    finally:
        if options.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return _report(found, options.verbose, time.monotonic() - began)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance", description="Is it Neutron, as tempest sees it?"
    )
    parser.add_argument("--list", type=Path, default=HERE / "open.txt", metavar="FILE", help="ids of tests, one a line")
    parser.add_argument("--regex", default="", metavar="RE", help="only those that this matches")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--concurrency", type=int, default=2, metavar="N", help="processes of tests (2)")
    parser.add_argument("--verbose", action="store_true", help="print tracebacks, and why tests were skipped")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs and the store")
    return parser.parse_args()


def _run(setting: controllers.Setting, wanted: list[str], options: argparse.Namespace, folder: Path) -> list[Verdict]:
    folder.mkdir()
    with controllers.fresh(setting, options.database, folder) as controller:
        prepare(controller, folder)
        suites = Suites(folder)
        known = suites.known()
        tests = [known[bare(test)] for test in wanted if bare(test) in known]
        print(f"{len(tests)} tests, {setting.name} setting, {options.database}", flush=True)
        unknown = [Verdict(test, "failed", "there is no such test") for test in wanted if bare(test) not in known]
        return unknown + suites.run(tests, options.concurrency)


def _report(found: list[Verdict], verbose: bool, seconds: float) -> int:
    for verdict in sorted(found):
        if verdict.status == "failed":
            print(f"FAILED {verdict.test}\n    {verdict.cause}")
            if verbose:
                print(re.sub("(?m)^", "    | ", verdict.said.strip()))
        elif verdict.status == "skipped" and verbose:
            print(f"skipped {verdict.test}: {verdict.cause}")
    counts = Counter(verdict.status for verdict in found)
    print(f"in {seconds:.0f} s")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
