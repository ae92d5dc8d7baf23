"""What guests ask their host, on a real Open vSwitch with the real agent: metadata and names, each tenant its own."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import http.server
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace as with_

from suimon.model.view import FixedIp, Network, Peer, Port, SecurityGroup, Subnet
from tests.agent.fake_controller import FakeController
from tests.patience import patient
from tests.system.agent_process import AgentProcess
from tests.system.namespaces import T, inside
from tests.system.openvswitch import OpenVSwitch
from tests.system.test_agent import born, same_flows

SERVICES = "169.254.169.254"
SECRET = b"only Nova and we know"
A, PTR, AAAA = 1, 12, 28
BLUE = Network("11111111-0000-0000-0000-000000000001", "vxlan", 100, None, 1450, dns_domain="blue.example.")
RED = Network("11111111-0000-0000-0000-000000000002", "vxlan", 200, None, 1450, dns_domain="red.example.")
SUBNETS = (
    Subnet("22222222-0000-0000-0000-000000000001", BLUE.id, "10.0.0.0/24", "10.0.0.1", False, ("192.0.2.53",)),
    Subnet("22222222-0000-0000-0000-000000000002", RED.id, "10.0.0.0/24", None, True),
    Subnet("22222222-0000-0000-0000-000000000003", BLUE.id, "2001:db8::/64", None, False),
    Subnet("22222222-0000-0000-0000-000000000004", RED.id, "2001:db8::/64", None, False),
)
SHUT = SecurityGroup("33333333-0000-0000-0000-000000000001", ())
"""Nothing in, nothing out: the services are reached all the same."""
PEER = Peer("bbbbbbbb-0000-0000-0000-000000000001", BLUE.id, "fa:16:3e:00:00:09", ("10.0.0.9",), "h2", None, name="db")


def port(number: int, network: Network, name: str) -> Port:
    fixed = (FixedIp(SUBNETS[number - 1].id, "10.0.0.11"), FixedIp(SUBNETS[number + 1].id, "2001:db8::11"))
    whose = {"device_id": f"instance-{number}", "project_id": f"project-{number}"}
    id_ = f"aaaaaaaa-0000-0000-0000-00000000000{number}"
    return Port(id_, "h1", network.id, f"fa:16:3e:00:00:0{number}", fixed, groups=(SHUT.id,), dns_name=name, **whose)


AT_LINK = "fe80::a9fe:a9fe%eth0"
PORTS = (port(1, BLUE, "web"), port(2, RED, "mail"))


class FakeNova(http.server.ThreadingHTTPServer):
    """Nova's metadata API, as strict about signatures; it repeats what it was told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _NovaHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _NovaHandler(http.server.BaseHTTPRequestHandler):
    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers), body))
        instance = self.headers["X-Instance-ID"]
        genuine = hmac.new(SECRET, instance.encode(), hashlib.sha256).hexdigest()
        self.send_response(200 if self.headers["X-Instance-ID-Signature"] == genuine else 403)
        answer = f"data of {instance} of {self.headers['X-Tenant-ID']}".encode()
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


class FakeResolver:
    """Somebody else's names: every name has the address 198.51.100.7, by UDP and by TCP."""

    def __init__(self, address: str) -> None:
        self.questions: list[bytes] = []
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for each in (self._datagrams, self._listener):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind((address, 53))
        self._listener.listen()
        for work in (self._by_datagram, self._by_stream):
            threading.Thread(target=work, daemon=True).start()

    def close(self) -> None:
        for each in (self._datagrams, self._listener):
            each.close()

    def _answer(self, question: bytes) -> bytes:
        self.questions.append(question)
        head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0)
        return head + question[12:] + struct.pack("!HHHIH", 0xC00C, A, 1, 60, 4) + bytes([198, 51, 100, 7])

    def _by_datagram(self) -> None:
        while True:
            try:
                question, sender = self._datagrams.recvfrom(4096)
            except OSError:
                return
            forged = self._answer(question)
            with contextlib.suppress(OSError):  # Closed meanwhile.
                self._datagrams.sendto(bytes([question[0] ^ 0xFF]) + forged[1:-1] + b"\x42", sender)
                self._datagrams.sendto(forged, sender)

    def _by_stream(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                answer = self._answer(connection.recv(4096)[2:])
                connection.sendall(len(answer).to_bytes(2, "big") + answer)


@pytest.fixture
def nova() -> Iterator[FakeNova]:
    one = FakeNova()
    yield one
    one.shutdown()
    one.server_close()


@pytest.fixture
def elsewhere() -> Iterator[FakeResolver]:
    one = FakeResolver("127.53.0.1")
    yield one
    one.close()


class Host:
    """A hypervisor with two guests, of two tenants, with the same address."""

    def __init__(self, switch: OpenVSwitch, controller: FakeController, state: Path) -> None:
        self.switch = switch
        self.controller = controller
        self.state = state
        self.guests: list[str] = []

    def start(self, *options: str) -> AgentProcess:
        agent = AgentProcess(self.switch, self.state, *options)
        agent.join(self.controller)
        self.controller.change(BLUE, RED, *SUBNETS, SHUT, *PORTS, PEER)
        agent.start()
        agent.wait_log("switch_connected")
        agent.wait_log("services_ready")
        for each in PORTS:
            guest = self.switch.add_guest(each.id, each.mac, "10.0.0.11/24")
            self.switch.exec("ip", "route", "add", SERVICES, "dev", "eth0", guest=guest)
            self.switch.exec("ip", "address", "add", "2001:db8::11/64", "dev", "eth0", "nodad", guest=guest)
            self.guests.append(guest)
        for each in PORTS:
            self.controller.wait_status(each.id, "ACTIVE")
        return agent

    def inside(self, number: int, work: Callable[[], T]) -> T:
        """What `work` returns in the namespace of a guest (0 or 1); what it raises, too."""
        return inside(self.guests[number], work)

    def get(
        self, number: int, path: str, method: str = "GET", body: bytes = b"", at: str = SERVICES, **headers: str
    ) -> tuple[int, str]:
        def work() -> tuple[int, str]:
            connection = http.client.HTTPConnection(at, 80, timeout=patient(10))
            connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            found = answer.status, answer.read().decode()
            connection.close()
            return found

        return self.inside(number, work)

    def resolve(
        self, number: int, name: str, kind: int = A, *, stream: bool = False, at: str = SERVICES
    ) -> tuple[int, list[bytes]]:
        """The code of the answer and its records' data."""

        def work() -> bytes:
            how = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
            ((family, *_, where), *_) = socket.getaddrinfo(at, 53, type=how)
            with socket.socket(family, how) as client:
                client.settimeout(patient(10))
                client.connect(where)
                asked = question(name, kind)
                if not stream:
                    client.send(asked)
                    return client.recv(4096)
                client.sendall(len(asked).to_bytes(2, "big") + asked)
                return client.recv(4096)[2:]

        return answered(self.inside(number, work))


@pytest.fixture
def host(switch: OpenVSwitch, controller: FakeController, tmp_path: Path) -> Iterator[Host]:
    one = Host(switch, controller, tmp_path / "state")
    started: list[AgentProcess] = []
    begin = one.start

    def start(*options: str) -> AgentProcess:
        started.append(begin(*options))
        return started[-1]

    one.start = start  # type: ignore[method-assign]
    yield one
    for agent in started:
        agent.stop()
    log = one.state.with_suffix(".log")
    print(log.read_text() if log.exists() else "no log")


def question(name: str, kind: int = A) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label)
    return struct.pack("!HHHHHH", 4711, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1)


def answered(raw: bytes) -> tuple[int, list[bytes]]:
    id_, flags, _, count, *_ = struct.unpack_from("!HHHHHH", raw)
    assert id_ == 4711 and flags & 0x8000
    at = raw.index(b"\0", 12) + 5
    records = []
    for _ in range(count):
        (length,) = struct.unpack_from("!H", raw, at + 10)
        records.append(raw[at + 12 : at + 12 + length])
        at += 12 + length
    return flags & 0xF, records


def test_guests_with_one_address_get_their_own_instance_data(host: Host) -> None:
    host.start()
    for number, each in enumerate(PORTS):
        told = json.loads(host.get(number, "/openstack/latest/meta_data.json")[1])
        assert (told["uuid"], told["project_id"]) == (each.device_id, each.project_id)
        assert host.get(number, "/latest/meta-data/instance-id") == (200, each.device_id)
        assert host.get(number, "/latest/meta-data/mac", X_Forwarded_For="10.0.0.12") == (200, each.mac)
        assert host.get(number, "/latest/meta-data/instance-id", at=AT_LINK) == (200, each.device_id)
    network, _ = json.loads(host.get(0, "/openstack/latest/network_data.json")[1])["networks"]
    assert (network["type"], network["ip_address"], network["netmask"]) == ("ipv4", "10.0.0.11", "255.255.255.0")
    assert host.get(0, "/latest/meta-data/nothing")[0] == 404


def test_a_guest_that_nobody_tells_an_address_learns_it_by_its_link_local_one(host: Host) -> None:
    """It has nothing else: its interface is up, and its subnet without DHCP."""
    host.start()
    alone = Port(
        "aaaaaaaa-0000-0000-0000-000000000003",
        "h1",
        BLUE.id,
        "fa:16:3e:00:00:03",
        (FixedIp(SUBNETS[0].id, "10.0.0.13"),),
        groups=(SHUT.id,),
        dns_name="alone",
    )
    host.controller.change(alone)
    guest = host.switch.add_guest(alone.id, alone.mac)
    host.guests.append(guest)
    host.controller.wait_status(alone.id, "ACTIVE")
    deadline = time.monotonic() + patient(10)
    while host.switch.exec("ip", "-6", "address", "show", "tentative", guest=guest):
        assert time.monotonic() < deadline, "its address is still tentative"
        time.sleep(0.05)
    status, told = host.get(2, "/openstack/latest/network_data.json", at=AT_LINK)
    assert (status, [each["ip_address"] for each in json.loads(told)["networks"]]) == (200, ["10.0.0.13"])
    for stream in (False, True):
        assert host.resolve(2, "alone", stream=stream, at=AT_LINK) == (0, [socket.inet_aton("10.0.0.13")])


def test_nova_is_asked_with_a_signature_and_nothing_that_a_guest_made_up(
    host: Host, nova: FakeNova, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    url = f"http://127.0.0.1:{nova.server_port}"
    host.start("--metadata-nova", url, "--metadata-secret-file", str(tmp_path / "secret"))
    forged = {"X_Instance_ID": "instance-2", "X_Tenant_ID": "project-2", "X_Forwarded_For": "1.2.3.4", "Cookie": "a=b"}
    for number in (0, 1):
        answer = f"data of instance-{number + 1} of project-{number + 1}"
        assert host.get(number, "/latest/user-data", **forged) == (200, answer)
    method, path, headers, _ = nova.seen[0]
    assert (method, path, headers["X-Forwarded-For"]) == ("GET", "/latest/user-data", "10.0.0.11")
    assert not {"Cookie", "cookie"} & headers.keys()
    before = len(nova.seen)
    for path in ("/../etc/passwd", "/latest/%2e%2e/x", "/admin", "/latest/../../x", "//evil"):
        assert host.get(0, path)[0] == 404, path
    assert host.get(0, "/latest/user-data", "DELETE")[0] == 405
    assert host.get(0, "/openstack/latest/password", "POST", b"x" * 5000)[0] == 413
    assert len(nova.seen) == before
    assert host.get(0, "/openstack/latest/password", "POST", b"secret")[0] == 200
    assert nova.seen[-1][3] == b"secret"
    assert host.get(0, "/latest/meta-data/?id=instance-2")[0] == 200
    assert nova.seen[-1][1] == "/latest/meta-data/", "no query goes on"


def test_names_are_answered_by_udp_and_tcp_and_each_network_has_its_own(host: Host, elsewhere: FakeResolver) -> None:
    host.start("--dns-resolver", "127.53.0.1")
    ip = socket.inet_aton
    for stream in (False, True):
        assert host.resolve(0, "db.blue.example", stream=stream) == (0, [ip("10.0.0.9")])
        assert host.resolve(0, "db", stream=stream) == (0, [ip("10.0.0.9")])
        assert host.resolve(0, "WEB.blue.example", stream=stream) == (0, [ip("10.0.0.11")])
        assert host.resolve(0, "host-10-0-0-9.blue.example", stream=stream) == (0, [ip("10.0.0.9")])
        assert host.resolve(0, "db.blue.example", AAAA, stream=stream) == (0, [])
        assert host.resolve(1, "mail.red.example", stream=stream) == (0, [ip("10.0.0.11")])
        assert host.resolve(1, "db", stream=stream) == (3, []), "another tenant's"
        assert host.resolve(0, "11.0.0.10.in-addr.arpa", PTR, stream=stream) == (0, [b"\3web\4blue\7example\0"])
        assert host.resolve(1, "11.0.0.10.in-addr.arpa", PTR, stream=stream) == (0, [b"\4mail\3red\7example\0"])
    assert elsewhere.questions == []
    for stream in (False, True):
        assert host.resolve(0, "www.example.org", stream=stream) == (0, [ip("198.51.100.7")]), "not the forged answer"
    assert len(elsewhere.questions) == 2
    elsewhere.close()
    assert host.resolve(0, "www.example.net") == (2, [])


def test_a_name_of_many_is_told_whole_by_tcp(host: Host) -> None:
    ips = [f"10.0.0.{number}" for number in range(100, 140)]
    peers = [with_(PEER, id=f"cccccccc-0000-0000-0000-000000000{ip[-3:]}", ips=(ip,), name="many") for ip in ips]
    host.controller.change(*peers)
    host.start()
    assert host.resolve(0, "many") == (0, [])
    assert sorted(host.resolve(0, "many", stream=True)[1]) == sorted(map(socket.inet_aton, ips))


def test_a_guest_that_asks_too_much_is_bounded_and_the_other_is_not(host: Host) -> None:
    host.start()

    def hoard() -> int:
        """How many of 40 idle connections are still open."""
        held = []
        for _ in range(40):
            one = socket.create_connection((SERVICES, 80), timeout=patient(5))
            held.append(one)
        open_ = 0
        for one in held:
            one.settimeout(0.2)
            try:
                open_ += one.recv(1) != b""
            except TimeoutError:
                open_ += 1
            except ConnectionResetError:
                pass
        assert host.get(1, "/latest/meta-data/instance-id") == (200, "instance-2")
        for one in held:
            one.close()
        return open_

    assert host.inside(0, hoard) == 16

    def flood() -> tuple[int, float]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            client.connect((SERVICES, 53))
            client.settimeout(1)
            started, answers = time.monotonic(), 0
            for _ in range(5000):
                client.send(question("web"))
            took_s = time.monotonic() - started
            try:
                while client.recv(512):
                    answers += 1
            except TimeoutError:
                return answers, took_s

    answers, took_s = host.inside(0, flood)
    assert 0 < answers <= 400 + 200 * (took_s + 1)
    assert host.resolve(1, "mail")[0] == 0


def come_back(agent: AgentProcess, *events: str) -> None:
    end = len(agent.log.read_text())
    agent.start()
    for event in ("services_ready", "view_in_force", *events):
        agent.wait_log(event, end)


def test_after_a_kill_the_services_are_back_and_neither_flow_nor_device_was_touched(
    host: Host, switch: OpenVSwitch
) -> None:
    agent = host.start()
    before, devices = born(switch), switch.exec("ip", "-oneline", "link")
    agent.kill()
    with pytest.raises(OSError):
        host.inside(0, lambda: socket.create_connection((SERVICES, 80), timeout=0.5))
    come_back(agent)
    assert host.get(0, "/latest/meta-data/instance-id") == (200, "instance-1")
    same_flows(before, born(switch))
    assert switch.exec("ip", "-oneline", "link") == devices


@pytest.mark.parametrize(
    "harm",
    [
        ("ip", "link", "set", "sm-services", "alias", "unfinished"),
        ("ip", "link", "delete", "sm-services"),
        ("ip", "netns", "delete", "{}-services"),
    ],
)
def test_what_is_not_whole_is_made_anew(host: Host, switch: OpenVSwitch, harm: tuple[str, ...]) -> None:
    agent = host.start()
    agent.kill()
    switch.exec(*(word.format(switch.namespace) for word in harm))
    come_back(agent, "services_taken_up")
    assert host.get(0, "/latest/meta-data/instance-id") == (200, "instance-1")
