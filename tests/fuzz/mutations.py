"""Changes to trees of values, so that what is tried is almost right: noise is refused by the first check."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

ODD = [
    None, True, False, 0, 1, -1, 2, 255, 256, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0.5,
    "", "a", "\x00", "\n", "\n\n", "+", " ", "\N{EM DASH} ", "\N{REPLACEMENT CHARACTER}", "x" * 300, "00", "0", "-1",
    "9" * 30, "ff" * 32, [], [[]], {}, {"": None}, 1e300,
]  # fmt: skip


class Changing:
    """One source of changes: its random numbers, how it changes bytes, and values of other inputs to put in."""

    def __init__(self, seed: int, change_bytes: Callable[[bytes], bytes], donors: list[Any]) -> None:
        self._random = Random(seed)
        self._change_bytes = change_bytes
        self._donors = donors
        self._donors_of: dict[type, list[Any]] = {}
        for one in donors:
            self._donors_of.setdefault(type(one), []).append(one)

    def choose(self, options: list[Any]) -> Any:
        return self._random.choice(options)

    def is_time_for(self, share: float) -> bool:
        return self._random.random() < share

    def bytes(self, content: bytes) -> bytes:
        return self._change_bytes(content) if content else self._random.randbytes(8)

    def tree(self, value: Any) -> Any:
        """Return the tree with a few places changed."""
        for _ in range(self._random.choice((1, 1, 1, 2, 4))):
            value = self._changed(value)
        return value

    def _changed(self, value: Any) -> Any:
        if not isinstance(value, dict | list) or not value or self.is_time_for(0.1):
            return self._replaced(value)
        copy: Any = dict(value) if isinstance(value, dict) else list(value)
        place = self.choose(list(value) if isinstance(value, dict) else list(range(len(value))))
        match self._random.randrange(20):
            case 0:
                del copy[place]
            case 1 if isinstance(copy, list):
                copy[place:place] = [copy[place]] * self.choose([1, 1, 2, 70])
            case 1:
                copy["more"] = copy[place]
            case 2 if isinstance(copy, list):
                self._random.shuffle(copy)
            case _:
                copy[place] = self._changed(copy[place])
        return copy

    def _replaced(self, value: Any) -> Any:
        match self._random.randrange(10):
            case 0:
                return self.choose(ODD)
            case 1:
                return self.choose(self._donors)
            case 2 | 3 | 4:
                return self.choose(self._donors_of.get(type(value), self._donors))
            case 5 | 6 if isinstance(value, str) and value:
                return self._with_another_letter(value)
        if isinstance(value, bool) or value is None:
            return not value
        if isinstance(value, int):
            return value + self.choose([-1, 1, 256, -256, 1 << 32, -(1 << 32)])
        if isinstance(value, str):
            return self.bytes(value.encode()).decode(errors="replace")
        if isinstance(value, bytes):
            return self.bytes(value)
        return value

    def _with_another_letter(self, text: str) -> str:
        """Return the text with a letter or number changed. Each line is as likely, for the short ones say the most."""
        lines = text.split("\n")
        number = self._random.randrange(len(lines))
        line = lines[number]
        if line.isdecimal() and self.is_time_for(0.8):
            lines[number] = str(int(line) + self.choose([-1, 1, 1, 2, 256]))
            return "\n".join(lines)
        at = self._random.randrange(len(line) + 1)
        lines[number] = line[:at] + self.choose(list("0123456789abcdefAZ+/=\n ")) + line[at + 1 :]
        return "\n".join(lines)


def values_of(tree: Any) -> Iterator[Any]:
    """Yield every value in a tree, also those that hold others."""
    yield tree
    if isinstance(tree, dict):
        for value in tree.values():
            yield from values_of(value)
    if isinstance(tree, list):
        for value in tree:
            yield from values_of(value)
