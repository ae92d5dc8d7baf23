"""Guessing: it is slowed down and logged, and what is answered and what it costs tells nothing about who exists."""

import json
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from suimon.api.application import ClientsApp, Config
from suimon.api.identity import passwords
from suimon.api.identity.throttle import Config as ThrottleConfig
from suimon.api.identity.throttle import Throttle
from suimon.model.errors import CallerError
from tests.api.cloud import Answer, Cloud, login_body
from tests.api.test_identity import REFUSED
from tests.api.test_identity_credentials import credential

TOKENS = "/identity/v3/auth/tokens"


def credential_body(**proof: object) -> object:
    return {"auth": {"identity": {"methods": ["application_credential"], "application_credential": proof}}}


def wrong(cloud: Cloud) -> dict[str, object]:
    """Every way to be wrong about somebody."""
    off, bare = cloud.account("off"), cloud.account("bare")
    admin = cloud.admin.token
    robot = credential(cloud, cloud.account("owner"))
    cloud.call("PATCH", f"/identity/v3/users/{off.user_id}", {"user": {"enabled": False}}, admin)
    cloud.call("PATCH", f"/identity/v3/users/{bare.user_id}", {"user": {"password": None}}, admin)
    elsewhere = login_body("admin", cloud.admin_password)
    elsewhere["auth"]["identity"]["password"]["user"]["domain"] = {"name": "Elsewhere"}
    return {
        "a wrong password": login_body("admin", "guess"),
        "nobody": login_body("nobody", "guess"),
        "nobody by id": {
            "auth": {"identity": {"methods": ["password"], "password": {"user": {"id": "0" * 32, "password": "guess"}}}}
        },
        "a disabled user": login_body("off", "off"),
        "a user without a password": login_body("bare", "bare"),
        "another domain": elsewhere,
        "a wrong secret": credential_body(id=robot["id"], secret="guess"),
        "no such credential": credential_body(id="0" * 32, secret="guess"),
        "no such credential of a user": credential_body(name="x", user={"id": robot["user_id"]}, secret="guess"),
        "a credential of nobody": credential_body(name="robot", user={"id": "0" * 32}, secret="guess"),
    }


def test_every_wrong_login_costs_one_hash_and_says_the_same(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = wrong(cloud)
    costs: list[int] = []
    real = passwords._scrypt
    monkeypatch.setattr(passwords, "_scrypt", lambda p, s, cost: (costs.append(cost.log2_n), real(p, s, cost))[1])
    for name, body in bodies.items():
        for _ in range(3):
            costs.clear()
            told = cloud.call("POST", TOKENS, body)
            assert told.error == REFUSED, name
            assert costs == [4], name  # The cost that this cloud's passwords are hashed at.


def test_nobody_is_throttled_like_somebody(cloud: Cloud) -> None:
    statuses = {}
    for user in ("admin", "nobody"):
        statuses[user] = [cloud.call("POST", TOKENS, login_body(user, f"guess{n}")).status for n in range(15)]
    assert statuses["admin"] == statuses["nobody"] == [401] * 10 + [429] * 5


def test_throttled_guesses_cost_no_hash(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        cloud.call("POST", TOKENS, login_body("admin", f"guess{number}"))

    def none(*_: object) -> bytes:
        raise AssertionError("a hash was computed")

    monkeypatch.setattr(passwords, "_scrypt", none)
    for _ in range(50):
        told = cloud.call("POST", TOKENS, login_body("admin", cloud.admin_password))
        assert told.status == 429 and told.headers["retry-after"] == "60"


def test_secrets_of_credentials_are_throttled_too(cloud: Cloud) -> None:
    robot = credential(cloud, cloud.admin)
    for _ in range(10):
        assert cloud.call("POST", TOKENS, credential_body(id=robot["id"], secret="guess")).status == 401
    assert cloud.call("POST", TOKENS, credential_body(id=robot["id"], secret=robot["secret"])).status == 429


def test_failures_are_logged_without_what_was_tried(cloud: Cloud) -> None:
    with capture_logs() as heard:
        for number in range(12):
            cloud.call("POST", TOKENS, login_body("admin", f"guess{number}"))
    told = [entry for entry in heard if entry["event"] == "login_failed"]
    assert len(told) == 10
    assert [entry["throttled"] for entry in told] == [False] * 9 + [True]
    assert {(entry["user"], entry["client"], entry["log_level"]) for entry in told} == {
        ("admin", "192.0.2.1", "warning")
    }
    assert "guess" not in json.dumps(heard)


def test_a_flood_from_one_address_is_throttled_whatever_names_it_tries() -> None:
    throttle = Throttle(ThrottleConfig(per_user=3, per_address=20, window_s=60, remembered=50))
    admitted = 0
    for number in range(500):
        if admits(throttle, "192.0.2.9", f"user{number}", 1.0):
            throttle.failed("192.0.2.9", f"user{number}", 1.0)
            admitted += 1
    assert admitted == 20
    assert admits(throttle, "192.0.2.10", "user1", 1.0)
    assert admits(throttle, "192.0.2.9", "user1", 61.0)


def test_what_is_remembered_is_bounded() -> None:
    throttle = Throttle(ThrottleConfig(remembered=50))
    for number in range(500):
        throttle.failed(f"192.0.2.{number}", "admin", 1.0)
    assert len(throttle._failures) <= 50


def admits(throttle: Throttle, address: str, user: str, now: float) -> bool:
    try:
        throttle.admit(address, user, now)
    except CallerError as error:
        assert error.status == 429
        return False
    return True


def through(cloud: Cloud, *trusted: str) -> Callable[[str], Answer]:
    """Fails to log in as if a proxy at 192.0.2.1 had passed it on with this X-Forwarded-For."""
    cloud.app = ClientsApp(Config(trusted_proxies=frozenset(trusted)), cloud.services)
    return lambda told: cloud.call("POST", TOKENS, login_body("admin", "guess"), headers={"x-forwarded-for": told})


@pytest.mark.parametrize(
    "trusted, told, counted",
    [
        ((), "198.51.100.7", "192.0.2.1"),
        (("192.0.2.99",), "198.51.100.7", "192.0.2.1"),
        (("192.0.2.1",), "198.51.100.7", "198.51.100.7"),
        (("192.0.2.1",), "203.0.113.5, 198.51.100.7", "198.51.100.7"),
        (("192.0.2.1", "192.0.2.2"), "203.0.113.5, 198.51.100.7, 192.0.2.2", "198.51.100.7"),
        (("192.0.2.1",), "", "192.0.2.1"),
        (("192.0.2.1",), "x" * 500, "x" * 64),
    ],
)
def test_who_called_is_what_a_trusted_proxy_says(cloud: Cloud, trusted: list[str], told: str, counted: str) -> None:
    with capture_logs() as heard:
        through(cloud, *trusted)(told)
    assert [entry["client"] for entry in heard if entry["event"] == "login_failed"] == [counted]


def test_a_forged_address_gives_no_more_guesses(cloud: Cloud) -> None:
    guess = through(cloud, "192.0.2.1")
    statuses = [guess(f"203.0.113.{number}, 198.51.100.7").status for number in range(12)]
    assert statuses == [401] * 10 + [429] * 2
