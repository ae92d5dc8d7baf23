"""The store: rows, transactions, revisions and the change log.

In come acts (functions of a `Tx`), out come what they return; `resources` calls `Store.write`, everybody may
`Store.read`. One writing transaction is one revision of the log, durable before `write` returns, and undone whole by
any exception.
"""

from suimon.store.changes import Change
from suimon.store.errors import StoreError, Taken
from suimon.store.store import Store, StoreConfig, Subscription
from suimon.store.tx import Tx

__all__ = ["Change", "Store", "StoreConfig", "StoreError", "Subscription", "Taken", "Tx"]
