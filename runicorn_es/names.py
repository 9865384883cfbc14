"""The values that identify things, and how each is spelled. Parsed once, at the edge."""

import re
import unicodedata

import msgspec

from runicorn_es import settings
from runicorn_es.errors import Rejected

TYPES = ("model", "dataset", "config", "code", "custom")
LATEST = "latest"
DIGEST_BYTES = 32

_INVALID_IN_NAME = re.compile(r'[/\\:*?<>|"\x00-\x1f\x7f-\x9f]')
_PLAIN_PATH = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9_.-]{0,250}/)*[A-Za-z0-9_-][A-Za-z0-9_.-]{0,250}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TYPE = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_VERSION = re.compile(r"[vV]([0-9]{1,18})")
_DIGEST_PREFIX = re.compile(r"(?:blake3:)?([0-9a-f]{4,64})")
_MOMENT = re.compile(r"(.*)@\{([^{}]*)\}", re.DOTALL)
_RUN_ID = re.compile(r"[0-9]{8}_[0-9]{6}_[0-9a-f]{6,16}")


class Digest(msgspec.Struct, frozen=True, order=True):
    """A BLAKE3-256 digest; spelled ``blake3:`` and 64 hexadecimal digits."""

    raw: bytes

    @property
    def hex(self) -> str:
        """Return the 64 hexadecimal digits."""
        return self.raw.hex()

    def __str__(self) -> str:
        return f"blake3:{self.raw.hex()}"


class Reference(msgspec.Struct, frozen=True):
    """Which version is meant: by number, by alias, by the beginning of its digest, or (none of them) the latest.

    ``text`` is what the user wrote.
    """

    name: str
    text: str
    version: int | None = None
    alias: str | None = None
    digest_prefix: str | None = None


def split_moment(text: str) -> tuple[str, str | None]:
    """Return a reference without the moment at its end, and the moment: ``m:production@{yesterday}`` has one.

    For where versions are read. Where something is changed, ``parse_reference`` refuses a moment.
    """
    match = _MOMENT.fullmatch(text)
    return (match[1], match[2]) if match else (text, None)


def parse_reference(text: str) -> Reference:
    """Parse ``name``, ``name:v3``, ``name:alias``, ``name:latest`` or ``name@digest-prefix``.

    Raises Rejected for anything else. Example: ``parse_reference("m:v3").version == 3``.
    """
    if _MOMENT.fullmatch(text):
        raise Rejected(f"{text!r} means a version of the past, which can be read but not changed; name it as it is now")
    name, colon, selector = text.partition(":")
    if "@" in text:
        before, _, prefix = text.rpartition("@")
        if (match := _DIGEST_PREFIX.fullmatch(prefix)) and ":" not in before:
            return Reference(parse_name(before), text, digest_prefix=match[1])
    name = parse_name(name)
    if not colon or selector == LATEST:
        return Reference(name, text)
    if match := _VERSION.fullmatch(selector):
        return Reference(name, text, version=int(match[1]))
    if not _ALIAS.fullmatch(selector):
        raise Rejected(
            f"{text!r} names no version; write name, name:v3, name:alias or name@digest with at least 4 hex digits"
        )
    return Reference(name, text, alias=selector)


def parse_name(text: str) -> str:
    """Return an artifact's name in NFC. Raises Rejected when it could not be a folder's name everywhere."""
    name = unicodedata.normalize("NFC", text)
    if not name.strip():
        raise Rejected("the artifact's name is empty; give it one, such as 'resnet50-imagenet'")
    if invalid := _INVALID_IN_NAME.search(name):
        raise Rejected(
            f"artifact name {text!r} contains invalid characters ({invalid[0]!r}); "
            'it may not contain / \\ : * ? < > | " or control characters'
        )
    if "@{" in name:
        raise Rejected(f"artifact name {text!r} may not contain '@{{', behind which a moment of the past is written")
    if len(name) > settings.NAME_CHARACTERS_MAX:
        raise Rejected(
            f"artifact name {name[:20]!r}… is {len(name)} characters long; "
            f"at most {settings.NAME_CHARACTERS_MAX} are allowed"
        )
    if name in {".", ".."} or name != name.strip():
        raise Rejected(f"artifact name {text!r} may not be '.' or '..', nor begin or end with a space")
    _require_encodable(name, "artifact name")
    return name


def parse_type(text: str) -> str:
    """Return an artifact's type: model, dataset, config, code, custom, or any other lower-case word."""
    if not _TYPE.fullmatch(text):
        raise Rejected(
            f"artifact type {text!r} is not a lower-case word; use one of {', '.join(TYPES)}, or a word of your own"
        )
    return text


def parse_alias(text: str) -> str:
    """Return an alias that may be set. ``latest`` and ``v3`` are refused: they always mean what they say."""
    if text == LATEST:
        raise Rejected("the alias 'latest' is computed: it always means the newest version that is not deleted")
    if text[:1] in {"v", "V"} and text[1:].isdecimal():
        raise Rejected(f"the alias {text!r} reads like a version number; choose a word, such as 'production'")
    if not _ALIAS.fullmatch(text):
        raise Rejected(
            f"alias {text!r} contains invalid characters; use letters, digits, '.', '_', '+' and '-', at most 128"
        )
    return text


def parse_tag(text: str) -> str:
    """Return a tag: any text of 1 to 128 characters without control characters."""
    tag = unicodedata.normalize("NFC", text)
    if not tag.strip() or _CONTROL.search(tag) or len(tag) > settings.NAME_CHARACTERS_MAX:
        raise Rejected(
            f"tag {text!r} must have 1 to {settings.NAME_CHARACTERS_MAX} characters and no control characters"
        )
    _require_encodable(tag, "tag")
    return tag


def parse_project(text: str, what: str = "project") -> str:
    """Return the name of a project or a run: like an artifact's name, but ``/`` may group projects."""
    name = unicodedata.normalize("NFC", text)
    if not name.strip() or _CONTROL.search(name) or len(name) > settings.NAME_CHARACTERS_MAX:
        raise Rejected(
            f"{what} name {text!r} must have 1 to {settings.NAME_CHARACTERS_MAX} characters and no control characters"
        )
    _require_encodable(name, f"{what} name")
    return name


def parse_run_id(text: str) -> str:
    """Return the id of a run, such as ``20250901_103015_abc123``. Raises Rejected for another shape."""
    if not _RUN_ID.fullmatch(text):
        raise Rejected(f"{text!r} is not a run id; one looks like 20250901_103015_abc123")
    return text


def parse_path(text: str) -> str:
    """Return a file's path inside an artifact: NFC, parts joined by ``/``, relative, nothing that could lead out.

    Raises Rejected naming the part. This is checked before an event is made, so no event ever holds another path.
    """
    # Most paths are plain, and there can be millions of them.
    if len(text) <= settings.PATH_BYTES_MAX and _PLAIN_PATH.fullmatch(text):
        return text
    path = unicodedata.normalize("NFC", text)
    if "\\" in path or _CONTROL.search(path):
        raise Rejected(f"path {text!r} contains a backslash or a control character; rename the file, or pass name=")
    _require_encodable(path, "path")
    parts = path.split("/")
    for part in parts:
        if part in {"", ".", ".."}:
            raise Rejected(
                f"path {text!r} must be relative, without empty parts, '.' or '..', such as 'weights/model.pth'"
            )
        if len(part.encode()) > settings.PATH_PART_BYTES_MAX:
            raise Rejected(f"path part {part[:40]!r}… is longer than {settings.PATH_PART_BYTES_MAX} bytes")
    if len(path.encode()) > settings.PATH_BYTES_MAX:
        raise Rejected(f"path {path[:40]!r}… is longer than {settings.PATH_BYTES_MAX} bytes")
    return path


def spec(name: str, version: int) -> str:
    """Return how one version is spelled: ``name:v3``."""
    return f"{name}:v{version}"


def _require_encodable(text: str, what: str) -> None:
    # A file name that is not UTF-8 reaches Python with lone surrogates, which no event could hold.
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Rejected(f"{what} {text!r} is not valid Unicode (UTF-8); rename it") from None
