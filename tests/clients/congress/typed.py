"""Runs `openstack` with one line of arguments after the other, in one process: starting Python for each takes seconds.

In come JSON lists of words, a line each; out goes for each (status, what was printed, what was complained of).
"""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout

from openstackclient import shell

for line in sys.stdin:
    said, complained = io.StringIO(), io.StringIO()
    with redirect_stdout(said), redirect_stderr(complained):
        try:
            status = shell.main(json.loads(line))
        except SystemExit as told:  # A command that there isn't.
            status = told.code
    print(json.dumps([status, said.getvalue(), complained.getvalue()]), flush=True)
