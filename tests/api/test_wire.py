"""The edges of HTTP: addresses in answers, slow and broken bodies, request ids, what is not ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from suimon.api import application, wire
from suimon.api.application import ClientsApp
from suimon.api.network.extensions import EXTENSIONS
from tests.api.cloud import Cloud


@pytest.mark.parametrize(
    "host, origin",
    [
        ("cloud.example:443", "http://cloud.example:443"),
        ("[2001:db8::1]:9696", "http://[2001:db8::1]:9696"),
        ("localhost", "http://localhost"),
        ("evil.example/path?", "http://127.0.0.1:9696"),
        ('a"b', "http://127.0.0.1:9696"),
        ("user@evil.example", "http://127.0.0.1:9696"),
        ("", "http://127.0.0.1:9696"),
    ],
)
def test_links_and_catalog_follow_the_host_header_when_it_is_one(shared_cloud: Cloud, host: str, origin: str) -> None:
    told = shared_cloud.call("GET", "/", headers={"host": host})
    assert told.json["versions"][0]["links"][0]["href"] == f"{origin}/v2.0/"
    refused = shared_cloud.call("GET", "/v2.0/networks", headers={"host": host})
    assert refused.headers["www-authenticate"] == f'Keystone uri="{origin}/identity/v3"'


def test_a_public_url_wins_over_the_host_header(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    config = application.Config(public_url="https://cloud.example/")
    monkeypatch.setattr(cloud, "app", ClientsApp(config, cloud.services))
    told = cloud.call("GET", "/identity/v3/auth/catalog", token=cloud.admin.token).json["catalog"]
    assert {endpoint["url"] for service in told for endpoint in service["endpoints"]} == {
        "https://cloud.example", "https://cloud.example/identity", "https://cloud.example/policy"
    }  # fmt: skip


def test_every_answer_has_an_id_of_its_own(shared_cloud: Cloud) -> None:
    paths = ["/", "/v2.0/networks", "/nosuch", "/identity/v3", "/healthz", "/operations/v1/hosts"]
    ids = {shared_cloud.call("GET", path).headers["x-openstack-request-id"] for path in paths}
    assert len(ids) == len(paths) and all(id_.startswith("req-") for id_ in ids)


def test_the_id_of_a_request_is_in_the_change_log(cloud: Cloud) -> None:
    told = cloud.call("POST", "/v2.0/networks", {"network": {"name": "n"}}, cloud.admin.token)
    (change,) = {c.request_id for c in cloud.run(cloud.store.changes_after(0)) if c.id == told.json["network"]["id"]}
    assert change == told.headers["x-openstack-request-id"]


def test_a_body_that_never_ends_is_given_up(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "BODY_TIMEOUT_S", 0.05)

    async def call() -> int:
        async def receive() -> dict[str, object]:
            await asyncio.sleep(60)
            raise AssertionError

        statuses: list[int] = []

        async def send(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(int(str(message["status"])))

        headers = [(b"x-auth-token", cloud.admin.token.encode()), (b"content-length", b"5"), (b"host", b"cloud")]
        scope = {
            "type": "http", "method": "POST", "scheme": "http", "path": "/v2.0/networks", "query_string": b"",
            "headers": headers, "client": None, "server": None,
        }  # fmt: skip
        await cloud.app(scope, receive, send)
        return statuses[0]

    began = time.monotonic()
    assert cloud.run(call()) == 408
    assert time.monotonic() - began < 10


def test_a_body_in_pieces_is_put_together(shared_cloud: Cloud) -> None:
    pieces: Iterator[bytes] = iter([b'{"network"', b': {"name": "pieces"', b"}}"])
    headers = {"host": "cloud", "x-auth-token": shared_cloud.admin.token, "transfer-encoding": "chunked"}
    told = shared_cloud.call_with_parts("POST", "/v2.0/networks", headers, pieces)
    assert told.json["network"]["name"] == "pieces"


def test_too_many_query_parameters_are_refused(shared_cloud: Cloud) -> None:
    path = "/v2.0/networks?" + "&".join(f"id={n}" for n in range(1000))
    assert shared_cloud.call("GET", path, token=shared_cloud.admin.token).json == {"networks": []}
    assert shared_cloud.call("GET", f"{path}&id=x", token=shared_cloud.admin.token).status == 400


@pytest.mark.parametrize(
    "accept, status", [("", 200), ("*/*", 200), ("text/html, application/json;q=0.9", 200), ("text/html", 406)]
)
def test_what_a_client_accepts(shared_cloud: Cloud, accept: str, status: int) -> None:
    told = shared_cloud.call("GET", "/v2.0/networks", token=shared_cloud.admin.token, headers={"accept": accept})
    assert told.status == status


def test_every_extension_we_know_of_is_there(shared_cloud: Cloud) -> None:
    told = shared_cloud.call("GET", "/v2.0/extensions", token=shared_cloud.admin.token).json["extensions"]
    assert {extension["alias"] for extension in told} == set(EXTENSIONS)
    for alias in EXTENSIONS:
        one = shared_cloud.call("GET", f"/v2.0/extensions/{alias}", token=shared_cloud.admin.token).json
        assert one["extension"] in told


@pytest.mark.parametrize("token", ["", "x", "x" * 257, "x" * 8000, "\u00fc", "' OR 1=1 --"])
def test_a_token_that_is_none_is_refused(shared_cloud: Cloud, token: str) -> None:
    assert shared_cloud.call("GET", "/v2.0/networks", headers={"x-auth-token": token}).status == 401
    assert shared_cloud.call("GET", "/operations/v1/hosts", headers={"x-auth-token": token}).status == 401
