"""Promise: two controllers on one PostgreSQL get no further past the gate than one does."""

from __future__ import annotations

from contextlib import closing

from suimon.response.responder import Responder, ResponderConfig
from suimon.store import Store, StoreConfig
from tests.postgresql import cluster
from tests.response.cloud import Cloud

PORTS, ALLOWED = 40, 5


def test_two_responders_at_once_act_as_often_as_one_may() -> None:
    url = cluster().url()
    try:
        with closing(Cloud(PORTS, url=url)) as cloud, closing(Store(StoreConfig(url), cloud.now)) as other:
            other.open()
            for port in cloud.ports:
                cloud.find(port)
            rival = Responder(ResponderConfig(), other, cloud.senses, monotonic=cloud.monotonic)
            cloud.round(rival)
            assert len(cloud.active()) == ALLOWED
            assert cloud.breaker_open()
            states = [one.state for one in cloud.incidents() if one.rule == "spam"]
            assert sorted(states) == ["restricted"] * ALLOWED + ["waiting"] * (PORTS - ALLOWED), "each is there once"
    finally:
        cluster().drop(url)
