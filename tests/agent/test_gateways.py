"""Who serves as a gateway: lost, replaced, back after a while; and what two that lost sight of each other agree on."""

from suimon.agent.gateways import Config, Liveness
from suimon.pipeline.gateway import REPLACED, SERVING, WAITING

CONFIG = Config(interval_s=1, lost_after=3, return_after_s=10)
ONE, TWO = "172.16.0.1", "172.16.0.2"


def after(liveness, answers, *, own="", other=TWO, start=0):
    """What holds after questions at one a second, each answered as given (None: not at all)."""
    for now, answer in enumerate(answers, start):
        liveness.ask(frozenset({other}), own, now)
        if answer:
            liveness.answered(other, answer, now)
    liveness.ask(frozenset({other}), own, start + len(answers))
    return liveness.verdict()


def test_three_silences_and_a_host_is_away():
    assert not after(Liveness(CONFIG), [SERVING, None, None]).away
    assert after(Liveness(CONFIG), [SERVING, None, None, None]).away == {TWO}


def test_one_that_waits_is_away_but_nobody_replaced_it():
    verdict = after(Liveness(CONFIG), [WAITING])
    assert verdict.away == {TWO}
    assert not verdict.replaced


def test_one_that_comes_back_serves_after_a_while_without_a_gap():
    liveness = Liveness(CONFIG)
    after(liveness, [None] * 3)
    verdict = after(liveness, [SERVING] * 8, start=4)
    assert (verdict.away, verdict.replaced, verdict.returned) == ({TWO}, {TWO}, 1)
    after(liveness, [None] * 3, start=12)
    assert after(liveness, [SERVING] * 8, start=15).away == {TWO}, "the gap counts from its end"
    verdict = after(liveness, [SERVING] * 4, start=23)
    assert not verdict.away
    assert not verdict.replaced


def test_one_that_was_replaced_does_not_serve_until_the_other_lets_it_or_dies():
    liveness = Liveness(CONFIG)
    verdict = after(liveness, [REPLACED], own=ONE)
    assert (verdict.serving, verdict.away) == (False, {ONE})
    assert after(liveness, [SERVING], own=ONE, start=2).serving
    assert not after(liveness, [REPLACED], own=ONE, start=4).serving
    verdict = after(liveness, [None] * 3, own=ONE, start=6)
    assert (verdict.serving, verdict.away) == (True, {TWO})


def test_of_two_that_replaced_each_other_the_lower_address_stays():
    low, high = Liveness(CONFIG), Liveness(CONFIG)
    after(low, [None] * 3, own=ONE, other=TWO)
    after(high, [None] * 3, own=TWO, other=ONE)
    assert after(low, [REPLACED], own=ONE, other=TWO, start=4).serving
    assert not after(high, [REPLACED], own=TWO, other=ONE, start=4).serving


def test_answers_that_nobody_asked_for_are_not_believed():
    liveness = Liveness(CONFIG)
    liveness.answered(TWO, WAITING, 0)
    liveness.ask(frozenset({TWO}), "", 0)
    liveness.answered(ONE, WAITING, 0)
    liveness.answered(TWO, "02:00:00:00:00:01", 0)
    assert not liveness.verdict().away
