"""Write a number with its noun."""


def counted(number: float, noun: str, plural: str = "") -> str:
    """Return "1 error" or "2,000 errors". `plural` is for nouns that need more than an s."""
    return f"{number:,.15g} {noun if number == 1 else plural or f'{noun}s'}"
