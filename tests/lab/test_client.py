"""The client that is loaded once answers each command as a client of its own would, without a cloud to ask."""

import json
import subprocess
import sys

from suimon.lab import client


def test_each_line_is_a_command_with_a_status_of_its_own() -> None:
    asked = [["--version"], ["no", "such"], ["--os-cloud", "two words", "network", "list"], ["--version"]]
    lines = "".join(json.dumps(each) + "\n" for each in asked)
    program = [sys.executable, "-I", client.__file__]
    nowhere = {"PATH": "/usr/bin", "OS_CLOUD": ""}
    done = subprocess.run(program, input=lines, env=nowhere, capture_output=True, text=True, timeout=60, check=True)
    first, unknown, quoted, last = map(json.loads, done.stdout.splitlines())
    assert first == last == [0, first[1], ""] and first[1].startswith("openstack ")
    assert unknown[0] == 2 and "'no such' is not an openstack command" in unknown[1]
    assert quoted[0] == 1 and "Cloud two words was not found" in quoted[2]
