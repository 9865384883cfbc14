"""How numbers and texts read to people, on a terminal and on a page."""

import re

# Control characters, and those that turn the direction of writing: a text from a store must not rewrite the screen.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return a text with its control characters spelled out."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def size(size_bytes: int) -> str:
    """Return a size as people read it: ``512 B``, ``97.5 KB``, ``1.2 GB``; a KB has 1024 bytes."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    scaled = size_bytes / 1024
    units = iter(("KB", "MB", "GB", "TB"))
    unit = next(units)
    while round(scaled, 1) >= 1024 and (larger := next(units, None)):
        scaled, unit = scaled / 1024, larger
    return f"{scaled:.1f} {unit}"


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun: ``1 file``, ``12,000 files``."""
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"
