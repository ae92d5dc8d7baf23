"""Beside the real Keystone: its users, its roles, its revocations, through a real `suimon serve`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import openstack
import pytest

from suimon.api.identity import keystone
from suimon.api.identity.keystone import Keystone
from suimon.model.errors import CallerError
from tests.api import keystone as real
from tests.api.controller import Controller, free_port
from tests.api.keystone import PASSWORD, RealKeystone, project


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKeystone]:
    with real.started(tmp_path_factory.mktemp("keystone")) as made:
        made.account("suimon", "service")
        yield made


class Client:
    """Ours, with a clock to turn."""

    def __init__(self, server: RealKeystone, **account: str) -> None:
        self.now = 1000.0
        self.runner = asyncio.Runner()
        given = account or {"username": "suimon", "password": "suimon", "project_name": "suimon"}
        config = keystone.Config(url=server.url, account=keystone.Account(**given))
        self.client = Keystone(config, clock=lambda: self.now)

    def outcome(self, token: str) -> object:
        try:
            actor = self.runner.run(self.client.actor(token, "req"))
        except CallerError as error:
            return error.kind
        return actor.user_id, actor.project_id, sorted(actor.roles)

    def close(self) -> None:
        self.runner.run(self.client.close())
        self.runner.close()


@pytest.fixture
def client(server: RealKeystone) -> Iterator[Client]:
    made = Client(server)
    yield made
    made.close()


def test_tokens_of_every_scope(server: RealKeystone, client: Client) -> None:
    user, home = server.account("anna", "member")
    assert client.outcome(server.token("anna", "anna", project("anna"))) == (user, home, ["member", "reader"])
    system = client.outcome(server.token("admin", PASSWORD, {"system": {"all": True}}))
    assert isinstance(system, tuple) and system[1] == "" and "admin" in system[2]
    assert client.outcome("gAAAAABguessed") == "Unauthorized"
    assert client.outcome("x" * 4000) == "Unauthorized"


def test_a_revocation_is_noticed_within_its_bound(server: RealKeystone, client: Client) -> None:
    user, _ = server.account("bert", "member")
    token = server.token("bert", "bert", project("bert"))
    assert client.outcome(token)[0] == user  # type: ignore[index]
    server.call("DELETE", "auth/tokens", None, **{"X-Subject-Token": token})
    client.now += 59
    assert client.outcome(token)[0] == user  # type: ignore[index]
    client.now += 1
    assert client.outcome(token) == "Unauthorized"


@pytest.mark.parametrize("change", [{"enabled": False}, {"password": "new"}])
def test_a_disabled_user_and_a_new_password_are_noticed(
    server: RealKeystone, client: Client, change: dict[str, object]
) -> None:
    name = f"carl{len(change)}{next(iter(change))}"
    user, _ = server.account(name, "member")
    token = server.token(name, name, project(name))
    assert client.outcome(token)[0] == user  # type: ignore[index]
    server.call("PATCH", f"users/{user}", {"user": change})
    client.now += 60
    assert client.outcome(token) == "Unauthorized"


def test_our_own_token_is_renewed_when_it_is_revoked(server: RealKeystone, client: Client) -> None:
    user, _ = server.account("dora", "reader")
    token = server.token("dora", "dora", project("dora"))
    assert client.outcome(token)[0] == user  # type: ignore[index]
    server.call("DELETE", "auth/tokens", None, **{"X-Subject-Token": client.client._own_token})
    client.now += 60
    assert client.outcome(token)[0] == user  # type: ignore[index]


def test_an_application_credential_is_an_account_too(server: RealKeystone) -> None:
    user, _ = server.account("robot", "service")
    token = server.token("robot", "robot", project("robot"))
    body = {"application_credential": {"name": "suimon", "secret": "s"}}
    made = server.call("POST", f"users/{user}/application_credentials", body, **{"X-Auth-Token": token})
    credential = made["application_credential"]["id"]
    asking = Client(server, application_credential_id=credential, application_credential_secret="s")
    assert asking.outcome(token)[0] == user  # type: ignore[index]
    asking.close()


def test_an_account_without_a_role_for_it_is_told_apart_from_a_bad_token(server: RealKeystone) -> None:
    server.account("weak", "member")
    server.account("erik", "member")
    asking = Client(server, username="weak", password="weak", project_name="weak")
    assert asking.outcome(server.token("erik", "erik", project("erik"))) == "ServiceUnavailable"
    asking.close()


def test_a_cloud_beside_a_keystone(server: RealKeystone, tmp_path: Path) -> None:
    """The SDK logs in at Keystone, finds us in its catalog, and we take its token; Keystone may fall and come back."""
    _, home = server.account("fred", "member")
    server.account("gina", "reader")
    account = tmp_path / "account.yaml"
    account.write_text("username: suimon\npassword: suimon\nproject_name: suimon\n")
    options = ("--identity-url", server.url, "--identity-config", str(account))
    controller = Controller(tmp_path / "state", free_port(), free_port(), *options)
    service = server.call("POST", "services", {"service": {"type": "network", "name": "neutron"}})["service"]["id"]
    server.call("POST", "endpoints", {
        "endpoint": {"service_id": service, "interface": "public", "url": controller.url}
    })  # fmt: skip
    controller.start()
    try:
        assert not (tmp_path / "state" / "clouds.yaml").exists()
        fred, gina = (_connected(server, name) for name in ("fred", "gina"))
        made = fred.network.create_network(name="freds")
        assert made.project_id == home
        assert [one.name for one in gina.network.networks()] == []
        with pytest.raises(openstack.exceptions.ForbiddenException):
            gina.network.create_network(name="ginas")
        server.stop()
        assert [one.name for one in fred.network.networks()] == ["freds"]
        unknown = {"X-Auth-Token": "unknown"}
        assert (
            fred.session.get(
                f"{controller.url}/v2.0/networks", headers=unknown, authenticated=False, raise_exc=False
            ).status_code
            == 503
        )
        server.start()
        fred.network.delete_network(made.id)
    finally:
        controller.stop(signal.SIGKILL)


def _connected(server: RealKeystone, name: str) -> openstack.connection.Connection:
    return openstack.connect(
        auth_url=server.url, username=name, password=name, project_name=name, region_name=None,
        user_domain_name="Default", project_domain_name="Default", load_yaml_config=False, load_envvars=False,
    )  # fmt: skip
