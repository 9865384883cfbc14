"""``audit``, ``checkpoint``, ``prove``, ``verify`` and ``repair`` from the shell."""

import json
import shutil

import pytest

from given import version
import runicorn_es as rn


@pytest.fixture
def full(store, root):
    version(store, b"one")
    version(store, b"two")
    store.close()
    return root


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def test_a_sound_store_is_clean(cli, full):
    done = cli("audit", "--deep", "--tables")

    assert (done.code, done.err) == (0, "")
    assert done.lines()[-1] == "clean"
    assert ", 2 versions, 2 blobs, 2 of them hashed; root " in done.lines()[-2]


def test_damage_is_located_and_is_exit_code_65(cli, full):
    flip(full / "log" / f"{0:020d}.seg", 300)

    done = cli("audit")

    assert done.code == 65
    assert done.lines()[0].startswith(f"damage: log/{0:020d}.seg, bytes ")
    assert done.lines()[-1] == "damaged"


def test_an_audit_in_json_says_the_same(cli, full):
    next((full / "pool").glob("??/*")).unlink()

    done = cli("audit", "--json")

    assert done.code == 65
    assert done.json()["is_clean"] is False
    assert [finding["kind"] for finding in done.json()["findings"]] == ["blob"]


def test_a_checkpoint_that_was_kept_is_continued_or_history_was_rewritten(cli, full, tmp_path):
    shutil.copytree(full, tmp_path / "forged")
    assert cli("alias", "m", "one").code == 0
    assert cli("checkpoint", "--save", str(tmp_path / "kept")).code == 0
    assert cli("checkpoint").out.startswith("\n\n".join((tmp_path / "kept").read_text().split("\n\n")[:1]))
    with rn.open_store(tmp_path / "forged") as forged:
        forged.alias("m", "another")
        forged.alias("m", "yet-another")

    assert cli("audit", "--against", str(tmp_path / "kept")).code == 0
    done = cli("audit", "--against", str(tmp_path / "kept"), "--storage", str(tmp_path / "forged"))
    assert done.code == 65
    assert "history was rewritten" in done.out


def test_a_version_is_proven_to_whoever_has_the_public_key(cli, full, tmp_path):
    (tmp_path / "bundle").write_text(cli("prove", "m:v1").out)
    key = json.loads(cli("checkpoint", "--json").out)["key"]
    (tmp_path / "key").write_text(key)
    nowhere = str(tmp_path / "nowhere")

    for given in (key, str(tmp_path / "key")):
        done = cli("verify", str(tmp_path / "bundle"), "--key", given, "--storage", nowhere)
        assert (done.code, done.err) == (0, "")
        assert "m:v1 was logged: model, 1 file" in done.out
    assert cli("verify", str(tmp_path / "bundle"), "--json").json()["subject"] == "m:v1"


def test_that_the_log_only_grew_is_proven(cli, full, tmp_path):
    cli("checkpoint", "--save", str(tmp_path / "kept"))
    cli("alias", "m", "production")
    (tmp_path / "bundle").write_text(cli("prove", "--since", str(tmp_path / "kept")).out)

    done = cli("verify", str(tmp_path / "bundle"))

    assert done.code == 0
    assert done.out.startswith("proven: the log of ")


def test_a_changed_proof_proves_nothing(cli, full, tmp_path):
    text = cli("prove", "0").out
    (tmp_path / "bundle").write_text(text.replace('"index": 0', '"index": 1'))

    done = cli("verify", str(tmp_path / "bundle"))

    assert done.code == 2
    assert done.err.startswith("error: ")


def test_a_fork_is_proven_with_both_heads(cli, full, tmp_path):
    shutil.copytree(full, tmp_path / "copy")
    cli("alias", "m", "here")
    cli("alias", "m", "there", "--storage", str(tmp_path / "copy"))
    (tmp_path / "bundle").write_text(cli("prove", "--fork", str(tmp_path / "copy")).out)

    done = cli("verify", str(tmp_path / "bundle"))

    assert done.code == 0
    assert done.lines()[0].startswith("proven: the store was forked; both histories are signed, and record ")
    assert [line.split(", ")[0].split(" ")[2] for line in done.lines()[1:]] == ["one", "one"]


def test_the_key_is_shown_replaced_and_locked(cli, full, monkeypatch):
    before = cli("key").lines()
    assert cli("key", "--rotate").code == 0
    assert before[0] in cli("key").lines()[-1]
    assert cli("key", "--passphrase", answer="rosebud\n").lines()[-1] == "locked with a passphrase"

    done = cli("alias", "m", "production")
    assert done.code == 2
    assert "RUNICORN_KEY_PASSPHRASE" in done.err
    monkeypatch.setenv("RUNICORN_KEY_PASSPHRASE", "rosebud")
    assert cli("alias", "m", "production").code == 0
    assert cli("key", "--passphrase", answer="\n").lines()[-1] != "locked with a passphrase"
    assert cli("key", "--json").json()["is_locked"] is False


def test_the_log_is_exported_as_tiles(cli, full, tmp_path):
    done = cli("export", "--tiles", str(tmp_path / "tiles"))

    assert done.code == 0
    assert done.out.endswith(f" in {tmp_path / 'tiles'}, 3 files written\n")
    assert sorted(path.name for path in (tmp_path / "tiles").iterdir()) == ["checkpoint", "tile"]


def test_of_two_who_expect_the_same_of_an_alias_one_succeeds(cli, full):
    assert cli("alias", "m:v1", "production", "--expected", "0").code == 0
    assert cli("alias", "m:v2", "production", "--expected", "1").code == 0

    done = cli("alias", "m:v1", "production", "--expected", "1")

    assert done.code == 2
    assert "m:production points to v2, and was expected to point to v1" in done.err


@pytest.mark.parametrize(
    "line", ["prove", "prove m --since kept", "prove --fork nowhere", "prove 99", "prove nobody", "verify missing"]
)
def test_what_cannot_be_proven_is_refused(cli, full, line):
    done = cli(*line.split())

    assert done.code in {1, 2}
    assert done.out == ""
    assert done.err.startswith("error: ")


def test_a_store_is_healed_from_a_copy(cli, full, tmp_path):
    shutil.copytree(full, tmp_path / "copy")
    flip(full / "log" / f"{0:020d}.seg", 300)
    next((full / "pool").glob("??/*")).unlink()

    done = cli("repair", "--from", str(tmp_path / "copy"))

    assert (done.code, done.err) == (0, "")
    assert done.lines()[0] == f"took log/{0:020d}.seg"
    assert done.lines()[-1] == "nothing is damaged any more"
    assert cli("audit", "--deep", "--tables").code == 0
