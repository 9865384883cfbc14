"""Tables of the user's own: folded, kept, folded anew, and never with anything that was purged."""

import os

import pytest

import runicorn_es as rn
from runicorn_es import custom, durable, settings


class Texts:
    """Keeps whatever metadata ever said, by version; counts what it was given."""

    name = "texts"
    schema = 1

    def __init__(self) -> None:
        self.given = 0

    def apply(self, happened, rows) -> None:
        self.given += 1
        if happened.kind == "metadata":
            rows.put(happened.subject.encode(), happened.event.metadata.encode())


class OtherTexts(Texts):
    schema = 2


def log(store: rn.Store, text: str, name: str = "m") -> None:
    source = store.layout.root.parent / "f"
    source.write_text(text)
    store.log_artifact(rn.Artifact(name, "model", metadata={"text": text}).add_file(source))


def texts(store: rn.Store, projection: Texts | None = None) -> dict[str, str]:
    with store.project(projection or Texts()) as projected, projected.reading() as rows:
        return {key.decode(): value.decode() for key, value in rows.scan(b"")}


def test_rows_are_those_of_all_that_happened_and_each_event_is_folded_once(store):
    log(store, "one")
    projection = Texts()
    assert texts(store, projection) == {"m:v1": '{"text":"one"}'}
    before = projection.given
    log(store, "two")

    assert texts(store, projection) == {"m:v1": '{"text":"one"}', "m:v2": '{"text":"two"}'}
    assert projection.given - before == 3
    assert texts(store, projection) != {}
    assert projection.given - before == 3


def test_rows_can_be_had_one_by_one_and_backwards_and_not_be_changed(store):
    log(store, "one")
    log(store, "two")
    with store.project(Texts()) as projected, projected.reading() as rows:
        assert rows.get(b"m:v1") == b'{"text":"one"}'
        assert rows.get(b"c") is None
        assert [key for key, _ in rows.scan(b"", reverse=True)] == [b"m:v2", b"m:v1"]
        assert [key for key, _ in rows.scan(b"m", after=b"m:v1")] == [b"m:v2"]
        with pytest.raises(rn.Rejected, match="can only be read"):
            rows.put(b"k", b"v")
        with pytest.raises(rn.Rejected, match="1 to 500 bytes, not 0"):
            rows.get(b"")


def test_another_schema_number_has_the_rows_folded_anew(store):
    log(store, "one")
    texts(store)
    other = OtherTexts()
    texts(store, other)
    assert other.given == 4


@pytest.mark.parametrize("loss", ["removed", "another boot", "cut off"])
def test_rows_that_are_lost_are_folded_anew(store, loss):
    log(store, "one")
    expected = texts(store)
    folder = store.layout.custom / "texts"
    match loss:
        case "removed":
            custom.wipe_all(store.layout)
        case "another boot":
            (folder / "boot").write_text("another boot\n")
        case "cut off":
            os.truncate(folder / "tables" / "data.mdb", 100)
    projection = Texts()
    assert texts(store, projection) == expected
    assert projection.given == 4


def test_a_long_fold_saves_how_far_it_is_and_goes_on_there(store, monkeypatch):
    monkeypatch.setattr(settings, "REFOLD_RECORDS_PER_TRANSACTION", 3)

    class Failing(Texts):
        def apply(self, happened, rows) -> None:
            if happened.kind == "metadata" and "three" in happened.event.metadata:
                raise ZeroDivisionError
            super().apply(happened, rows)

    for text in ("one", "two", "three"):
        log(store, text)
    with pytest.raises(ZeroDivisionError):
        texts(store, Failing())
    projection = Texts()
    assert len(texts(store, projection)) == 3
    assert projection.given < 10


def test_what_apply_raises_leaves_the_rows_as_they_were(store):
    log(store, "one")
    before = texts(store)

    class Failing(Texts):
        def apply(self, happened, rows) -> None:
            super().apply(happened, rows)
            rows.put(b"half", b"")
            raise ZeroDivisionError

    log(store, "two")
    with pytest.raises(ZeroDivisionError):
        texts(store, Failing())
    assert "half" not in texts(store)
    assert texts(store).keys() == {*before, "m:v2"}


def test_a_projection_may_say_what_it_wants_to_hear_of(store):
    log(store, "one")
    projection = Texts()
    projection.on = ("event:metadata",)
    texts(store, projection)
    assert projection.given == 1


def test_only_what_is_acknowledged_is_folded(store, monkeypatch):
    log(store, "one")
    seen = []
    reader = rn.open_store(store.layout.root)
    monkeypatch.setattr(durable, "sync", lambda _: seen.append(texts(reader)))
    log(store, "two")
    reader.close()
    assert [len(rows) for rows in seen] == [1]


def left_of(store: rn.Store, text: bytes) -> list[str]:
    return [str(path) for path in store.layout.root.rglob("*") if path.is_file() and text in path.read_bytes()]


@pytest.mark.parametrize("is_open", [False, True], ids=["closed", "open"])
def test_nothing_of_what_was_purged_is_left_in_rows_of_the_users(store, is_open):
    log(store, "kept words", "other")
    log(store, "secret words")
    projected = store.project(Texts())
    with projected.reading() as rows:
        assert len(list(rows.scan(b""))) == 2
    if not is_open:
        projected.close()
    assert any("custom" in path for path in left_of(store, b"secret words"))

    store.purge("m:v1")

    assert left_of(store, b"secret words") == []
    if is_open:
        with projected.reading() as rows:
            assert [key for key, _ in rows.scan(b"")] == [b"other:v1"]
        projected.close()
    assert texts(store) == {"other:v1": '{"text":"kept words"}'}
    assert left_of(store, b"secret words") == []


def test_rows_in_memory_are_folded_anew_after_a_purge(store):
    log(store, "secret words")
    with rn.open_store(store.layout.root, read_only=True) as reader, reader.project(Texts()) as projected:
        with projected.reading() as rows:
            assert len(list(rows.scan(b""))) == 1
        store.purge("m:v1")
        log(store, "another")
        with projected.reading() as rows:
            assert [key for key, _ in rows.scan(b"")] == [b"m:v2"]
    assert not store.layout.custom.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../up"}, "projection name '../up' may have"),
        ({"name": None}, "is no projection; it needs a name"),
        ({"schema": "1"}, "is no projection; it needs a name"),
        ({"apply": None}, "is no projection; it needs a name"),
        ({"on": ["alais:x"]}, "did you mean 'alias:x'"),
    ],
)
def test_what_is_no_projection_is_refused(store, changes, message):
    projection = Texts()
    for name, value in changes.items():
        setattr(projection, name, value)
    with pytest.raises(rn.Rejected, match=message):
        store.project(projection)


def test_a_projection_of_an_installed_package_is_found_by_its_name(store, tmp_path, monkeypatch):
    metadata = tmp_path / "site" / "texts-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: texts\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[runicorn_es.projections]\ntexts = test_custom:Texts\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    log(store, "one")

    with store.project("texts") as projected, projected.reading() as rows:
        assert rows.get(b"m:v1") is not None
    with pytest.raises(rn.Unknown, match=r"no installed package has a projection 'text' .* there are texts"):
        store.project("text")
