"""Which of the files that are gone from a version are those that came, under another path. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

import msgspec

from runicorn_es.events import FileAdded


class FolderRename(msgspec.Struct, frozen=True):
    """So many files were renamed from below one folder to the same places below another. ``""`` is the top."""

    old: str
    new: str
    file_count: int


class Pairs(msgspec.Struct, frozen=True):
    """What is known of the files that came, by their paths: which file that is gone was renamed to it, or copied."""

    renamed: dict[str, FileAdded]
    copied: dict[str, FileAdded]


def paired(removed: Iterable[FileAdded], added: Iterable[FileAdded]) -> Pairs:
    """Return which of the added files are removed ones under another path: those with the same bytes.

    Of several with the same bytes those pair first that keep folder and name, then those that keep their name, then all
    others; each time in order of their paths. What is left of the added ones are copies of the first removed one.
    Both must be in order of their paths.
    """
    gone: defaultdict[bytes, list[FileAdded]] = defaultdict(list)
    for file in removed:
        gone[file.digest].append(file)
    came: defaultdict[bytes, list[FileAdded]] = defaultdict(list)
    for file in added:
        if file.digest in gone:
            came[file.digest].append(file)
    pairs = Pairs({}, {})
    for digest, waiting in came.items():
        sources, targets = gone[digest], waiting
        first = sources[0]
        for likeness in (_folder_and_name, _name, _nothing):
            sources, targets = _pair(sources, targets, likeness, pairs.renamed)
        for target in targets:
            pairs.copied[target.path] = first
    return pairs


def folder_renames(renamed: Iterable[tuple[str, str]]) -> list[FolderRename]:
    """Return which folders were renamed, given old and new paths of files: those with most files first."""
    found: Counter[tuple[str, str]] = Counter()
    for old, new in renamed:
        before, after = old.split("/"), new.split("/")
        if before[-1] != after[-1]:
            continue
        del before[-1], after[-1]
        # The highest folders that are named differently, or stand in another one.
        while len(before) > 1 and len(after) > 1 and before[-1] == after[-1]:
            del before[-1], after[-1]
        found["/".join(before), "/".join(after)] += 1
    many = [FolderRename(old, new, count) for (old, new), count in found.items() if count > 1]
    return sorted(many, key=lambda one: (-one.file_count, one.old, one.new))


def _pair(
    sources: Sequence[FileAdded],
    targets: Sequence[FileAdded],
    likeness: Callable[[str], str],
    renamed: dict[str, FileAdded],
) -> tuple[list[FileAdded], list[FileAdded]]:
    """Pair files whose paths are alike, and return what is left of both sides."""
    waiting: defaultdict[str, list[FileAdded]] = defaultdict(list)
    for source in reversed(sources):
        waiting[likeness(source.path)].append(source)
    left: list[FileAdded] = []
    for target in targets:
        alike = waiting.get(likeness(target.path))
        if alike:
            renamed[target.path] = alike.pop()
        else:
            left.append(target)
    unpaired = {source.path for alike in waiting.values() for source in alike}
    return [source for source in sources if source.path in unpaired], left


def _folder_and_name(path: str) -> str:
    return "/".join(path.split("/")[-2:])


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _nothing(_: str) -> str:
    return ""
