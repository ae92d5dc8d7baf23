"""One mutant on trial: a copy of src/ with the edit in it, and the tests that should notice, run against that copy."""

import ast
import compileall
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from tests.compiled import build
from tests.mutants.kinds import KINDS, Mutant
from tests.turns import SYSTEM

ROOT = Path(__file__).resolve().parent.parent.parent
TRIAL_LIMIT_S = 240
TIMED_OUT = -1

TOO_SLOW = (SYSTEM, "tests/api/test_serve.py", "tests/api/test_identity_keystone.py")
"""About processes and not about what they decide; a mutant that only they notice lacks a test nearer to it."""

Verdict = Literal["killed", "survived", "undecided", "invalid", "equivalent", "not run"]


class Outcome(NamedTuple):
    """What became of a mutant; `by` is the test that noticed, or what went wrong."""

    mutant: Mutant
    verdict: Verdict
    by: str = ""


class Copy:
    """A private copy of src/, which imports before the installed one because it comes first in PYTHONPATH."""

    def __init__(self, folder: Path) -> None:
        self._src = folder / "src"
        shutil.copytree(ROOT / "src", self._src, ignore=shutil.ignore_patterns("__pycache__"))
        # Hypothesis keeps what failed and tries it first next time: what failed for a mutant must not stay.
        kept = {"HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis")}
        self._env = {**os.environ, **kept, "PYTHONPATH": str(self._src), "PYTHONDONTWRITEBYTECODE": "1"}
        self._passing: set[str] = set()
        compileall.compile_dir(self._src, quiet=1)
        ask = [sys.executable, "-c", "import suimon; print(suimon.__file__)"]
        found = subprocess.check_output(ask, env=self._env, cwd=ROOT, text=True).strip()
        if not Path(found).is_relative_to(self._src):
            raise SystemExit(f"the tests would run against {found}, not against the copy in {self._src}")

    def run(self, tests: tuple[str, ...]) -> tuple[int, str]:
        """Exit code of pytest, and the first test that failed."""
        present = [name for name in tests if (ROOT / name.partition("::")[0]).exists()]
        chosen = [name for name in present if not name.startswith(TOO_SLOW)]
        options = ["-q", "-x", "-rfE", "-p", "no:cacheprovider", "--tb=no", *(f"--ignore={name}" for name in TOO_SLOW)]
        command = [sys.executable, "-m", "pytest", *options, *chosen]
        with subprocess.Popen(
            command, env=self._env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        ) as process:  # fmt: skip
            try:
                output, _ = process.communicate(timeout=TRIAL_LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return TIMED_OUT, f"no end within {TRIAL_LIMIT_S} s"
        return process.returncode, _first_failure(output)

    def judge(self, mutant: Mutant) -> Outcome:
        """The verdict on one mutant; the copy is whole again afterwards."""
        with self._broken(mutant):
            code, failure = self.run(_nearest_first(mutant))
        if code < TIMED_OUT:
            return Outcome(mutant, "killed", f"the tests' process ended by signal {-code}")
        # pytest's exit codes: 1 is a test that failed; 2 and more mean that tests could not be collected, which
        # would happen to any broken file and so proves nothing.
        verdicts: dict[int, Verdict] = {0: "survived", 1: "killed", TIMED_OUT: "undecided"}
        verdict = verdicts.get(code, "invalid")
        if verdict == "killed" and not self._passes_unbroken(failure):
            return Outcome(mutant, "undecided", f"{failure} fails without it, too")
        return Outcome(mutant, verdict, failure)

    @contextlib.contextmanager
    def _broken(self, mutant: Mutant) -> Iterator[None]:
        path = self._src / mutant.path
        whole = path.read_bytes()
        broken = whole[: mutant.start] + mutant.text + whole[mutant.end :]
        if path.suffix == ".py":
            ast.parse(broken)  # Bad syntax would be a fault of `kinds`, and no verdict on the tests.
        path.write_bytes(broken)
        try:
            if path.suffix == ".c":
                build(path)
            yield
        finally:
            path.write_bytes(whole)
            if path.suffix == ".c":
                build(path)

    def _passes_unbroken(self, test: str) -> bool:
        """Or its failing says nothing."""
        if test not in self._passing and self.run((test,))[0] == 0:
            self._passing.add(test)
        return test in self._passing


def _nearest_first(mutant: Mutant) -> tuple[str, ...]:
    """The tests named for this kind, starting with the file that mirrors the mutated one and with its namesakes."""
    package = mutant.path.relative_to("suimon")
    mirror = Path("tests") / package.parent / f"test_{package.name}"
    namesakes = sorted((ROOT / "tests").rglob(f"test_{package.stem}*.py"))
    return (str(mirror), *(str(path.relative_to(ROOT)) for path in namesakes), *KINDS[mutant.kind].tests)


def _first_failure(output: str) -> str:
    lines = output.splitlines()
    marked = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return marked[0].split(" ", 1)[1].split(" - ")[0] if marked else ""
