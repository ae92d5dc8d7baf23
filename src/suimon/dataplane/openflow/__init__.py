"""OpenFlow 1.5 over a bridge's management socket: our own encoder and decoder, and the client that speaks it.

`oxm`, `actions` and `messages` are pure: values of `pipeline.flow` to bytes and back, so that what the switch says it
holds compares equal to what was installed. `connection` is the client; `target` makes a bridge a `reconcile.Target`.
"""
