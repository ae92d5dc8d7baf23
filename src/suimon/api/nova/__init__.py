"""What Nova is told of its instances' ports: plugged, unplugged, deleted, other addresses.

In comes the store's change log, out go requests to Nova's `POST /os-server-external-events`. `cli` starts a `Notifier`
in each controller, and a lease lets one of them work. No request of the API ever waits for Nova.
"""
