"""What a query says: from its text to a tree. Pure; what the words mean is for the next module.

    query      = alternative { "OR" alternative }
    alternative = part { [ "AND" ] part }
    part       = ( "-" | "NOT" ) part  |  "(" query ")"  |  key operator value  |  words
    operator   = ":" | "=" | "!=" | "<" | "<=" | ">" | ">=" | "~"
    key, words = bare or "quoted"
    value      = bare, up to the next space or parenthesis, or "quoted"

A bare word ends at a space, a parenthesis, a quote or an operator. Within quotes, ``\\"`` is a quote and ``\\\\`` a
backslash. AND, OR and NOT are capital; in small letters, or quoted, they are words like any other.
"""

import re
from typing import Literal, NoReturn

import msgspec

from runicorn_es import settings
from runicorn_es.errors import BadQuery

Operator = Literal[":", "=", "!=", "<", "<=", ">", ">=", "~"]

_DEPTH_MAX = 50
_SPACES = re.compile(r"\s*")
_OPERATOR = re.compile(r"!=|<=|>=|[:=<>~]")
_BARE = re.compile(r'(?:(?!!=)[^\s()":=<>~])+')
_VALUE = re.compile(r'[^\s()"]+')
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_ESCAPED = re.compile(r"\\(.)")


class Word(msgspec.Struct, frozen=True):
    """A text as it was written, and where it begins. ``is_quoted``: it means itself, and is neither number nor key."""

    text: str
    place: int
    is_quoted: bool = False


class Comparison(msgspec.Struct, frozen=True):
    """What a key is compared with, and where that begins."""

    key: Word
    operator: Operator
    value: Word


class Words(msgspec.Struct, frozen=True):
    """A text to be found wherever people write texts."""

    word: Word


class Not(msgspec.Struct, frozen=True):
    """All that is not so."""

    part: "Tree"


class And(msgspec.Struct, frozen=True):
    """What is all of this; of nothing, everything."""

    parts: tuple["Tree", ...]


class Or(msgspec.Struct, frozen=True):
    """What is any of this."""

    parts: tuple["Tree", ...]


Tree = And | Or | Not | Comparison | Words


def parse(text: str) -> Tree:
    """Return the tree of a query; of an empty one, that of everything. Raises BadQuery with the place."""
    if len(text) > settings.QUERY_CHARACTERS_MAX:
        raise BadQuery(
            f"the query has {len(text)} characters, at most {settings.QUERY_CHARACTERS_MAX} are allowed",
            text,
            settings.QUERY_CHARACTERS_MAX,
        )
    reading = _Reading(text)
    if reading.is_at_end():
        return And(())
    tree = reading.alternatives(0)
    if not reading.is_at_end():
        reading.refuse("there is no '(' for this ')'")
    return tree


class _Reading:
    """A query that is read from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0

    def is_at_end(self) -> bool:
        """Go to what comes next; returns whether nothing does."""
        found = _SPACES.match(self._text, self._place)
        assert found is not None
        self._place = found.end()
        return self._place == len(self._text)

    def refuse(self, why: str, place: int | None = None) -> NoReturn:
        """Raise BadQuery, at the present place unless another is given."""
        raise BadQuery(why, self._text, self._place if place is None else place)

    def alternatives(self, depth: int) -> Tree:
        """Read parts up to the end or a closing parenthesis."""
        if depth > _DEPTH_MAX:
            self.refuse(f"this is nested deeper than {_DEPTH_MAX} levels")
        parts = [self._together(depth)]
        while self._takes_word("OR"):
            parts.append(self._together(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _together(self, depth: int) -> Tree:
        parts = [self._part(depth)]
        while not self.is_at_end() and self._text[self._place] != ")" and not self._sees_word("OR"):
            self._takes_word("AND")
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _part(self, depth: int) -> Tree:
        is_negated = False
        while True:
            if self.is_at_end():
                self.refuse("something to search for is missing here")
            if self._takes_word("NOT"):
                is_negated = not is_negated
            elif self._text[self._place] == "-":
                self._place += 1
                if not self._text[self._place : self._place + 1].strip():
                    self.refuse("'-' takes away what stands right behind it, and nothing does", self._place - 1)
                is_negated = not is_negated
            else:
                break
        part = self._group(depth) if self._text[self._place] == "(" else self._comparison_or_words()
        return Not(part) if is_negated else part

    def _group(self, depth: int) -> Tree:
        opened = self._place
        self._place += 1
        tree = self.alternatives(depth + 1)
        if self.is_at_end():
            self.refuse("this '(' is never closed", opened)
        self._place += 1
        return tree

    def _comparison_or_words(self) -> Tree:
        for word in ("AND", "OR"):
            if self._sees_word(word):
                self.refuse(f"{word} stands between two things; quote it to search for the word")
        begin = self._place
        key = self._word(_BARE)
        if key is None:
            if _OPERATOR.match(self._text, begin):
                self.refuse("what is to be compared is missing in front of this")
            self.refuse("something to search for is missing here")
        behind = self._place
        self.is_at_end()
        operator = _OPERATOR.match(self._text, self._place)
        if operator is None:
            self._place = behind
            return Words(key)
        self._place = operator.end()
        self.is_at_end()
        if second := _OPERATOR.match(self._text, self._place):
            self.refuse(f"{operator[0]!r} is followed by {second[0]!r}, not by a value; quote one that begins so")
        value = self._word(_VALUE)
        if value is None:
            self.refuse(f"a value is missing behind {self._text[begin : operator.end()]!r}")
        return Comparison(key, operator[0], value)  # type: ignore[arg-type]

    def _word(self, bare: re.Pattern[str]) -> Word | None:
        begin = self._place
        if self._text[begin : begin + 1] == '"':
            quoted = _QUOTED.match(self._text, begin)
            if quoted is None:
                self.refuse('this quote is never closed; within quotes, \\" is a quote and \\\\ a backslash')
            self._place = quoted.end()
            return Word(_ESCAPED.sub(r"\1", quoted[1]), begin, is_quoted=True)
        found = bare.match(self._text, begin)
        if found is None:
            return None
        self._place = found.end()
        return Word(found[0], begin)

    def _sees_word(self, word: str) -> bool:
        found = _BARE.match(self._text, self._place)
        return found is not None and found[0] == word

    def _takes_word(self, word: str) -> bool:
        if self.is_at_end() or not self._sees_word(word):
            return False
        self._place += len(word)
        return True
