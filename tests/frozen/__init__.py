"""What each release left on disk, a controller's database as SQL and an agent's state: later releases read them."""
