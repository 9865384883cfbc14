"""What a query means: which fields there are, how each is compared, and what is wrong where it cannot be."""

from collections.abc import Iterator, Mapping
import difflib
import math
import re
from typing import NoReturn

from runicorn_es import names, rules
from runicorn_es.errors import BadQuery, Rejected
from runicorn_es.projections.rows import ALIASES, ARTIFACTS, DELETED, INPUTS, PURGED, READY, VERSIONS
from runicorn_es.queries.search import terms, values
from runicorn_es.queries.search.grammar import And, Comparison, Not, Or, Tree, Word, Words
from runicorn_es.queries.search.terms import Term
from runicorn_es.queries.view import View

METADATA_PREFIX = "meta."
_TEXT = (":", "=", "!=", "~")
_NUMBER = (":", "=", "!=", "<", "<=", ">", ">=")
_EXACT = (":", "=", "!=")
_STATUSES: Mapping[str, tuple[str, ...]] = {
    "live": (READY,),
    READY: (READY,),
    DELETED: (DELETED,),
    PURGED: (PURGED,),
    "any": (READY, DELETED, PURGED),
}
_DIGEST = re.compile(r"(?:blake3:)?([0-9a-f]{1,64})")
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
# Field: the operators it takes.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "name": _TEXT,
    "type": _TEXT,
    "tag": _TEXT,
    "alias": _TEXT,
    "run": _TEXT,
    "used-by": _EXACT,
    "status": _EXACT,
    "version": _NUMBER,
    "created": _NUMBER,
    "age": ("<", "<=", ">", ">="),
    "size": _NUMBER,
    "files": _NUMBER,
    "digest": _EXACT,
    "description": _TEXT,
}
_COLUMNS = {"name": "names", "type": "types", "tag": "tags", "run": "runs"}
_COUNTS = {"version": "versions", "files": "file_counts"}


class Meaning:
    """What a query asks of the versions in a view, and what must be known of them for that."""

    def __init__(self, view: View, tree: Tree, query: str, now_ns: int) -> None:
        self._view = view
        self._query = query
        self._now_ns = now_ns
        # Keys of metadata, and where they stand; whether descriptions, and whether the status is asked for.
        self.keys: dict[str, Word] = {}
        self.has_descriptions = False
        self.has_status = False
        self.term = self._of(tree)

    def _of(self, tree: Tree) -> Term:
        match tree:
            case And(parts=()):
                return terms.Everything()
            case And():
                return terms.AllOf([self._of(part) for part in tree.parts])
            case Or():
                return terms.AnyOf([self._of(part) for part in tree.parts])
            case Not():
                return terms.NoneOf(self._of(tree.part))
            case Words():
                self.has_descriptions = True
                test = values.containing(tree.word.text)
                names_and_tags = [terms.TextPasses(column, test) for column in ("names", "tags")]
                return terms.AnyOf([*names_and_tags, terms.DescriptionPasses(test)])
            case Comparison():
                return self._comparison(tree)

    def _comparison(self, asked: Comparison) -> Term:
        key = asked.key.text
        if key in FIELDS and not asked.key.is_quoted:
            return self._field(asked, key)
        key = key.removeprefix(METADATA_PREFIX) if not asked.key.is_quoted else key
        self.keys.setdefault(key, asked.key)
        return self._metadata(asked, key)

    def _field(self, asked: Comparison, field: str) -> Term:
        if asked.operator not in FIELDS[field]:
            allowed = ", ".join(FIELDS[field])
            self._refuse(f"{field} cannot be compared with {asked.operator!r}; write one of {allowed}", asked.key)
        if asked.operator == "!=":
            # There is something, but not this.
            equal = self._field(Comparison(asked.key, "=", asked.value), field)
            present = self._field(Comparison(asked.key, "=", Word("*", asked.value.place)), field)
            return terms.AllOf([present, terms.NoneOf(equal)])
        is_any = asked.value.text == "*" and not asked.value.is_quoted and asked.operator != "~"
        if is_any and field in (*_COLUMNS, "alias", "description"):
            return self._present(field)
        match field:
            case "name" | "type" | "tag" | "run":
                return self._text(_COLUMNS[field], asked)
            case "description":
                self.has_descriptions = True
                return terms.DescriptionPasses(self._test(asked))
            case "status":
                return self._status(asked.value)
            case "version" | "files":
                return self._count(_COUNTS[field], asked)
            case "size":
                return self._size(asked)
            case "created":
                return self._created(asked)
            case "age":
                return self._age(asked)
            case "digest":
                return self._digest(asked.value)
            case "used-by":
                return terms.AtPositions(set(self._used_by(asked.value.text)))
            case _:
                return terms.AtPositions(set(self._with_alias(asked)))

    def _present(self, field: str) -> Term:
        match field:
            case "description":
                self.has_descriptions = True
                return terms.DescriptionPasses(lambda _: True)
            case "alias":
                return terms.AtPositions(set(self._positions(self._aliases())))
            case _:
                return terms.TextPasses(_COLUMNS[field], lambda _: True)

    def _text(self, column: str, asked: Comparison) -> Term:
        if asked.operator != "~" and (asked.value.is_quoted or "*" not in asked.value.text):
            return terms.TextIs(column, asked.value.text)
        return terms.TextPasses(column, self._test(asked))

    def _test(self, asked: Comparison) -> "values.Test":
        if asked.operator == "~":
            return values.containing(asked.value.text)
        return values.matching(asked.value.text, has_wildcards=not asked.value.is_quoted)

    def _status(self, value: Word) -> Term:
        self.has_status = True
        if value.text == "*":
            return terms.Everything()
        wanted = _STATUSES.get(value.text)
        if wanted is None:
            self._refuse(f"there is no status {value.text!r}{_near(value.text, _STATUSES)}", value)
        return terms.AnyOf([terms.TextIs("statuses", status) for status in wanted])

    def _count(self, column: str, asked: Comparison) -> Term:
        text = asked.value.text
        if text == "*":
            return terms.Everything()
        digits = text[1:] if column == "versions" and text[:1] in {"v", "V"} else text
        number = values.number(digits)
        if number is None:
            self._refuse(f"{text!r} is not a number", asked.value)
        return terms.NumberIn(column, *_range(asked.operator, number, number))

    def _size(self, asked: Comparison) -> Term:
        if asked.value.text == "*":
            return terms.Everything()
        size = values.size_bytes(asked.value.text)
        if size is None:
            self._refuse(f"{asked.value.text!r} is not a size; write one such as 100MB", asked.value)
        return terms.NumberIn("sizes_bytes", *_range(asked.operator, size, size))

    def _created(self, asked: Comparison) -> Term:
        if asked.value.text == "*":
            return terms.Everything()
        moment = values.moment(asked.value.text)
        if moment is None:
            self._refuse(f"{asked.value.text!r} is not a time; write 2026-01-31, or 2026-01-31T12:30", asked.value)
        begin, end = moment
        return terms.NumberIn("created_ns", *_range(asked.operator, begin, end - 1))

    def _age(self, asked: Comparison) -> Term:
        try:
            seconds = rules.parse_span(asked.value.text)
        except Rejected as error:
            self._refuse(str(error), asked.value)
        since = self._now_ns - seconds * 1_000_000_000
        turned = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}[asked.operator]
        return terms.NumberIn("created_ns", *_range(turned, since, since))

    def _digest(self, value: Word) -> Term:
        if value.text == "*":
            return terms.Everything()
        digits = _DIGEST.fullmatch(value.text)
        if digits is None:
            self._refuse(f"{value.text!r} is not the beginning of a digest: 'blake3:' and hexadecimal digits", value)
        return terms.DigestBegins(digits[1])

    def _used_by(self, run: str) -> Iterator[int]:
        scanned = INPUTS.scan(self._view.rows) if run == "*" else INPUTS.scan(self._view.rows, run)
        return self._positions((edge.name, edge.version) for edge in scanned)

    def _with_alias(self, asked: Comparison) -> Iterator[int]:
        test = self._test(asked)
        return self._positions((name, version) for name, version, alias in self._all_aliases() if test(alias))

    def _aliases(self) -> Iterator[tuple[str, int]]:
        return ((name, version) for name, version, _ in self._all_aliases())

    def _all_aliases(self) -> Iterator[tuple[str, int, str]]:
        for artifact in ARTIFACTS.scan(self._view.rows):
            if artifact.latest:
                yield artifact.name, artifact.latest, names.LATEST
            for row in ALIASES.scan(self._view.rows, artifact.name):
                yield artifact.name, row.version, row.alias

    def _positions(self, versions: Iterator[tuple[str, int]]) -> Iterator[int]:
        return (VERSIONS.expect(self._view.rows, *version).position for version in set(versions))

    def _metadata(self, asked: Comparison, key: str) -> Term:
        value, text = asked.value, asked.value.text
        if asked.operator == "!=":
            equal = self._metadata(Comparison(asked.key, "=", value), key)
            return terms.AllOf([terms.HasValue(key), terms.NoneOf(equal)])
        if asked.operator == "~":
            return terms.ValueTextPasses(key, values.containing(text))
        number = None if value.is_quoted else values.number(text)
        is_constant = not value.is_quoted and text in _CONSTANTS
        if asked.operator in (":", "="):
            if number is not None:
                return terms.ValueIs(key, number)
            if is_constant:
                return terms.ValueIs(key, _CONSTANTS[text])
            if value.is_quoted or "*" not in text:
                return terms.ValueIs(key, text)
            return terms.HasValue(key) if text == "*" else terms.ValueTextPasses(key, values.matching(text))
        if is_constant:
            self._refuse(f"{text} is neither more nor less than anything; compare it with = or !=", value)
        if number is not None:
            return terms.NumberPasses(key, asked.operator, number)
        compare = terms.COMPARE[asked.operator]
        return terms.ValueTextPasses(key, lambda found: compare(found, text))

    def _refuse(self, why: str, word: Word) -> NoReturn:
        raise BadQuery(why, self._query, word.place)


def near_field(key: str) -> str | None:
    """Return the field that somebody may have meant by a word that is none."""
    return next(iter(difflib.get_close_matches(key.lower(), FIELDS, n=1, cutoff=0.7)), None)


def _near(text: str, known: Mapping[str, object]) -> str:
    found = difflib.get_close_matches(text, known, n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else f"; there is {', '.join(known)}"


def _range(operator: str, first: float, last: float) -> tuple[float, float]:
    """Return from where on and below where a number lies that compares so with all from first to last."""
    match operator:
        case "<":
            return -math.inf, first
        case "<=":
            return -math.inf, _above(last)
        case ">":
            return _above(last), math.inf
        case ">=":
            return first, math.inf
        case _:
            return first, _above(last)


def _above(number: float) -> float:
    """Return what is just above: all that is compared here is a whole number."""
    return math.floor(number) + 1
