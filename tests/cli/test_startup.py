"""What a command imports: as little as it needs, for a prompt that answers at once."""

import subprocess
import sys

import pytest
import typer

from given import version
import runicorn_es as rn
from runicorn_es.cli import app
from runicorn_es.cli.program import VERBS

MODULES = """
import sys
from runicorn_es.cli import main
sys.stdout = open("/dev/null", "w")
code = main(sys.argv[1:])
sys.stderr.write(" ".join(sys.modules))
sys.exit(code)
"""
NEVER_FOR_A_LIST = {"cryptography", "rich", "asyncio", "zstandard", "logging", "concurrent", "email", "http"}
NEVER_FOR_HELP = {"lmdb", "blake3", "msgspec", "hashlib", "socket", "ctypes", "runicorn_es.store"}


VERB_MODULES = {f"runicorn_es.cli.{outline.place.partition(':')[0]}" for outline in VERBS.values()}


def modules_after(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", MODULES, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["add", "--help"], ["artifacts", "--help"], ["--version"]])
def test_help_imports_no_store(arguments):
    assert modules_after(*arguments).isdisjoint(NEVER_FOR_HELP | NEVER_FOR_A_LIST)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"]])
def test_a_line_without_a_verb_imports_none(arguments):
    assert modules_after(*arguments).isdisjoint(VERB_MODULES)


def test_a_verb_imports_no_other(store, root):
    version(store)
    assert modules_after("list") & VERB_MODULES == {"runicorn_es.cli.artifacts"}


@pytest.mark.parametrize("verb", VERBS)
def test_the_list_of_verbs_says_the_first_sentence_of_what_each_says_of_itself(verb):
    command = typer.main.get_command(app).commands[verb]
    assert command.name == verb
    assert VERBS[verb].summary == command.get_short_help_str(limit=1000)


@pytest.mark.parametrize("arguments", [["list"], ["artifacts"], ["versions", "m"], ["show", "m"], ["list", "--json"]])
def test_a_listing_imports_the_store_and_nothing_that_it_does_not_need(store, root, arguments):
    version(store)
    found = modules_after(*arguments)
    assert "runicorn_es.store" in found
    assert found.isdisjoint(NEVER_FOR_A_LIST | {"runicorn_es.run", "runicorn_es.cli.checkup", "runicorn_es.telling"})


def test_the_package_is_imported_name_by_name():
    script = "import runicorn_es as rn, sys; rn.Rejected; sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    found = {name for name in done.stderr.split() if name.startswith("runicorn_es")}
    assert found == {"runicorn_es", "runicorn_es.errors"}


def test_every_public_name_can_be_had_and_is_listed():
    for name in rn.__all__:
        assert getattr(rn, name).__module__.startswith("runicorn_es"), name
    assert set(rn.__all__) <= set(dir(rn))
    assert {name for names in rn._ROOMS.values() for name in names} == set(rn.__all__)


def test_a_name_that_the_package_has_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        rn.nothing  # noqa: B018
