"""A real ClickHouse server that says no, is away, slow, cut off, killed, full: nothing is kept twice, nothing half."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import urlencode

import msgspec
import numpy as np
import pytest

from suimon.model.collectors import MappedPort, Question
from suimon.model.records import Batch, batch_of
from suimon.telemetry.history import clickhouse, clickhouse_http
from suimon.telemetry.history.clickhouse import ClickHouse, Config
from suimon.telemetry.history.clickhouse_http import Address, Server, ServerError, address
from suimon.telemetry.history.clickhouse_sql import literal, spliced
from suimon.telemetry.history.engine import Lot, QuestionRefused
from suimon.telemetry.history.questions import answered
from tests.clickhouse import PASSWORD, USER, PrivateServer, counted, private_server
from tests.patience import patient

NOON = 1_795_262_400.0
PORTS = (MappedPort("port-0", "project-0", "net", "h\t1\\'é\n", "192.0.2.1", 1, "02:00:00:00:00:00", ()),)
EXPORTERS = ("192.0.2.1",)
_NUMBERS = count(1)


def lot(rows: int = 10) -> Lot:
    batch = batch_of(rows)
    batch["begun"] = batch["ended"] = NOON
    batch["bytes"], batch["sampling"], batch["port"] = 100, 1, -(np.arange(rows) % 2)
    return Lot((batch,), PORTS, EXPORTERS, NOON, next(_NUMBERS))


def noise(rows: int) -> Batch:
    batch, random = batch_of(rows), np.random.default_rng(1)
    for name in ("source_low", "source_high", "destination_low", "destination_high", "bytes", "packets"):
        batch[name] = random.integers(0, 1 << 63, rows)
    return batch


def engine(server: Server, collector: str = "flows-1", **config: float) -> ClickHouse:
    return ClickHouse(Config(collector, **config), server, lambda: NOON)  # type: ignore[arg-type]


def total(history: ClickHouse, question: Question | None = None) -> int:
    return answered(history, question or Question(), 10).total.records


def write_again(history: ClickHouse, missed: Lot) -> None:
    """As a collector does: after a while, until it is written. What the server had got it may still be writing."""
    until_s = time.monotonic() + patient(30)
    while True:
        time.sleep(0.5)
        try:
            return history.write(missed)
        except OSError:
            assert time.monotonic() < until_s


class Relay:
    """In front of a server. Of what a client sends, `up` bytes pass before both are cut off; `mute` cuts both off when
    the server begins to answer. Else all passes.
    """

    def __init__(self, at: Address) -> None:
        self._at = at
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.up: int | None = None
        self.mute = False
        threading.Thread(target=self._accept, daemon=True).start()

    def server(self) -> Server:
        l4_port = self._listener.getsockname()[1]
        return Server(Address("127.0.0.1", l4_port, database=self._at.database, user=USER), PASSWORD)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                up = socket.create_connection((self._at.host, self._at.l4_port))
                for source, sink, left in ((client, up, self.up), (up, client, 0 if self.mute else None)):
                    threading.Thread(target=self._pass, args=(source, sink, left), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, left: int | None) -> None:
        with contextlib.suppress(OSError):
            while some := source.recv(65536):
                sink.sendall(some if left is None else some[:left])
                if left is not None and (left := left - len(some)) <= 0:
                    break
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def relay() -> Iterator[Relay]:
    made = Relay(private_server().address())
    yield made
    made.close()


@pytest.fixture
def own() -> Iterator[PrivateServer]:
    """A server to be ill-treated."""
    with PrivateServer() as made:
        yield made


def test_who_shows_a_wrong_password_is_refused_and_it_is_told_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    at = private_server().address()
    history = engine(Server(at, "a-wrong-secret"))
    with pytest.raises(ServerError, match="password") as refused:
        history.write(lot())
    with pytest.raises(QuestionRefused, match="can't answer now"):
        total(history)
    assert "a-wrong-secret" not in f"{refused.value}{refused.value.__cause__}{caplog.text}"
    right = Server(at, PASSWORD)
    with pytest.raises(ServerError) as unknown:
        right.ask("SELECT nonsense", 10)
    assert unknown.value.code == 47


def test_where_nothing_listens_it_is_an_error_of_the_world() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        l4_port = gone.getsockname()[1]
    history = engine(Server(Address("127.0.0.1", l4_port)))
    history.open()
    for act in (lambda: history.write(lot()), history.tend):
        with pytest.raises(OSError, match="refused"):
            act()


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_an_insert_that_is_cut_off_leaves_nothing_and_is_made_up_for_once(relay: Relay, share: float) -> None:
    server, written = relay.server(), lot(20_000)
    history = engine(server)
    history.write(lot(3))
    (block,) = clickhouse.blocks(written, 1 << 30, {"collector": "flows-1", "hour": 1, "lot": 1})
    relay.up = int(len(block) * share)
    with pytest.raises(OSError):
        history.write(written)
    relay.up = None
    write_again(history, written)
    assert counted(server) == 20_003


def test_an_insert_whose_answer_is_lost_is_not_made_again(relay: Relay) -> None:
    server, written = relay.server(), lot()
    history = engine(server)
    history.write(lot(3))
    relay.mute = True
    for _ in range(2):
        with pytest.raises(OSError):
            history.write(written)
    relay.mute = False
    write_again(history, written)
    assert counted(server) == 13
    history.write(lot())
    assert counted(server) == 23


def test_a_lot_of_several_blocks_goes_on_where_it_was_cut_off(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse, "_MOST_ROWS", 4)
    server, written = relay.server(), lot(10)
    history = engine(server)
    history.write(lot(1))
    put, puts = server.put, []

    def cut(statement: str, body: bytes, timeout_s: float, query_id: str) -> None:
        puts.append(query_id)
        relay.mute = len(puts) == 2
        put(statement, body, timeout_s, query_id)

    monkeypatch.setattr(server, "put", cut)
    with pytest.raises(OSError):
        history.write(written)
    relay.mute = False
    write_again(history, written)
    assert [each.rsplit("-", 1)[1] for each in puts] == ["0", "1", "2"]
    assert counted(server) == 11


def test_blocks_have_as_many_records_as_lie_together(monkeypatch: pytest.MonkeyPatch, relay: Relay) -> None:
    monkeypatch.setattr(clickhouse, "_MOST_ROWS", 100)
    server, written = relay.server(), lot(70)
    batches = tuple(batch for rows in (70, 20, 60, 130) for batch in lot(rows).batches)
    engine(server).write(written._replace(batches=batches))
    assert counted(server) == 280


def test_a_server_that_hangs_is_waited_for_no_longer_and_gets_it_once(own: PrivateServer) -> None:
    server, written = own.server(), lot()
    history = engine(server)
    history.write(lot(3))
    patience = history._config
    history._config = msgspec.structs.replace(patience, write_s=0.5)
    own.send(signal.SIGSTOP)
    with pytest.raises(OSError, match=r"no answer in 0\.5 s"):
        history.write(written)
    with pytest.raises(QuestionRefused, match=r"longer than 0\.2 s"):
        answered(history, Question(), 0.2)
    own.send(signal.SIGCONT)
    history._config = patience
    write_again(history, written)
    assert counted(server) == 13


def test_an_insert_that_still_comes_is_not_sent_again() -> None:
    server, written = private_server().server(), lot()
    history = engine(server)
    history.write(lot(3))
    at = server._at
    named = {"database": at.database, "query_id": f"suimon-{written.number}-0", "user": USER, "password": PASSWORD}
    path = "/?" + urlencode({**named, "query": "INSERT INTO suimon_flows (port_id) FORMAT TSV"})
    with socket.create_connection((at.host, at.l4_port)) as slow:
        # More than it reads before it begins, and less than a block of rows.
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n"
        slow.sendall(head.encode() + (b"x" * 999 + b"\n") * 3000)
        running = f"SELECT count() FROM system.processes WHERE query_id = '{named['query_id']}'"
        _wait_for(lambda: server.ask(running, 10) == "1\n")
        for words in ("already running", "goes on"):
            with pytest.raises(OSError, match=words):
                history.write(written)
    write_again(history, written)
    assert counted(server, where=(f"lot = {written.number}",)) == 10


def test_who_closes_waits_for_no_answer() -> None:
    at, said = private_server().address(), []
    asking, other = Server(at, PASSWORD), Server(at, PASSWORD)

    def ask() -> None:
        with contextlib.suppress(OSError):
            said.append(asking.ask("SELECT sleep(3)", 60))

    thread = threading.Thread(target=ask)
    thread.start()
    _wait_for(lambda: "sleep(3)" in other.ask("SELECT query FROM system.processes WHERE query NOT LIKE '%LIKE%'", 10))
    asking.close()
    thread.join()
    assert not said


def test_an_answer_may_take_the_time_there_is_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    server = private_server().server()
    monkeypatch.setattr(clickhouse_http, "_CONNECT_S", 0.5)
    assert server.ask("SELECT sleep(1)", patient(10)) == "0\n"
    with pytest.raises(TimeoutError):
        server.ask("SELECT 1", 0)
    with pytest.raises(QuestionRefused, match="longer than 0 s"):
        answered(engine(server), Question(), 0)


def test_what_takes_the_server_too_long_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    server = private_server().server()
    history, ask = engine(server), server.ask
    history.write(lot())

    def slow(_statement: str, timeout_s: float, **settings: object) -> str:
        return ask("SELECT sleep(1) FROM system.numbers LIMIT 3", timeout_s, **settings, max_block_size=1)

    monkeypatch.setattr(server, "ask", slow)
    with pytest.raises(QuestionRefused, match="longer than 1\\.9 s"):
        answered(history, Question(), 1.9)


def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse_http, "_MOST_BYTES", 1 << 20)
    with pytest.raises(OSError, match="more than 1048576 bytes"):
        private_server().server().ask("SELECT number FROM system.numbers LIMIT 500000", patient(30))


def _wait_for(so: Callable[[], bool]) -> None:
    until_s = time.monotonic() + patient(30)
    while not so():
        assert time.monotonic() < until_s
        time.sleep(0.05)


def test_what_a_killed_server_acknowledged_is_there_and_it_is_told_the_rest(own: PrivateServer) -> None:
    server = own.server()
    history = engine(server)
    for _ in range(5):
        history.write(lot())
    own.stop(signal.SIGKILL)
    missed = lot()
    with pytest.raises(OSError):
        history.write(missed)
    own.start()
    history.write(missed)
    assert counted(server) == 60 and total(history) == 60


def test_a_table_that_is_taken_away_is_made_again() -> None:
    server = private_server().server()
    history, missed = engine(server), lot()
    history.write(lot())
    server.ask("DROP TABLE suimon_flows", 10)
    with pytest.raises(ServerError):
        history.write(missed)
    history.write(missed)
    assert total(history) == 10


def test_a_full_disk_is_told_and_leaves_what_was_there() -> None:
    disk = Path(mkdtemp(prefix="suimon-ch-"))  # Not pytest's, to which a server without privileges does not get.
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=False).returncode:
        disk.rmdir()
        pytest.skip("needs root, to mount a disk that fills up")
    try:
        with PrivateServer(disk) as full:
            server = full.server()
            history, large = engine(server), lot()._replace(batches=(noise(200_000),))
            history.write(lot())
            with pytest.raises(ServerError, match="space"):
                history.write(large)
            assert counted(server) == 10
            history.write(lot())
            assert total(history) == 20
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
        disk.rmdir()


def test_tls_is_believed_with_its_authority_alone(tmp_path: Path) -> None:
    made, other = (_certificate(tmp_path, name) for name in ("made", "other"))
    with PrivateServer(certificate=made) as secure:
        at = Address("127.0.0.1", secure.l4_port, True, user=USER, ca_file=str(made[0]))
        history = engine(Server(at, PASSWORD))
        history.write(lot())
        assert total(history) == 10
        for ca_file in (str(other[0]), None):
            wary = Server(Address("127.0.0.1", secure.l4_port, True, user=USER, ca_file=ca_file), PASSWORD)
            with pytest.raises(OSError, match="certificate verify failed"):
                wary.ask("SELECT 1", 10)


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", "2"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def test_collectors_that_share_a_table_see_and_forget_their_own() -> None:
    server = private_server().server()
    first, second = engine(server, "flows-1"), engine(server, "flows-2", most_bytes=1)
    first.write(lot(3))
    second.write(lot(4))
    assert (total(first), total(second), counted(server)) == (3, 4, 7)
    second.tend()
    assert (total(first), total(second), counted(server)) == (3, 0, 3)
    with pytest.raises(ValueError, match="plain name"):
        engine(server, "flows'1")


def test_a_table_of_an_older_release_gets_the_columns_it_lacks() -> None:
    server = private_server().server()
    made = "CREATE TABLE suimon_flows (collector String, hour UInt64, port_id String, direction UInt8, begun_ms Int64) "
    server.ask(f"{made} ENGINE = MergeTree PARTITION BY (collector, hour) ORDER BY port_id", 10)
    server.ask("INSERT INTO suimon_flows (collector, hour) VALUES ('flows-1', 498684)", 10)
    history = engine(server)
    history.write(lot(2))
    assert total(history) == 3


def test_texts_come_back_as_they_went_whatever_is_in_them() -> None:
    history = engine(private_server().server())
    history.write(lot(2))
    rows = answered(history, Question(), 10).rows
    assert {row["host"] for row in rows} == {None, PORTS[0].host}
    assert total(history, Question(project_id="project-0")) == 1
    for hostile in ("' OR 1 = 1 --", "project-0\\", "?", "unhex('')", "\0", "é\n"):
        assert total(history, Question(project_id=hostile)) == 0


def test_a_question_can_change_nothing() -> None:
    server = private_server().server()
    engine(server).write(lot())
    with pytest.raises(ServerError, match="readonly"):
        server.ask("DROP TABLE suimon_flows", 10, readonly=2)
    assert counted(server) == 10


def test_values_become_digits_or_nothing() -> None:
    assert spliced("a = ? AND b BETWEEN ? AND ?", ("x'y", 1, 2)) == "a = unhex('782779') AND b BETWEEN 1 AND 2"
    assert literal(True) == "1"
    for wrong in (("a = ?", ()), ("a = ?", (1, 2)), ("a = 'b?'", (1,)), ("a = ?", (1.5,)), ("a = ?", (None,))):
        with pytest.raises(AssertionError):
            spliced(*wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        *("ftp://h", "http://", "h:8123", "http://user@h", "http://user:secret@h/", "http://h/a/b", "http://h/a-b"),
        *("http://h/?query=x", "http://h/#x", "http://h:99999", "http://h/a;b"),
    ],
)
def test_what_is_no_address_of_a_server_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError) as refused:
        address(wrong)
    assert "secret" not in str(refused.value)


def test_an_address_has_the_usual_ports() -> None:
    assert address("http://192.0.2.7") == Address("192.0.2.7", 8123)
    assert address("https://[2001:db8::1]/flows", "u", "/ca") == Address("2001:db8::1", 8443, True, "flows", "u", "/ca")
    with pytest.raises(ValueError, match="user"):
        address("http://192.0.2.7", "a\nb")
    with pytest.raises(ValueError, match="ASCII"):
        Server(Address("192.0.2.7", 1), "a\r\nb")
