"""What the lab can't do."""


class LabError(Exception):
    """One sentence for the person at the terminal: what could not be done with which thing, and what to do."""
