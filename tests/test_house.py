"""The rules of the house that no type checker knows."""

import ast
from pathlib import Path

from importlinter.cli import lint_imports
import pytest

import runicorn_es

PACKAGE = Path(runicorn_es.__file__).parent
ROOT = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))
NAMELESS = {"utils", "util", "helpers", "helper", "common", "base", "manager", "core", "misc", "shared"}
# What makes files and locks durable, by how it is called.
DURABLE = {
    "os.fsync", "os.fdatasync", "os.sync", "os.rename", "os.replace", "os.ftruncate", "os.truncate",
    "fcntl.flock", "fcntl.lockf", "shutil.move",
}  # fmt: skip
# A torn tail is cut where its place is known; a download is put in place relative to a folder that is held open.
ALLOWED = {("log/__init__.py", "os.ftruncate"), ("pool/materialize.py", "os.rename")}
PURE = ["errors", "settings", "names", "events", "commands", "codec", "decisions", "merkle"]


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def calls_in(tree: ast.AST) -> list[tuple[ast.Call, str]]:
    return [(node, ast.unparse(node.func)) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_a_room_imports_only_what_it_may(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    if not (ROOT / "pyproject.toml").exists():
        pytest.fail("the contracts stand in pyproject.toml, beside the package")

    broken = lint_imports(no_cache=True)

    assert broken == 0, capsys.readouterr().out


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_in_one_sentence_what_it_is_for(path):
    docstring = ast.get_docstring(tree_of(path))

    assert docstring
    assert len(docstring.splitlines()[0]) > 10


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_named_for_what_it_does(path):
    assert not NAMELESS & {path.stem, *path.relative_to(PACKAGE).parts}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_durable_room_syncs_renames_and_locks(path):
    if name_of(path) == "durable.py":
        return
    found = {(name_of(path), name) for _, name in calls_in(tree_of(path))}

    assert {(module, name) for module, name in found if name in DURABLE} <= ALLOWED


def test_what_is_put_in_place_by_a_download_is_put_relative_to_an_open_folder():
    renames = [call for call, name in calls_in(tree_of(PACKAGE / "pool" / "materialize.py")) if name == "os.rename"]

    assert renames
    for call in renames:
        assert {keyword.arg for keyword in call.keywords} == {"src_dir_fd", "dst_dir_fd"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_path_is_renamed_or_written_behind_the_back_of_the_durable_room(path):
    """``Path.rename`` and its kind, on whatever object they are called."""
    methods = {"rename", "replace", "write_bytes", "write_text", "touch"}
    if name_of(path) == "durable.py":
        return

    found = [
        ast.unparse(call)
        for call, name in calls_in(tree_of(path))
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in methods
        and name not in {"durable.rename", "os.rename", "structs.replace"}
    ]

    # A text and a datetime are replaced as well, and take two or named arguments.
    assert [call for call in found if not (".replace(" in call and ("," in call or "=" in call))] == []


@pytest.mark.parametrize("name", PURE)
def test_what_is_pure_asks_neither_clock_nor_chance_nor_disk(name):
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree_of(PACKAGE / f"{name}.py"))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in ([ast.alias(node.module or "")] if isinstance(node, ast.ImportFrom) else node.names)
    }

    assert not imported & {"os", "time", "datetime", "random", "secrets", "uuid", "pathlib", "io", "tempfile", "shutil"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_public_function_class_and_method_says_what_it_does(path):
    missing = [f"{name_of(path)}: {node.name}" for node in public(tree_of(path)) if not ast.get_docstring(node)]

    assert missing == []


def public(tree: ast.Module | ast.ClassDef) -> list[ast.FunctionDef | ast.ClassDef]:
    found: list[ast.FunctionDef | ast.ClassDef] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            found.append(node)
            if isinstance(node, ast.ClassDef):
                found += public(node)
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_is_left_to_be_done_later(path):
    words = {"TODO", "FIXME", "XXX", "HACK"}

    assert not words & set(path.read_text().replace(":", " ").split())
