"""A PostgreSQL server of the tests' own: in a directory that goes with them, over a socket that nobody else reaches."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Self

import psycopg

PATIENCE_S = 60.0
_NUMBERS = count(1)


class PrivateCluster:
    """Runs between `with` and its end. `durable` is for tests that kill; the others needn't wait for a disk. Its files
    are in a folder of their own, in `where`, if that matters.

    Its texts sort as people of a country like them, which a database of ours must not notice.
    """

    def __init__(self, *, durable: bool = False, where: Path | None = None) -> None:
        self._durable, self._where = durable, where
        self._folder = Path()
        self._server: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        memory = Path("/dev/shm")
        here = self._where or (memory if os.access(memory, os.W_OK) and not self._durable else None)
        self._folder = Path(mkdtemp(prefix="suimon-pg-", dir=here))
        if os.geteuid() == 0:
            shutil.chown(self._folder, self._user(), self._user())
        self._run("initdb", "-D", str(self._folder / "data"), "-U", "suimon", "-E", "UTF8", "--auth=trust", "-N",
                  "--locale-provider=icu", "--icu-locale=en-US", "--locale=C.UTF-8")  # fmt: skip
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Returns when it answers."""
        settings = {"listen_addresses": "''", "unix_socket_directories": str(self._folder), "max_connections": "300",
                    "fsync": "on" if self._durable else "off", "logging_collector": "off"}  # fmt: skip
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._run(
            "pg_ctl", "-D", str(self._folder / "data"), "-l", str(self._folder / "log"), "-w", "-o", options, "start"
        )

    def stop(self, mode: str = "immediate") -> None:
        """As `pg_ctl stop -m` does it."""
        self._control("stop", "-m", mode)

    def kill(self) -> None:
        """kill -9 of all its processes at once. Returns when they are gone."""
        locks = [self._folder / name for name in ("data/postmaster.pid", ".s.PGSQL.5432.lock")]
        server = int(locks[0].read_text().split()[0])
        os.kill(server, signal.SIGSTOP)  # It makes no more of them.
        killed = [server, *_children(server)]
        for pid in killed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_S
        while any(map(_lives, killed)):
            assert time.monotonic() < deadline, "a killed server is still there"
            time.sleep(0.01)
        # To the next one, a process that nobody has reaped yet is one that lives.
        for lock in locks:
            lock.unlink()

    def url(self, name: str = "", template: str = "template0") -> str:
        """The URL of a database, made now."""
        name = name or f"d{next(_NUMBERS)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return f"postgresql://suimon@/{name}?host={self._folder}"

    def drop(self, url: str) -> None:
        """Also when somebody still uses it."""
        with self.connect() as connection:
            connection.execute(f"DROP DATABASE {name_of(url)} WITH (FORCE)")

    def connect(self, name: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """For what a test does beside the store."""
        return psycopg.connect(f"postgresql://suimon@/{name}?host={self._folder}", autocommit=True)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(_programs() / program), *arguments]
        user = self._user() if os.geteuid() == 0 else None
        done = subprocess.run(
            command, user=user, group=user, extra_groups=[] if user else None, cwd="/", stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout.decode()

    @staticmethod
    def _user() -> str:
        """The server refuses to run as root."""
        names = {entry.pw_name for entry in pwd.getpwall()}
        return "postgres" if "postgres" in names else "nobody"


def name_of(url: str) -> str:
    """The database's."""
    return url.partition("@/")[2].partition("?")[0]


def _children(parent: int) -> list[int]:
    """Field 4 of /proc/PID/stat is the parent (proc(5)); what is before it may hold anything."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
    return found


def _lives(pid: int) -> bool:
    """One that has ended, and waits to be reaped, doesn't."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


@cache
def cluster() -> PrivateCluster:
    """The one of this test session, started when first asked for."""
    made = PrivateCluster()
    made.__enter__()
    atexit.register(made.__exit__, None, None, None)
    return made


@cache
def _programs() -> Path:
    """Debian keeps the server's programs out of the path, a folder for each version."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    assert places, "PostgreSQL's server is not installed (Debian: apt-get install postgresql)"
    return places[-1]
