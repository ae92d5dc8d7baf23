"""Our own calls: `/operations/v1` with an admin's token, `/healthz` without one. Errors speak Keystone's dialect."""
