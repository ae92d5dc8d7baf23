"""HTTP in, acts called, resources out.

`application.ClientsApp` is the ASGI application of the clients' listener; `cli` makes and runs it. It gives each call
an id, finds its service by the first segment of the path, and turns errors into bodies, in one place:

    network      Neutron under /v2.0
    identity     Keystone v3 under /identity
    operations   ours under /operations, and /healthz
    gate         the caller, from his token
    wire         bounded JSON in and out
    errors       what errors look like

What always holds: no call reaches an act without a living token; no body, path or header makes anything but an answer;
and nothing of our inside is in an answer.
"""
