"""Collectors are asked over https by the certificates that the cloud trusts."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from suimon.api.gate import Gate
from suimon.api.operations.service import OperationsService
from suimon.model.actor import SYSTEM
from suimon.model.collectors import Answer, Sums
from suimon.model.things import Collector
from tests.api.cloud import Cloud

ANSWER = msgspec.json.encode(Answer([], Sums(records=7)))


class Records(BaseHTTPRequestHandler):
    """A collector that knows one answer."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of an authority of its own, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    make += ["-subj", "/CN=flows", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*make, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


@contextmanager
def collector(certificate: tuple[Path, Path]) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), Records) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("trusted", "status"), [(True, 200), (False, 503)])
def test_a_collector_of_the_cloud_s_own_authority(
    cloud: Cloud, certificate: tuple[Path, Path], trusted: bool, status: int
) -> None:
    tls = ssl.create_default_context(cafile=certificate[0]) if trusted else None
    gate = Gate(cloud.store, cloud.clock)
    cloud.services["operations"] = OperationsService(gate, cloud.states, collectors_tls=tls)
    with collector(certificate) as url:
        joined = Collector(name="c1", url=url, key="k" * 43, credential_hash="h", joined_at=datetime.now(UTC))
        cloud.run(cloud.store.write(lambda tx: tx.insert(joined), SYSTEM))
        told = cloud.call("GET", "/operations/v1/flows", token=cloud.admin.token)
    assert told.status == status
    assert status != 200 or told.json["total"]["records"] == 7
