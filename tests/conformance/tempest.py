"""tempest and neutron-tempest-plugin: installed beside the project, run with stestr, their results read."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from tests.environments import installed

HERE: Final = Path(__file__).resolve().parent
_STARTING_STOPPING_S: Final = 30

Status = Literal["passed", "failed", "skipped"]


class Verdict(NamedTuple):
    """What became of a test, and the traceback or the reason."""

    test: str
    status: Status
    said: str

    @property
    def cause(self) -> str:
        """The last line of what was said: the exception of a traceback."""
        return (self.said.strip().splitlines() or [""])[-1].strip()


def bare(test: str) -> str:
    """A test's id without its tags."""
    return test.partition("[")[0].strip()


class Suites:
    """The tests as they are run from `folder`, which has etc/tempest.conf and gets the log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._programs = installed("tempest", HERE / "requirements.txt") / "bin"
        # Of the environment's settings only tempest.conf counts.
        kept = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
        path = f"{self._programs}:{os.environ['PATH']}"
        own = {"TEMPEST_CONFIG_DIR": str(folder / "etc"), "PATH": path, "PYTHONWARNINGS": "ignore"}
        self._environment = {**kept, **own}
        top = self._output(["python", "-c", "import tempest; print(tempest.__path__[0])"]).strip()
        (folder / ".stestr.conf").write_text(
            f"[DEFAULT]\ntest_path={top}/test_discover\ntop_dir={top}\ngroup_regex=([^\\.]*\\.)*\n"
        )
        self._output(["stestr", "init"])

    def known(self) -> dict[str, str]:
        """Bare id → id of every test there is."""
        lines = self._output(["stestr", "list"]).splitlines()
        return {bare(line): line for line in lines if re.match(r"[\w.]+\.test", line)}

    def run(self, tests: Sequence[str], concurrency: int) -> list[Verdict]:
        """A verdict for each test, and one for each class that could not be cleaned up after."""
        (self._folder / "load.txt").write_text("\n".join(tests) + "\n")
        how = ["--concurrency", str(concurrency)] if concurrency > 1 else ["--serial"]
        command = [str(self._programs / "stestr"), "run", *how, "--load-list", "load.txt"]
        with (self._folder / "run.log").open("w") as log:
            process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                process.wait()
            finally:
                _end(process)
        stream = subprocess.run([self._programs / "stestr", "last", "--subunit"], **self._how(), check=False).stdout
        read = [self._programs / "python", HERE / "results.py"]
        return verdicts(tests, json.loads(subprocess.run(read, **self._how(), input=stream, check=True).stdout))

    def _output(self, command: list[str]) -> str:
        done = subprocess.run([self._programs / command[0], *command[1:]], **self._how(), check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout.decode()}")
        return str(done.stdout.decode())

    def _how(self) -> dict[str, Any]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return {"cwd": self._folder, "env": self._environment, **pipes}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends stestr's workers too, which are in its session, when the command is interrupted."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_STARTING_STOPPING_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def verdicts(tests: Sequence[str], results: dict[str, dict[str, str]]) -> list[Verdict]:
    """From what was reported: id → {status, said}.

    A class whose set-up was skipped or failed is reported once, and that holds for each of its tests. A test that was
    never reported has failed.
    """
    by_id = {bare(test): result for test, result in results.items()}
    silent = {"status": "fail", "said": "it was not run"}
    found = []
    for test in tests:
        of_class = by_id.get(f"setUpClass ({bare(test).rpartition('.')[0]})", silent)
        result = by_id.get(bare(test), of_class)
        found.append(Verdict(test, _status(result["status"]), result["said"]))
    for test, result in by_id.items():
        if test.startswith("tearDownClass") and result["status"] == "fail":
            found.append(Verdict(test, "failed", result["said"]))
    return found


def _status(status: str) -> Status:
    match status:
        case "success" | "xfail":
            return "passed"
        case "skip":
            return "skipped"
    return "failed"
