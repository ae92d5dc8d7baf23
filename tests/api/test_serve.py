"""`suimon serve` as a process: what it refuses to start with, what it leaves behind, how it stops."""

import json
import signal
import socket
import sqlite3
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path

import msgspec
import pytest
import structlog

from suimon.cli import serve
from suimon.cli.listener import Endpoint
from tests.api.controller import PATIENCE_S, SUIMON, Controller, free_port, started


def test_first_start_stop_and_second_start(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with started(state) as controller:
        with urllib.request.urlopen(f"{controller.url}/healthz", timeout=10) as answer:
            assert json.load(answer)["status"] == "ok"
        files = {name: state / name for name in ("clouds.yaml", "openrc", "suimon.db")}
        assert {name: oct(path.stat().st_mode & 0o777) for name, path in files.items()} == dict.fromkeys(files, "0o600")
        password = files["clouds.yaml"].read_text().split('password: "')[1].split('"')[0]
        began = time.monotonic()
        assert controller.stop() == 0
        assert time.monotonic() - began < 2
        controller.start()
        assert files["clouds.yaml"].read_text().count(password) == 1
        assert controller.stop(signal.SIGINT) == 0
        assert password not in controller.log()
    assert not list(state.glob("suimon.db-wal"))


def test_stopping_closes_the_stream_of_a_host(tmp_path: Path) -> None:
    with started(tmp_path / "state") as controller:
        stream = _watch(controller)
        assert b"200 OK" in stream.recv(4096)
        began = time.monotonic()
        assert controller.stop() == 0
        assert time.monotonic() - began < 2
        while stream.recv(4096):
            pass


def _watch(controller: Controller) -> socket.socket:
    """The open stream of a host that has just joined."""
    state = str(controller.state)
    make = [str(SUIMON), "host", "token", "--state", state, "--host", "hv1"]
    token = subprocess.run(make, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout.strip()
    root = f"http://127.0.0.1:{controller.hosts_port}/hosts/v1"
    joining = json.dumps({"token": token, "host": "hv1", "tunnel_ip": "192.0.2.9"}).encode()
    with urllib.request.urlopen(f"{root}/join", joining, timeout=10) as answer:
        credential = json.load(answer)["credential"]
    body = b'{"schema":1,"position":null}'
    stream = socket.create_connection(("127.0.0.1", controller.hosts_port), timeout=10)
    stream.sendall(
        b"POST /hosts/v1/watch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + credential.encode()
        + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )  # fmt: skip
    return stream


def test_hosts_are_listed_shown_accepted_and_removed_by_command(tmp_path: Path) -> None:
    with started(tmp_path / "state") as controller:
        stream = _watch(controller)
        stream.recv(4096)

        def host(*args: str) -> subprocess.CompletedProcess[str]:
            command = [str(SUIMON), "host", *args, "--state", str(controller.state)]
            return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)

        assert host("list").stdout.splitlines()[1].split() == ["hv1", "up", "192.0.2.9", "0", "-", "-"]
        assert json.loads(host("show", "hv1").stdout)["linked"] is True
        assert host("accept", "hv1").returncode == 0
        assert host("remove", "hv1").returncode == 0
        assert host("list").stdout.splitlines()[1:] == []
        refused = host("show", "hv1")
        assert (refused.returncode, refused.stderr) == (1, "Error: Host hv1 could not be found.\n")
        stream.close()


def test_tls_on_both_listeners(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    make += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*make, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    options = [f"--{prefix}tls-{what}" for prefix in ("", "hosts-") for what in ("cert", "key")]
    paths = [str(certificate), str(key)] * 2
    with started(tmp_path / "state", *(word for pair in zip(options, paths, strict=True) for word in pair)) as made:
        trust = ssl.create_default_context(cafile=str(certificate))
        for port in (made.port, made.hosts_port):
            with urllib.request.urlopen(f"https://127.0.0.1:{port}/healthz", timeout=10, context=trust) as answer:
                assert answer.status == 200
        done = subprocess.run(
            [str(SUIMON), "host", "list", "--json", "--state", str(made.state)],
            capture_output=True, text=True, check=True, timeout=PATIENCE_S,
        )  # fmt: skip
        assert json.loads(done.stdout) == []


def test_a_listener_that_others_reach_without_tls_is_warned_of(tmp_path: Path) -> None:
    near, far = (Endpoint(host, 9697, "--hosts-listen") for host in ("127.0.0.1", "0.0.0.0"))
    safe = msgspec.structs.replace(far, certificate="/c.pem", key="/k.pem")
    with structlog.testing.capture_logs() as logs:
        for hosts in (near, safe, far):
            serve._warn_of_listeners(serve.Config(tmp_path, near, hosts))
    assert [(log["event"], log["listen"]) for log in logs] == [("listener_without_tls", "0.0.0.0:9697")]


def test_commands_say_when_there_is_nobody_to_ask(tmp_path: Path) -> None:
    command = [str(SUIMON), "host", "list", "--state", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr.startswith("Error: There is no clouds.yaml")) == (1, True)


def test_a_second_controller_on_the_same_file_is_refused(tmp_path: Path) -> None:
    with started(tmp_path / "state") as controller:
        second = Controller(controller.state, free_port(), free_port()).refusal()
        assert second.startswith("Error: ") and second.count("\n") == 1 and str(controller.state) in second
        with urllib.request.urlopen(f"{controller.url}/healthz", timeout=10) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("taken", ["listen", "hosts-listen"])
def test_a_taken_port_is_said_and_nothing_is_made(tmp_path: Path, taken: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ports = (port, free_port()) if taken == "listen" else (free_port(), port)
        said = Controller(tmp_path / "state", *ports).refusal()
    assert said == f"Error: 127.0.0.1 port {port} is taken by another program: stop it, or choose with --{taken}.\n"
    assert not (tmp_path / "state").exists()


def test_a_directory_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = Controller(tmp_path / "file" / "state", free_port(), free_port()).refusal()
    assert said.startswith(f"Error: Can't make the state directory {tmp_path}/file/state") and said.count("\n") == 1


def test_a_newer_or_damaged_database_is_left_alone(tmp_path: Path) -> None:
    with started(tmp_path / "state") as controller:
        controller.stop()
    database = tmp_path / "state" / "suimon.db"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = database.read_bytes()
    said = Controller(tmp_path / "state", free_port(), free_port()).refusal()
    assert said.startswith("Error: ") and "newer" in said and said.count("\n") == 1
    assert database.read_bytes() == before
    database.write_bytes(b"not a database" * 1000)
    said = Controller(tmp_path / "state", free_port(), free_port()).refusal()
    assert said.startswith("Error: ") and "damaged" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "options, words",
    [
        (("--listen", "9696"), "--listen '9696' is not of the form HOST:PORT"),
        (("--tls-cert", "/nowhere"), "needs both a certificate and a key"),
        (("--tls-cert", "/nowhere", "--tls-key", "/nowhere"), "The certificate /nowhere"),
        (("--vlan-ranges", "p:1-10"), "physical network 'p', which --physnets doesn't name"),
        (("--physnets", "p", "--vlan-ranges", "p:10-4095"), "'10-4095' is not a range"),
        (("--vni-ranges", "x"), "'x' is not a range"),
        (("--runbooks-url", "wiki.example/r#mail"), "--runbooks-url is no URL of a page"),
    ],
)
def test_options_that_make_no_sense_are_said(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    said = Controller(tmp_path / "state", free_port(), free_port(), *options).refusal_of_options()
    assert words in said and said.count("\n") == 1
    assert not (tmp_path / "state").exists()


def test_help_comes_without_loading_everything() -> None:
    probe = "import sys; from suimon.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([SUIMON.with_name("python"), "-c", probe], capture_output=True, text=True, check=True)
    assert "serve" in done.stdout and "doctor" in done.stdout
    assert not {"sqlalchemy", "uvicorn", "aiohttp", "pyroute2"} & set(done.stdout.split())
