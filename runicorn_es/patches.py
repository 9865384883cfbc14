"""What is different within files: text line by line, as ``diff -u`` writes it, and safetensors tensor by tensor.

What is written for text can be applied with ``patch -p1`` or ``git apply``.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import BinaryIO

import msgspec

from runicorn_es import settings
from runicorn_es.pool import Pool
from runicorn_es.queries import Diff, File, FileChange

_CONTEXT_LINES = 3
# How many pairs of equal lines are looked at; beyond it, lines are so alike that looking takes minutes.
_LIKE_LINES_MAX = 1_000_000
_TENSORS = ".safetensors"
_LENGTH_BYTES = 8
_HEADER_BYTES_MAX = 100_000_000  # as the library of the format has it
_STEP_BYTES = 1 << 20

Opcode = tuple[str, int, int, int, int]


class _Tensor(msgspec.Struct, frozen=True):
    """A tensor in the header of a safetensors file: its type, its shape, and where its bytes lie behind the header."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]

    def __str__(self) -> str:
        """Return ``F32 [3, 4]``."""
        return f"{self.dtype} {list(self.shape)}"


class _Tensors(msgspec.Struct, frozen=True):
    """The header of a safetensors file: tensors by name, texts by key, and how many bytes come before the data."""

    tensors: dict[str, _Tensor]
    texts: dict[str, str]
    data_offset: int


def patches(pool: Pool, diff: Diff) -> Iterator[str]:
    """Yield what is different within the files of a diff, line by line, one file after the other."""
    for change in diff.files:
        yield from _patch(pool, change)


def _patch(pool: Pool, change: FileChange) -> Iterator[str]:
    old, new = change.old, change.new
    before, after = f"a/{change.path if old is None else old.path}", f"b/{change.path}"
    yield f"diff --git {before} {after}"
    yield from _modes(change)
    if old is not None and new is not None and old.digest == new.digest:
        return
    if old is not None and new is not None and change.path.endswith(_TENSORS):
        found = _tensor_lines(pool, old, new)
        if found is not None:
            yield from (f"--- {before}", f"+++ {after}", *found)
            return
    texts = [_lines(pool, file) for file in (old, new)]
    if None in texts:
        sizes = [f"{file.size} bytes" if file is not None else "nothing" for file in (old, new)]
        yield f"Binary files {before} and {after} differ ({sizes[0]}, {sizes[1]})"
        return
    one, other = (text or [] for text in texts)
    hunks = list(_hunks(one, other))
    if hunks:
        yield f"--- {_named(before if old is not None else '/dev/null')}"
        yield f"+++ {_named(after if new is not None else '/dev/null')}"
        yield from hunks


def _modes(change: FileChange) -> Iterator[str]:
    if change.old is None:
        assert change.new is not None
        yield f"new file mode {_mode(change.new)}"
    elif change.new is None:
        yield f"deleted file mode {_mode(change.old)}"
    else:
        if change.has_other_mode:
            yield f"old mode {_mode(change.old)}"
            yield f"new mode {_mode(change.new)}"
        if change.kind in {"renamed", "copied"}:
            verb = "rename" if change.kind == "renamed" else "copy"
            yield "similarity index 100%"
            yield f"{verb} from {change.old.path}"
            yield f"{verb} to {change.new.path}"


def _mode(file: File) -> str:
    return "100755" if file.executable else "100644"


def _named(path: str) -> str:
    # Behind a name with a blank, patch looks for a tab.
    return f"{path}\t" if " " in path else path


def _open(pool: Pool, file: File) -> BinaryIO:
    return pool.open(bytes.fromhex(file.digest.removeprefix("blake3:")), file.size)


def _lines(pool: Pool, file: File | None) -> list[str] | None:
    """Return the lines of a text file with their ends, none for no file; None for what is no text or is too long."""
    if file is None:
        return []
    if file.size > settings.PATCH_FILE_BYTES_MAX:
        return None
    with _open(pool, file) as opened:
        content = opened.read()
    if b"\0" in content:
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    lines = text.split("\n")
    last = lines.pop()
    return [f"{line}\n" for line in lines] + ([last] if last else [])


def _hunks(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """Yield the hunks of a unified diff."""
    head = _alike(old, new)
    tail = _alike(old[head:][::-1], new[head:][::-1])
    begin, after = max(0, head - _CONTEXT_LINES), max(0, tail - _CONTEXT_LINES)
    one, other = old[begin : len(old) - after], new[begin : len(new) - after]
    for group in _groups(one, other, head - begin, tail - after):
        yield _hunk_head(group, begin)
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from _marked(" ", one[i1:i2])
                continue
            yield from _marked("-", one[i1:i2])
            yield from _marked("+", other[j1:j2])


def _groups(old: Sequence[str], new: Sequence[str], head: int, tail: int) -> Iterable[Sequence[Opcode]]:
    """Return what to do for each hunk; head, tail: how many lines at both ends are equal."""
    if list(old) == list(new):
        return ()
    counts = Counter(old)
    if sum(counts[line] for line in new) <= _LIKE_LINES_MAX:
        return SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(_CONTEXT_LINES)
    ends = len(old) - tail, len(new) - tail
    whole = [
        ("equal", 0, head, 0, head),
        ("replace", head, ends[0], head, ends[1]),
        ("equal", ends[0], len(old), ends[1], len(new)),
    ]
    return ([one for one in whole if one[2] > one[1] or one[4] > one[3]],)


def _hunk_head(group: Sequence[Opcode], begin: int) -> str:
    first, last = group[0], group[-1]
    return f"@@ -{_range(begin + first[1], last[2] - first[1])} +{_range(begin + first[3], last[4] - first[3])} @@"


def _range(begin: int, count: int) -> str:
    # Of no lines, the one before is named; lines are counted from 1.
    return f"{begin + 1}" if count == 1 else f"{begin + (count > 0)},{count}"


def _marked(mark: str, lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield f"{mark}{line.removesuffix(chr(10))}"
        if not line.endswith("\n"):
            yield "\\ No newline at end of file"


def _alike(old: Sequence[str], new: Sequence[str]) -> int:
    """Return how many lines at the beginning are equal."""
    count = 0
    for one, other in zip(old, new, strict=False):
        if one != other:
            break
        count += 1
    return count


def _tensor_lines(pool: Pool, old: File, new: File) -> list[str] | None:
    """Return a line for each tensor that differs, or None where one of both is no safetensors file."""
    with _open(pool, old) as one, _open(pool, new) as other:
        before, after = _header(one, old.size), _header(other, new.size)
        if before is None or after is None:
            return None
        lines: list[str] = []
        equal = 0
        for name in sorted(before.tensors.keys() | after.tensors.keys()):
            was, is_now = before.tensors.get(name), after.tensors.get(name)
            if was is None:
                lines.append(f"+tensor {name}: {is_now}")
            elif is_now is None:
                lines.append(f"-tensor {name}: {was}")
            elif (was.dtype, was.shape) != (is_now.dtype, is_now.shape):
                lines += [f"-tensor {name}: {was}", f"+tensor {name}: {is_now}"]
            elif _have_same_bytes((one, _range_of(before, was)), (other, _range_of(after, is_now))):
                equal += 1
            else:
                lines.append(f"!tensor {name}: {was}, other values")
        for key in sorted(before.texts.keys() | after.texts.keys()):
            if before.texts.get(key) != after.texts.get(key):
                lines += [f"-text {key}: {before.texts[key]}"] if key in before.texts else []
                lines += [f"+text {key}: {after.texts[key]}"] if key in after.texts else []
        return [*lines, f" {equal} tensors are equal"]


def _header(file: BinaryIO, size_bytes: int) -> _Tensors | None:
    """Return the header of a safetensors file (https://huggingface.co/docs/safetensors), or None for any other file."""
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    if length > min(_HEADER_BYTES_MAX, size_bytes - _LENGTH_BYTES):
        return None
    try:
        raw = msgspec.json.decode(file.read(length), type=dict[str, msgspec.Raw])
        texts = msgspec.json.decode(raw.pop("__metadata__", msgspec.Raw(b"{}")), type=dict[str, str])
        tensors = {name: msgspec.json.decode(tensor, type=_Tensor) for name, tensor in raw.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    offset = _LENGTH_BYTES + length
    if any(not 0 <= t.data_offsets[0] <= t.data_offsets[1] <= size_bytes - offset for t in tensors.values()):
        return None
    return _Tensors(tensors, texts, offset)


def _range_of(header: _Tensors, tensor: _Tensor) -> range:
    begin, end = tensor.data_offsets
    return range(header.data_offset + begin, header.data_offset + end)


def _have_same_bytes(old: tuple[BinaryIO, range], new: tuple[BinaryIO, range]) -> bool:
    """Return whether two files have the same bytes there, each in its range."""
    left = len(old[1])
    if left != len(new[1]):
        return False
    for file, where in (old, new):
        file.seek(where.start)
    while left > 0:
        some = old[0].read(min(left, _STEP_BYTES))
        if not some or some != new[0].read(len(some)):
            return False
        left -= len(some)
    return True
