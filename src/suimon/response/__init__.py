"""From findings to restrictions, and from policies' calls to actions, through one gate, and back.

In come findings (`resources.findings`), what ports used, and what policies call for (`resources.calls`); out go
restrictions (`resources.restrictions`), actions (`resources.actions`), incidents with their timelines, and words to
subscribers. `cli` starts a `Responder` in each controller, and a lease lets one of them work; the `Executor` works
where violations are recorded. What always holds: nothing happens by itself but through `gate.decide`, in the
transaction that counted what had happened before.
"""
