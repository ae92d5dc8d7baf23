"""Beside a Keystone: what is asked of it, what is remembered, and what happens while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from suimon.api.application import ClientsApp, Config
from suimon.api.gate import Gate
from suimon.api.identity import keystone
from suimon.api.identity.keystone import Account, ConfigError, Keystone, Pointer, read_account
from suimon.api.network.documents import Versions
from suimon.api.network.service import NetworkService
from suimon.model.errors import CallerError, Unauthorized, Unavailable
from suimon.resources.registry import RESOURCES
from tests.api.cloud import Cloud
from tests.api.fake_keystone import FakeKeystone


class Beside:
    """A Keystone client and the fake that it asks, with a clock to turn."""

    def __init__(self, **config: Any) -> None:
        self.now = 1000.0
        self.fake = FakeKeystone()
        self.runner = asyncio.Runner()
        self.runner.run(self.fake.start())
        account = Account(username="suimon", password=config.pop("password", "right"))
        self.client = Keystone(keystone.Config(url=self.fake.url, account=account, **config), clock=lambda: self.now)

    def ask(self, token: str) -> Any:
        return self.runner.run(self.client.actor(token, "req-1"))

    def outcome(self, token: str) -> str:
        try:
            return str(self.ask(token).user_id)
        except CallerError as error:
            return error.kind

    def close(self) -> None:
        self.runner.run(self.client.close())
        self.runner.run(self.fake.stop())
        self.runner.close()


@pytest.fixture
def beside() -> Iterator[Beside]:
    made = Beside()
    yield made
    made.close()


def test_a_token_becomes_who_keystone_says(beside: Beside) -> None:
    beside.fake.give("t", "member", "reader", user="anna", project="red")
    actor = beside.ask("t")
    assert (actor.user_id, actor.project_id, actor.roles) == ("anna", "red", {"member", "reader"})
    assert actor.request_id == "req-1"
    beside.fake.give("s", "admin", project="")
    assert beside.ask("s").project_id == ""


def test_an_answer_is_believed_for_a_minute_and_no_longer(beside: Beside) -> None:
    beside.fake.give("t", "member")
    assert beside.outcome("t") == "u"
    beside.fake.tokens.clear()
    beside.now += 59.9
    assert beside.outcome("t") == "u"
    beside.now += 0.1
    assert beside.outcome("t") == "Unauthorized"
    assert beside.fake.asked == ["t", "t"]


def test_an_answer_is_not_believed_longer_than_the_token_lives(beside: Beside) -> None:
    beside.fake.give("t", "member")
    beside.fake.lifetime = timedelta(seconds=30)
    assert beside.outcome("t") == "u"
    beside.fake.tokens.clear()
    beside.now += 30.0
    assert beside.outcome("t") == "Unauthorized"


def test_a_token_that_is_unknown_is_remembered_briefly(beside: Beside) -> None:
    for _ in range(5):
        assert beside.outcome("later") == "Unauthorized"
    assert len(beside.fake.asked) == 1
    beside.fake.give("later", "member")
    beside.now += 10.0
    assert beside.outcome("later") == "u"


def test_keystone_is_asked_once_for_many_requests_at_once(beside: Beside) -> None:
    beside.fake.give("t", "member")

    async def many() -> list[Any]:
        return await asyncio.gather(*(beside.client.actor("t", f"req-{n}") for n in range(200)))

    actors = beside.runner.run(many())
    assert beside.fake.asked == ["t"] and beside.fake.logins == 1
    assert {actor.request_id for actor in actors} == {f"req-{n}" for n in range(200)}


def test_one_who_leaves_takes_nobody_along(beside: Beside) -> None:
    beside.fake.give("t", "member")

    async def two() -> Any:
        first, second = (asyncio.create_task(beside.client.actor("t", "r")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert beside.runner.run(two()).user_id == "u"


def test_what_is_remembered_and_what_waits_is_bounded() -> None:
    beside = Beside(remembered=10, waiting=20)
    try:

        async def flood() -> list[Any]:
            asked = (beside.client.actor(f"guess{n}", "r") for n in range(100))
            return await asyncio.gather(*asked, return_exceptions=True)

        outcomes = [type(one) for one in beside.runner.run(flood())]
        assert outcomes.count(Unavailable) == 80 and outcomes.count(Unauthorized) == 20
        assert len(beside.client._known) == 10
    finally:
        beside.close()


@pytest.mark.parametrize(
    "garbage", ["", "{", "[]", "{}", '{"token": {}}', '{"token": {"user": {"id": 1}, "expires_at": "x"}}']
)
def test_an_answer_that_cant_be_read_is_no_answer(beside: Beside, garbage: str) -> None:
    beside.fake.give("t", "member")
    beside.fake.garbage = garbage
    assert beside.outcome("t") == "ServiceUnavailable"
    beside.fake.garbage = None
    assert beside.outcome("t") == "u"


def test_while_keystone_is_away_only_the_remembered_get_in(beside: Beside) -> None:
    beside.fake.give("t", "member")
    beside.fake.give("n", "member")
    assert beside.outcome("t") == "u"
    beside.fake.broken = 500
    assert (beside.outcome("t"), beside.outcome("n")) == ("u", "ServiceUnavailable")
    beside.runner.run(beside.fake.stop())
    assert (beside.outcome("t"), beside.outcome("n")) == ("u", "ServiceUnavailable")
    beside.runner.run(beside.fake.start())


def test_our_own_token_is_renewed_before_it_ends_and_when_it_is_revoked(beside: Beside) -> None:
    beside.fake.give("a", "member")
    assert beside.outcome("a") == "u" and beside.fake.logins == 1
    beside.now += 61
    assert beside.outcome("a") == "u" and beside.fake.logins == 1
    beside.now += 3600 - 60 - 61
    assert beside.outcome("a") == "u" and beside.fake.logins == 2
    beside.fake.own.clear()
    beside.now += 61
    assert beside.outcome("a") == "u" and beside.fake.logins == 3


def test_an_account_that_is_refused_is_not_tried_for_every_request() -> None:
    beside = Beside(password="wrong")
    try:
        for number in range(20):
            assert beside.outcome(f"t{number}") == "ServiceUnavailable"
        assert beside.fake.logins == 1
        beside.now += 5.0
        assert beside.outcome("t") == "ServiceUnavailable" and beside.fake.logins == 2
    finally:
        beside.close()


def test_requests_beside_a_keystone(cloud: Cloud) -> None:
    fake = FakeKeystone()
    cloud.run(fake.start())
    client = Keystone(keystone.Config(url=f"{fake.url}/v3/", account=Account(username="s", password="right")))
    services = {
        "": Versions(), "v2.0": NetworkService(Gate(cloud.store, elsewhere=client), RESOURCES),
        "identity": Pointer(fake.url),
    }  # fmt: skip
    cloud.app = ClientsApp(Config(keystone_url=f"{fake.url}/v3"), services)
    fake.give("t", "member", "reader", project="red")
    fake.give("r", "reader", project="red")
    assert cloud.call("POST", "/v2.0/networks", {"network": {"name": "n"}}, "t").json["network"]["project_id"] == "red"
    assert [n["name"] for n in cloud.call("GET", "/v2.0/networks", token="r").json["networks"]] == ["n"]
    assert cloud.call("POST", "/v2.0/networks", {"network": {}}, "r").error[:2] == (403, "PolicyNotAuthorized")
    told = cloud.call("GET", "/v2.0/networks", token="guessed")
    assert told.status == 401 and told.headers["www-authenticate"] == f'Keystone uri="{fake.url}/v3"'
    assert cloud.call("GET", "/v2.0/networks", token="gue\tssed").status == 401
    told = cloud.call("GET", "/identity/v3/auth/tokens", token="t")
    assert told.error[0] == 404 and fake.url in told.error[2]
    fake.broken = 503
    told = cloud.call("GET", "/v2.0/networks", token="unknown")
    assert told.error[:2] == (503, "ServiceUnavailable") and told.headers["retry-after"]
    cloud.run(client.close())
    cloud.run(fake.stop())


def test_a_service_acts_for_a_user_with_both_tokens(cloud: Cloud) -> None:
    fake = FakeKeystone()
    cloud.run(fake.start())
    client = Keystone(keystone.Config(url=fake.url, account=Account(username="s", password="right")))
    gate = Gate(cloud.store, elsewhere=client)
    fake.give("user", "member", project="red")
    fake.give("nova", "service", project="service")
    heard = []

    class Heard:
        dialect = staticmethod(Pointer.dialect)

        async def answer(self, call: Any) -> Any:
            heard.append(await gate.actor(call))
            return await Versions().answer(call)

    cloud.app = ClientsApp(Config(), {"": Heard()})
    cloud.call("GET", "/", token="user", headers={"x-service-token": "nova"})
    cloud.call("GET", "/", token="user")
    assert [(actor.project_id, actor.roles, actor.service_roles) for actor in heard] == [
        ("red", {"member"}, {"service"}), ("red", {"member"}, set())
    ]  # fmt: skip
    assert cloud.call("GET", "/", token="user", headers={"x-service-token": "guessed"}).status == 401
    cloud.run(client.close())
    cloud.run(fake.stop())


@pytest.mark.parametrize(
    "text, reason",
    [
        ("username: a\n", "names no account"),
        ("application_credential_id: a\n", "names no account"),
        ("user: a\n", "unknown field `user`"),
        ("username: [a\n", "isn't YAML"),
        ("- a\n", "Expected `object`"),
        ("username: a\npassword: 5\n", "Expected `str`"),
    ],
)
def test_an_account_that_cant_be_used_is_said_so(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "account.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason) as caught:
        read_account(path)
    assert str(path) in str(caught.value)


def test_an_account_is_read(tmp_path: Path) -> None:
    path = tmp_path / "account.yaml"
    path.write_text("username: suimon\npassword: secret\nproject_name: p\n")
    assert read_account(path) == Account(username="suimon", password="secret", project_name="p")
    with pytest.raises(ConfigError, match="No such file"):
        read_account(tmp_path / "none")
