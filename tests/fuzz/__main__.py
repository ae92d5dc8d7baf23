"""`python -m tests.fuzz [--inputs N] [--seed N] [PARSER…]`; exits with 1 if a parser's branches were not taken."""

from __future__ import annotations

import argparse
import logging
import sys
import time

import structlog

from tests.fuzz.clauses import policy_parser
from tests.fuzz.flows import flow_parsers
from tests.fuzz.parsers import parsers
from tests.fuzz.run import run
from tests.fuzz.texts import text_parsers

LEAST_SHARE = 0.9


def main() -> int:
    asking = argparse.ArgumentParser(prog="python -m tests.fuzz", description=sys.modules["tests.fuzz"].__doc__)
    asking.add_argument("--inputs", type=int, default=100_000, metavar="N", help="to each parser (100,000)")
    asking.add_argument("--seed", type=int, default=1, metavar="N", help="where chance begins (1)")
    asking.add_argument("parser", nargs="*", help="only these")
    options = asking.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    missed = 0
    for parser in [*parsers(), *flow_parsers(), policy_parser(), *text_parsers()]:
        if options.parser and parser.name not in options.parser:
            continue
        began = time.monotonic()
        ran = run(parser, options.inputs, options.seed)
        said = ", ".join(f"{count} {name}" for name, count in sorted(ran.outcomes.items()))
        print(f"{parser.name}: {ran.share:.0%} of branches, {said} in {time.monotonic() - began:.1f} s")
        if ran.share < LEAST_SHARE:
            missed += 1
            print("  one way only:", *ran.untaken)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
