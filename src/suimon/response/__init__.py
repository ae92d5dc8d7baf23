"""From findings to restrictions, through one gate, and back.

In come findings (`resources.findings`) and what ports used; out go restrictions (`resources.restrictions`), incidents
with their timelines, and words to subscribers. `cli` starts a `Responder` in each controller, and a lease lets one of
them work. What always holds: nothing happens by itself but through `gate.decide`, in the transaction that counted what
had happened before.
"""
