"""The files of a version as a sequence that is read when it is asked for: there may be a million of them."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, overload

Item = TypeVar("Item")


class ReadWhenAsked(Sequence[Item]):
    """A sequence of known length. Going through it reads as it goes; the first index or slice reads all, and keeps it.

    Equal to another sequence with the same items, a list among them.
    """

    def __init__(self, count: int, read: Callable[[], Iterator[Item]]) -> None:
        self._count = count
        self._read = read
        self._all: list[Item] | None = None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Item]:
        return self._read() if self._all is None else iter(self._all)

    @overload
    def __getitem__(self, number: int) -> Item: ...

    @overload
    def __getitem__(self, number: slice) -> list[Item]: ...

    def __getitem__(self, number: int | slice) -> Item | list[Item]:
        if self._all is None:
            self._all = list(self._read())
        return self._all[number]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as a list: what it is equal to may change

    def __repr__(self) -> str:
        return f"<{self._count} files>"
