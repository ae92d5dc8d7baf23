"""Passwords are dear to guess, and guessing is bounded."""

import asyncio

import pytest

from suimon.api.identity import passwords, throttle
from suimon.api.identity.passwords import NO_PASSWORD, Passwords
from suimon.api.identity.throttle import Throttle
from suimon.model.errors import TooManyRequests, Unavailable


def test_a_hash_is_salted_and_says_its_cost() -> None:
    cheap = passwords.Config(log2_n=4)
    one, other = passwords.hashed("secret", cheap), passwords.hashed("secret", cheap)
    assert one != other and one.startswith("scrypt$4$8$1$")


def test_checking() -> None:
    async def check() -> list[bool]:
        hasher = Passwords(passwords.Config(log2_n=4))
        old = passwords.hashed("secret", passwords.Config(log2_n=5))
        checks = [("secret", old), ("Secret", old), ("secret", None), ("", NO_PASSWORD), ("\u00e9\ud7ff", old)]
        try:
            return [await hasher.check(password, stored) for password, stored in checks]
        finally:
            hasher.close()

    assert asyncio.run(check()) == [True, False, False, False, False]


def test_only_so_many_wait() -> None:
    async def storm() -> int:
        hasher = Passwords(passwords.Config(log2_n=12, workers=1, waiting=3))
        results = await asyncio.gather(*(hasher.hash("x") for _ in range(10)), return_exceptions=True)
        hasher.close()
        return sum(isinstance(result, Unavailable) for result in results)

    assert asyncio.run(storm()) == 6


def test_failures_are_counted_by_user_and_by_address_and_forgotten() -> None:
    guard = Throttle(throttle.Config(per_user=2, per_address=3, window_s=60))
    for now in (0, 1):
        guard.admit("a", "anna", now)
        guard.failed("a", "anna", now)
    with pytest.raises(TooManyRequests):
        guard.admit("a", "anna", 2)
    guard.admit("b", "anna", 2)
    guard.admit("a", "bert", 2)
    guard.failed("a", "bert", 2)
    with pytest.raises(TooManyRequests):
        guard.admit("a", "carl", 3)
    guard.admit("a", "anna", 60)
    guard.admit("a", "carl", 60)


def test_what_is_remembered_is_bounded() -> None:
    guard = Throttle(throttle.Config(remembered=10))
    for n in range(100):
        guard.failed(f"address{n}", "anna", 0)
    assert len(guard._failures) == 10
