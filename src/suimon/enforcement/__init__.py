"""Policies kept true to the store: what they say of it now, what was violated when, and what they forbid.

In come the change log and the transactions that are about to be committed; out go refusals, answers and the history of
violations. `cli` makes an `Enforcement` in each controller, which follows the log; a lease lets one of them record.
What always holds: an engine is at a revision of the log, and what it is asked within a transaction it is asked at the
transaction's own.
"""
