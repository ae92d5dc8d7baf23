"""A ClickHouse server of the tests' own: Debian's (`.ci/bootstrap`), on loopback, in a directory that goes with it."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Self

from suimon.telemetry.history.clickhouse_http import Address, Server
from tests.patience import patient

PASSWORD = "hush"
USER = "suimon"
_ROOT = Path(__file__).parents[1] / ".tools" / "clickhouse"
_PROGRAM = _ROOT / "usr/sbin/clickhouse-server"
_NUMBERS = count(1)
_CONFIG = """<yandex>
<logger><level>warning</level><console>1</console></logger>
<{scheme}_port>{l4_port}</{scheme}_port><listen_host>127.0.0.1</listen_host>
<path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path><users_config>users.xml</users_config>
<default_profile>default</default_profile><default_database>default</default_database>
<mark_cache_size>67108864</mark_cache_size>
<openSSL><server><certificateFile>{folder}/cert.pem</certificateFile><privateKeyFile>{folder}/key.pem</privateKeyFile>
<verificationMode>none</verificationMode></server></openSSL>
</yandex>"""
_USERS = """<yandex><profiles><default></default></profiles><quotas><default></default></quotas>
<users><{user}><password_sha256_hex>{password}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks>
<profile>default</profile><quota>default</quota></{user}></users></yandex>"""


class PrivateServer:
    """Runs between `with` and its end, as somebody without privileges. `certificate` and its key make it speak TLS."""

    def __init__(self, folder: Path | None = None, certificate: tuple[Path, Path] | None = None) -> None:
        self._given, self._certificate = folder, certificate
        self._folder = Path()
        self._process: subprocess.Popen[bytes]
        self.l4_port = 0

    def __enter__(self) -> Self:
        assert _PROGRAM.exists(), f"there is no {_PROGRAM}: .ci/bootstrap puts it there"
        self._folder = self._given or Path(mkdtemp(prefix="suimon-ch-"))
        self._folder.chmod(0o755)
        self.l4_port = _free_port()
        scheme = "https" if self._certificate else "http"
        config = _CONFIG.format(folder=self._folder, l4_port=self.l4_port, scheme=scheme)
        (self._folder / "config.xml").write_text(config)
        users = _USERS.format(user=USER, password=sha256(PASSWORD.encode()).hexdigest())
        (self._folder / "users.xml").write_text(users)
        for name, source in zip(("cert.pem", "key.pem"), self._certificate or (), strict=False):
            shutil.copy(source, self._folder / name)
        for name in ("data", "tmp"):
            (self._folder / name).mkdir(exist_ok=True)
        for each in (self._folder, *self._folder.iterdir()):
            if os.geteuid() == 0:
                shutil.chown(each, "nobody", "nogroup")
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        if self._given is None:
            shutil.rmtree(self._folder)

    def start(self) -> None:
        """Returns when it takes connections."""
        user = "nobody" if os.geteuid() == 0 else None
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(_PROGRAM), f"--config-file={self._folder}/config.xml"], cwd=self._folder, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, user=user, group="nogroup" if user else None, extra_groups=[] if user else None,
                env={"LD_LIBRARY_PATH": str(_ROOT / "usr/lib/x86_64-linux-gnu"), "TZ": "UTC"},
            )  # fmt: skip
        until_s = time.monotonic() + patient(60)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.l4_port), 1).close()
                return
            except OSError:
                log_text = (self._folder / "log").read_text(errors="replace")
                assert self._process.poll() is None and time.monotonic() < until_s, log_text[-2000:]
                time.sleep(0.05)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
        self._process.wait(patient(60))

    def address(self, database: str = "") -> Address:
        """Of a database, made now."""
        database = database or f"d{next(_NUMBERS)}"
        Server(Address("127.0.0.1", self.l4_port, user=USER), PASSWORD).ask(f"CREATE DATABASE {database}", 30)
        return Address("127.0.0.1", self.l4_port, database=database, user=USER)

    def server(self) -> Server:
        """A database of its own."""
        return Server(self.address(), PASSWORD)


def counted(server: Server, what: str = "count()", where: Sequence[str] = ()) -> int:
    """Of the records there, whoever's they are."""
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    return int(server.ask(f"SELECT {what} FROM suimon_flows{condition}", 30))


@cache
def private_server() -> PrivateServer:
    """The one of this test session, started when first asked for."""
    made = PrivateServer()
    made.__enter__()
    atexit.register(made.__exit__, None, None, None)
    return made


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
