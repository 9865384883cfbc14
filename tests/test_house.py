"""The rules of the house that no type checker knows."""

import ast
from pathlib import Path

from importlinter.cli import lint_imports
import pytest

import runicorn_es

PACKAGE = Path(runicorn_es.__file__).parent
ROOT = Path(__file__).parents[1]
TREES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
NAMELESS = {"utils", "util", "helpers", "helper", "common", "base", "manager", "core", "misc"}
DURABLE = {
    "os.fsync",
    "os.fdatasync",
    "os.sync",
    "os.rename",
    "os.replace",
    "fcntl.flock",
    "fcntl.lockf",
    "shutil.move",
}
PURE = ["errors", "settings", "names", "events", "commands", "codec", "decisions", "merkle"]
IMPURE = {"os", "time", "datetime", "random", "secrets", "uuid", "pathlib", "io", "tempfile", "shutil"}


def calls(module: str) -> list[tuple[ast.Call, str]]:
    return [(node, ast.unparse(node.func)) for node in ast.walk(TREES[module]) if isinstance(node, ast.Call)]


def public(tree: ast.Module | ast.ClassDef) -> list[ast.FunctionDef | ast.ClassDef]:
    found: list[ast.FunctionDef | ast.ClassDef] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            found.append(node)
            if isinstance(node, ast.ClassDef):
                found += public(node)
    return found


def test_a_room_imports_only_what_it_may(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)

    is_broken = lint_imports(no_cache=True)

    assert not is_broken, capsys.readouterr().out


def test_a_module_says_in_one_sentence_what_it_is_for():
    assert [module for module, tree in TREES.items() if len((ast.get_docstring(tree) or "").split("\n")[0]) < 10] == []


def test_a_module_is_named_for_what_it_does():
    assert [module for module in TREES if NAMELESS & set(Path(module).with_suffix("").parts)] == []


def test_only_the_durable_room_syncs_renames_and_locks():
    found = [(module, ast.unparse(call)) for module in TREES for call, name in calls(module) if name in DURABLE]

    # A download is put in place relative to a folder that is held open, which a path could not say.
    assert [
        (module, call)
        for module, call in found
        if module != "durable.py" and not (module == "pool/materialize.py" and "src_dir_fd=" in call)
    ] == []


def test_no_file_is_written_or_renamed_behind_the_back_of_the_durable_room():
    """``Path.rename`` and its kind, on whatever object they are called. A text is replaced by two arguments."""
    methods = {"write_bytes": 1, "write_text": 1, "touch": 0, "replace": 1}

    assert [
        (module, ast.unparse(call))
        for module in TREES
        for call, name in calls(module)
        if isinstance(call.func, ast.Attribute)
        and module != "durable.py"
        and (
            (call.func.attr == "rename" and name not in {"durable.rename", "os.rename"})
            or (methods.get(call.func.attr) == len(call.args) and not call.keywords)
        )
    ] == []


@pytest.mark.parametrize("room", PURE)
def test_what_is_pure_asks_neither_clock_nor_chance_nor_disk(room):
    imported = {
        name.split(".")[0]
        for node in ast.walk(TREES[f"{room}.py"])
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }

    assert imported & IMPURE == set()


def test_all_that_is_public_says_what_it_does():
    assert [
        f"{module}: {node.name}"
        for module, tree in TREES.items()
        for node in public(tree)
        if not ast.get_docstring(node)
    ] == []


def test_nothing_is_left_to_be_done_later():
    words = ("TODO", "FIXME", "XXX", "HACK")

    assert [module for module in TREES if any(word in (PACKAGE / module).read_text() for word in words)] == []
