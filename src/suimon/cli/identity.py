"""Who is let in, as the command line says it: by accounts of our own or by a Keystone's, under which rules."""

from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from suimon.api.gate import Gate
from suimon.api.identity import tokens
from suimon.api.identity.keystone import Config as KeystoneConfig
from suimon.api.identity.keystone import ConfigError, Keystone, Pointer, read_account
from suimon.api.identity.logins import Logins
from suimon.api.identity.passwords import Config as PasswordConfig
from suimon.api.identity.passwords import Passwords
from suimon.api.identity.service import IdentityService
from suimon.api.identity.throttle import Config as ThrottleConfig
from suimon.api.identity.throttle import Throttle
from suimon.api.wire import Service
from suimon.resources.persona import replace_rules
from suimon.resources.policy_file import PolicyError, read_rules
from suimon.resources.registry import RESOURCES
from suimon.store.store import Store

C = TypeVar("C", bound=Callable[..., Any])


class IdentityError(Exception):
    """The controller can't start so. The message is one sentence for the operator."""


class IdentityConfig(msgspec.Struct, frozen=True):
    """`keystone` is None where the accounts are our own."""

    keystone: KeystoneConfig | None = None
    policy: Path | None = None
    trusted_proxies: frozenset[str] = frozenset()
    passwords: PasswordConfig = PasswordConfig()

    @property
    def keystone_url(self) -> str:
        return self.keystone.url if self.keystone else ""


def identity_options(command: C) -> C:
    """The options that `identity_config` reads."""
    for option in (
        click.option("--policy", default="", help="policy.yaml: rules instead of the built-in ones."),
        click.option("--identity-url", default="", help="A Keystone whose tokens are taken, instead of our accounts."),
        click.option("--identity-config", default="", help="YAML file with our account in that Keystone."),
        click.option("--trusted-proxies", default="", help="Addresses whose X-Forwarded-For is believed, as in IP,IP."),
        click.option(
            "--password-cost",
            type=click.IntRange(10, 17),
            default=PasswordConfig().log2_n,
            show_default=True,
            help="What a guess at a password costs: one more doubles it, for logins too (log2 of scrypt's N).",
        ),
    ):
        command = option(command)
    return command


def identity_config(options: Mapping[str, Any]) -> IdentityConfig:
    """From the options' values. Raises IdentityError."""
    policy, url, account = options["policy"], options["identity_url"], options["identity_config"]
    proxies = options["trusted_proxies"]
    if bool(url) != bool(account):
        raise IdentityError("--identity-url and --identity-config belong together: where Keystone is, and our account.")
    if url and not url.startswith(("http://", "https://")):
        raise IdentityError(f"--identity-url {url!r} is no URL of http or https.")
    try:
        beside = KeystoneConfig(url=url, account=read_account(Path(account))) if url else None
        trusted = frozenset(str(ip_address(text.strip())) for text in proxies.split(",") if text.strip())
    except ConfigError as error:
        raise IdentityError(str(error)) from None
    except ValueError:
        raise IdentityError(f"--trusted-proxies {proxies!r} is no list of addresses.") from None
    return IdentityConfig(
        keystone=beside,
        policy=Path(policy) if policy else None,
        trusted_proxies=trusted,
        passwords=PasswordConfig(log2_n=options["password_cost"]),
    )


def apply_policy(config: IdentityConfig) -> None:
    """Puts the operator's rules in place, before anything is served. Raises IdentityError."""
    if config.policy is None:
        return
    try:
        replace_rules(read_rules(config.policy, [resource.spec for resource in RESOURCES.values()]))
    except PolicyError as error:
        raise IdentityError(str(error)) from None


def gate_and_service(
    config: IdentityConfig, store: Store, hasher: Passwords
) -> tuple[Gate, Service, Callable[[], Awaitable[None]]]:
    """What lets calls in, what answers under `/identity`, and what to await at the end."""
    if config.keystone is None:
        gate = Gate(store)
        logins = Logins(gate, hasher, Throttle(ThrottleConfig()))
        return gate, IdentityService(gate, hasher, tokens.Tokens(tokens.Config(), gate, logins)), _nothing
    beside = Keystone(config.keystone, now=store.now)
    return Gate(store, elsewhere=beside), Pointer(config.keystone.url), beside.close


async def _nothing() -> None:
    pass
