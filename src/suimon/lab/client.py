"""The `openstack` client, loaded once: a program of its own, whose forks are its commands.

A start of the client costs more than a second of CPU, nearly all of it to load what every command needs. Each line of
standard input is the arguments of a command, as a JSON list; the answer is a line `[exit status, output, errors]`, in
JSON as well. A fork runs the command by the client's own entry point, so that it is what `openstack ARGUMENTS…` does:
the client's interactive mode is not, which takes quoted words apart and tells no exit status.
"""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout


def main() -> None:
    """Until the end of standard input."""
    # What the client calls itself, from when it is loaded.
    sys.argv = ["openstack"]
    # Here, because who starts this program needs nothing of it but its place.
    from openstackclient.shell import main as openstack_main

    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        # The client loads what it needs when it runs. Whether this command succeeds, the next ones say for themselves.
        openstack_main(["network", "list"])
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_run(openstack_main, json.loads(line))) + "\n")
        sys.stdout.flush()


def _run(command: Callable[[list[str]], int], args: list[str]) -> tuple[int, str, str]:
    # In memory, not pipes: a command that prints much must not wait for a reader that waits for its end.
    said, complained = os.memfd_create("stdout"), os.memfd_create("stderr")
    try:
        if (pid := os.fork()) == 0:
            _become(command, args, said, complained)
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return ended, _text(said), _text(complained)
    finally:
        os.close(said)
        os.close(complained)


def _become(command: Callable[[list[str]], int], args: list[str], said: int, complained: int) -> None:
    """Never returns, whatever happens: one process reads the lines."""
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(said, 1)
        os.dup2(complained, 2)
        status = command(args)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _text(fd: int) -> str:
    os.lseek(fd, 0, os.SEEK_SET)
    with open(fd, encoding="utf-8", errors="replace", closefd=False) as file:
        return file.read()


if __name__ == "__main__":
    main()
