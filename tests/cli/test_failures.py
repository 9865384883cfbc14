"""What goes wrong: the words, the exit code, and nothing on stdout."""

import json
from pathlib import Path

import pytest

from given import file, version
import runicorn_es as rn
from runicorn_es import durable, lookout
from runicorn_es.store import Store


def test_a_misspelt_name_exits_with_2_and_names_what_exists_nearby(cli, store):
    version(store, name="resnet50-model")
    assert cli("show", "resnet50-modle") == (
        2,
        "",
        "error: no artifact named 'resnet50-modle'; did you mean 'resnet50-model'?\n",
    )


def test_a_misspelt_alias_exits_with_2_and_names_what_exists_nearby(cli, store):
    version(store, aliases=["production"])
    done = cli("get", "m:prodution")
    assert done.code == 2
    assert "did you mean 'production'?" in done.err


@pytest.mark.parametrize("spec", ["a/b", "m:", "m:v1:v2", ""])
def test_a_spec_that_is_none_exits_with_2(cli, store, spec):
    done = cli("show", spec)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lst", "error: No such command 'lst'. Did you mean 'list'?"),
        ("list --tpye model", "error: No such option"),
        ("show", "error: Missing argument 'SPEC'."),
        ("lineage m --depth x", "error: Invalid value for '--depth'"),
        ("add m x --mode teleport", "error: Invalid value for '--mode'"),
    ],
)
def test_a_line_that_is_not_understood_exits_with_2_and_points_to_the_help(cli, line, message):
    done = cli(*line.split())
    assert (done.code, done.out) == (2, "")
    first, hint = done.err.splitlines()
    assert first.startswith(message)
    assert "--help says how it is used" in hint


def test_a_system_that_refuses_exits_with_1(cli, store, tmp_path):
    version(store)
    done = cli("get", "m", file(tmp_path / "plain") / "below")
    assert (done.code, done.out) == (1, "")
    assert done.err == f"error: {tmp_path}/plain/below: Not a directory\n"


def test_damage_exits_with_65(cli, store):
    version(store, b"one")
    version(store, b"two")
    [known] = store.get("m:v1").files()
    blob = Path(store.layout.blob(bytes.fromhex(known.digest.removeprefix("blake3:"))))
    blob.chmod(0o644)
    blob.write_bytes(b"ONE")

    done = cli("get", "m:v1")

    assert (done.code, done.out) == (65, "")
    assert "was changed" in done.err
    assert "affected: m:v1" in done.err


def test_a_writer_who_keeps_the_lock_exits_with_75(cli, store, monkeypatch):
    version(store)
    monkeypatch.setitem(Store.__init__.__kwdefaults__, "lock_wait_s", 0.01)
    with durable.locked(store.layout.lock, wait_s=0, holder="process 1 of ana on lab"):
        done = cli("alias", "m", "production")
    assert (done.code, done.out) == (75, "")
    assert "process 1 of ana on lab" in done.err


def test_a_store_of_a_newer_release_exits_with_76(cli, store):
    identity = store.layout.identity
    identity.write_text(identity.read_text().replace('"format": 1', '"format": 99'))
    done = cli("list")
    assert (done.code, done.out) == (76, "")
    assert "upgrade" in done.err


def test_ctrl_c_exits_with_130_and_says_nothing(cli, store, monkeypatch):
    def interrupt(_: object, wait_s: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lookout.Lookout, "_wait", interrupt)
    done = cli("events", "--follow")
    assert (done.code, done.err) == (130, "")


def test_an_error_in_json_is_one_object_on_stderr(cli, store):
    done = cli("--json", "show", "m")
    assert (done.code, done.out) == (2, "")
    assert json.loads(done.err) == {
        "schema": "runicorn.error/1",
        "message": "no artifact named 'm'; there is none yet",
        "exit_code": 2,
        "hints": [],
    }


def test_a_line_that_is_not_understood_is_an_object_too(cli):
    failure = json.loads(cli("list", "--json", "--tpye", "x").err)
    assert (failure["exit_code"], failure["hints"]) == (2, ["runicorn list --help says how it is used"])
    assert "--tpye" in failure["message"]


def test_a_traceback_is_shown_for_debugging_only(cli, store, monkeypatch):
    monkeypatch.setenv("RUNICORN_DEBUG", "1")
    with pytest.raises(rn.Unknown):
        cli("show", "m")


def test_a_fault_of_the_program_is_called_one(cli):
    done = cli("list", "--storage", "a\0b")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines() == [
        "error: ValueError: embedded null byte",
        "hint: this is a fault of the program; RUNICORN_DEBUG=1 shows where it happened",
    ]


def test_without_a_verb_the_help_is_shown(cli):
    assert cli().out == cli("--help").out
    assert cli() == cli("-h")


def test_the_release_is_shown(cli):
    assert cli("--version") == (0, f"runicorn-es {rn.__version__}\n", "")
