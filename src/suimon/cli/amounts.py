"""Amounts as people read them."""


def scaled(amount: float) -> str:
    """With the prefix of its size, to be followed by the unit."""
    for unit in ("", "k", "M", "G", "T"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.4g} P"
