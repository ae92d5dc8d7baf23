"""Acts: the only writer of the store.

An act is a function of a transaction, who acts, and what is wanted (`create_port(tx, actor, wanted)`); it checks,
chooses what was left open, writes rows, and raises a `CallerError` when it may not or can't, which undoes the
transaction. Whoever changes the world calls acts: the API, later response and intent. `registry.RESOURCES` lists the
kinds.
"""
