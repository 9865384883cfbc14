"""Protection, purge, garbage collection, retention and explanations, as a person at a terminal sees them."""

from pathlib import Path

import pytest

from given import file
import runicorn_es as rn


@pytest.fixture
def notes(cli, tmp_path):
    """Versions 1 to 4 of an artifact, each of other bytes."""
    for number in range(1, 5):
        cli("add", "notes", file(tmp_path / "notes.txt", b"x" * 100 * number), "--type", "custom")


def found_in(root, needle: bytes) -> list[Path]:
    """Return the files of a store in which these bytes are."""
    return [path for path in root.rglob("*") if path.is_file() and needle in path.read_bytes()]


# protect


def test_a_protected_alias_is_moved_and_removed_only_with_force(cli, notes):
    cli("alias", "notes:v1", "production")
    assert cli("protect", "production", "--reason", "customers").out == "production is protected\n"
    assert cli("protect").out == "production\n"

    refused = cli("alias", "notes:v2", "production")
    assert refused.code == 2
    assert "notes:production is protected" in refused.err
    assert "--force" in refused.err
    assert cli("unalias", "notes:production").code == 2

    assert cli("alias", "notes:v2", "production", "--force").out == "notes:production is v2\n"
    assert cli("unalias", "notes:production", "--force").code == 0


def test_a_protection_ends(cli, notes):
    cli("alias", "notes:v1", "production")
    cli("protect", "production")
    assert cli("protect", "production", "--off").out == "production is no longer protected\n"
    assert cli("alias", "notes:v2", "production").code == 0
    assert cli("protect").err == "hint: no alias is protected; `runicorn protect production` protects one\n"


def test_off_without_an_alias_is_refused(cli, notes):
    assert cli("protect", "--off").err.startswith("error: --off needs an alias")


# purge


def test_purge_asks_and_takes_no_for_no(cli, notes):
    done = cli("purge", "notes:v1", answer="n\n")
    assert (done.code, done.out) == (1, "")
    assert done.err == "Purge notes:v1 (100 B) for good? [y/N] n\nerror: the answer was not yes; nothing was changed\n"
    assert cli("show", "notes:v1").code == 0


def test_purge_of_several_says_how_many_and_of_what_size(cli, root, notes):
    done = cli("purge", "notes:v1", "notes:v3", "--reason", "asked to", answer="y\n")

    assert done.err == "Purge 2 versions (400 B) for good? [y/N] y\n"
    assert done.out == "notes:v1 is purged\nnotes:v3 is purged\n2 blobs removed, 400 B freed\n"
    assert cli("audit", "--deep").code == 0
    assert [line.split()[:2] for line in cli("versions", "notes", "--deleted").lines()[1:]] == [
        ["v1", "purged"],
        ["v2", "ready"],
        ["v3", "purged"],
        ["v4", "ready"],
    ]


def test_purge_of_an_artifact_takes_all_versions(cli, root, notes):
    assert cli("purge", "--artifact", "notes", "--yes", "--json").json() == {
        "schema": "runicorn.purge/1",
        "purged": ["notes:v1", "notes:v2", "notes:v3", "notes:v4"],
        "blobs": 4,
        "freed_bytes": 1000,
    }
    assert found_in(root, b"notes.txt") == []


def test_purge_of_a_run_takes_what_it_logged_and_told(cli, root, tmp_path):
    with rn.init("vision", storage=root, config={"secret": "XK-2207"}) as run:
        run.log_artifact(rn.Artifact("m", "model").add_file(file(tmp_path / "weights-of-ada.bin", b"1")))
    assert found_in(root, b"XK-2207")

    done = cli("purge", "--run", run.id, answer="y\n")

    assert done.err == f"Purge run {run.id} and m:v1 (1 B) for good? [y/N] y\n"
    assert "m:v1 is purged" in done.out
    assert found_in(root, b"XK-2207") == []
    assert found_in(root, b"weights-of-ada") == []


def test_purge_of_what_is_in_use_says_why_not_and_does_it_with_force(cli, notes):
    cli("alias", "notes:v1", "production")
    refused = cli("purge", "notes:v1", "--yes")
    assert refused.code == 2
    assert "alias production points to it" in refused.err
    assert cli("purge", "notes:v1", "--yes", "--force").code == 0


def test_purge_again_removes_nothing_more_and_does_not_ask(cli, notes):
    cli("purge", "notes:v1", "--yes")
    assert cli("purge", "notes:v1").out == "0 blobs removed, 0 B freed\n"


@pytest.mark.parametrize("arguments", [(), ("notes:v1", "--artifact", "notes"), ("--artifact", "notes", "--run", "r")])
def test_purge_wants_to_know_what(cli, notes, arguments):
    done = cli("purge", *arguments)
    assert done.code == 2
    assert done.err.startswith("error: say what to purge: versions, or --artifact NAME, or --run RUN")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("notes:v9",), "'notes' has no version v9"),
        (("--artifact", "nots"), "did you mean 'notes'?"),
        (("--run", "r"), "no run 'r'"),
    ],
)
def test_purge_of_what_is_not_there_purges_nothing(cli, notes, arguments, message):
    done = cli("purge", *arguments, "--yes")
    assert done.code == 2
    assert message in done.err
    assert len(cli("versions", "notes").lines()) == 5


# gc


@pytest.fixture
def orphan(cli, root, notes):
    """A blob that nobody names, as a writer leaves it that died before it logged."""
    with rn.open_store(root) as store:
        path = Path(store.layout.blob(b"\x07" * 32))
        store.pool.usage.forget()
    return file(path, b"y" * 5000)


def test_gc_shows_first_what_would_go_and_why(cli, orphan):
    done = cli("gc", "--dry-run")
    line = f"    4.9 KB  blob       pool/07/{'07' * 32}  (no version names it)\n"
    assert done.out == f"{line}4.9 KB would be freed\n"
    assert done.err == "hint: without --dry-run it is done\n"
    assert orphan.exists()

    assert cli("gc").out == f"{line}4.9 KB freed\n"
    assert not orphan.exists()
    assert cli("gc") == (0, "0 B freed\n", "")


def test_stats_tell_what_gc_would_remove(cli, orphan):
    assert "1 blob of 4.9 KB that no version names; `runicorn gc` removes them\n" in cli("stats").out


def test_the_guides_cleanup_dedup_is_gc(cli, orphan):
    assert cli("artifacts", "--action", "cleanup-dedup").out.endswith("4.9 KB freed\n")
    assert not orphan.exists()


def test_gc_asks_before_it_applies_a_rule(cli, notes):
    cli("retention", "set", "notes", "--keep-last", "2")

    done = cli("gc", "--apply-retention", answer="n\n")

    assert done.out == (
        "     200 B  delete     notes:v2  (artifact:notes: 2 versions are newer)\n"
        "     100 B  delete     notes:v1  (artifact:notes: 3 versions are newer)\n"
    )
    assert done.err.startswith("Delete 2 versions? [y/N] n\n")
    assert done.code == 1
    assert len(cli("versions", "notes").lines()) == 5


def test_gc_applies_rules_and_tells_what_it_did(cli, notes):
    cli("retention", "set", "notes", "--keep-last", "2", "--purge-after", "0s")
    cli("gc", "--apply-retention", "--yes")

    answer = cli("gc", "--apply-retention", "--yes", "--json").json()

    assert [(one["spec"], one["action"]) for one in answer["due"]] == [("notes:v2", "purge"), ("notes:v1", "purge")]
    assert [line.split()[0] for line in cli("versions", "notes").lines()[1:]] == ["v3", "v4"]


def test_gc_without_apply_retention_deletes_no_version(cli, notes):
    cli("retention", "set", "notes", "--keep-last", "1")
    cli("gc")
    assert len(cli("versions", "notes").lines()) == 5


# compact


def test_compact_says_what_went_into_packs(cli, root, tmp_path):
    for number in range(3):
        cli("add", "m", file(tmp_path / "model.pth", b"abcdefgh" * 50_000 + bytes([number])), "--type", "model")

    assert cli("compact", "--dry-run").out == "m:v2\nm:v1\n2 blobs of 781.3 KB of 2 versions would go into packs\n"
    assert cli("compact", "--older-than", "1d").out.startswith("0 blobs of 0 B of 0 versions")
    done = cli("compact")
    assert done.out.startswith("2 blobs of 781.3 KB of 2 versions went into packs, where they take ")
    assert done.err == ""
    assert "of it packed, which saves" in cli("stats").out
    assert cli("audit", "--deep").code == 0
    assert cli("get", "m:v1", tmp_path / "out").code == 0
    assert (tmp_path / "out" / "model.pth").read_bytes() == b"abcdefgh" * 50_000 + b"\0"


def test_what_links_hold_is_left_and_told(cli, notes, tmp_path):
    cli("get", "notes:v1", tmp_path / "out")
    done = cli("compact")
    assert done.err == "hint: 1 blob stays as it is, for hard links outside the pool hold it\n"


def test_add_puts_files_into_packs_at_once(cli, root, tmp_path):
    cli("add", "m", file(tmp_path / "f", b"x" * 1000), "--type", "model", "--cold")
    assert list(root.glob("pool/packs/*.pack"))
    assert not list(root.glob("pool/[0-9a-f][0-9a-f]/*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("notes:v9",), "has no version v9"),
        (("--older-than", "soon"), "'soon' is not a span of time"),
        (("--keep-last", "-1"), "Invalid value for '--keep-last'"),
    ],
)
def test_compact_of_what_is_not_there_says_so(cli, notes, arguments, message):
    done = cli("compact", *arguments)
    assert done.code == 2
    assert message in done.err


# retention


def test_retention_shows_sets_and_clears_rules(cli, notes):
    assert cli("retention").err.startswith("hint: there is no rule")
    set_one = cli(
        "retention", "set", "type:custom", "--keep-last", "3", "--keep-younger", "30d", "--keep-tagged", "gold"
    )
    assert set_one.out == "type:custom  keep last 3, younger than 30d, tagged gold\n"
    cli("retention", "set", "notes", "--purge-after", "2w")
    assert cli("retention").out == (
        "artifact:notes  purge 2w after deletion\ntype:custom  keep last 3, younger than 30d, tagged gold\n"
    )
    assert cli("retention", "clear", "notes").out == "there is no rule for notes now\n"
    assert cli("retention").out.startswith("type:custom")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("set",), "`retention set` needs a selection"),
        (("set", "notes"), "say what to keep of notes"),
        (("clear",), "`retention clear` needs a selection"),
        (("clear", "notes", "--keep-last", "1"), "`retention clear` takes no rule"),
        (("list", "--keep-last", "1"), "`retention list` takes no rule"),
        (("set", "notes", "--keep-younger", "3"), "'3' is not a span of time"),
        (("set", "nope:v3", "--keep-last", "3"), "no artifact named 'nope'"),
        (("set", "typ:model", "--keep-last", "3"), "'typ:model' selects no versions"),
        (("frobnicate",), "'frobnicate' is not one of"),
    ],
)
def test_a_rule_that_is_none_is_refused(cli, notes, arguments, message):
    done = cli("retention", *arguments)
    assert done.code == 2
    assert message in done.err


# explain


def test_explain_says_why_a_version_is_kept_and_what_it_would_free(cli, notes):
    cli("alias", "notes:v4", "production")
    assert cli("explain", "notes:v4").out == (
        "notes:v4 (ready), 400 B\n"
        "  kept because\n"
        "    alias production points to it\n"
        "    it is the latest\n"
        "  without it 400 B would be freed\n"
    )


def test_explain_says_which_versions_name_a_blob(cli, root, notes):
    digest = cli("files", "notes:v2", "--json").json()["files"][0]["digest"]
    shown = cli("explain", digest[:20]).out
    assert shown.startswith(f"{digest} (in the pool), 200 B\n  kept because\n    1 live version names it\n")
    assert "  needed by\n    notes:v2 notes.txt\n" in shown


def test_explain_of_an_orphan_says_that_nothing_keeps_it(cli, orphan):
    shown = cli("explain", f"blake3:{'07' * 8}").out
    assert "  nothing keeps it\n" in shown
    assert shown.endswith("  without it 4.9 KB would be freed\n")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("blake3:07", "'blake3:07' is no digest of a blob"),
        ("blake3:xyzxyzxyz", "is no digest of a blob"),
        ("blake3:0011223344", "the pool has no blob"),
        ("notes:v9", "has no version v9"),
    ],
)
def test_explain_of_what_is_not_there_says_so(cli, notes, what, message):
    done = cli("explain", what)
    assert done.code == 2
    assert message in done.err
