"""PURE: what a host knows becomes what its switch does. `World(host, numbers)` takes in the view's objects and compiles
owners into flows, groups, meters and shapes.

In: objects of `model.view`, the OpenFlow numbers of plugged interfaces, external next hops. Out: a `Program` for each
owner. Called by the agent, by `simulate` and by tests. Always holds: the same facts and numbers compile to the same
program, in whatever order they came; and no owner's program grows with the cloud.

One file per stage. Each has `PRODUCERS`: for a kind of owner, the function that yields its flows; `stages.py` lists
the files.
"""
