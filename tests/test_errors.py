"""The tree of errors: what a program catches, and with what the command line exits."""

import pytest

import runicorn_es as rn
from runicorn_es import errors

EVERY = [kind for kind in vars(errors).values() if isinstance(kind, type)]


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_error_is_exported_documented_and_of_the_one_tree(kind):
    assert issubclass(kind, rn.RunicornError)
    assert getattr(rn, kind.__name__) is kind
    assert kind.__doc__
    assert f" {kind.__name__} " in errors.__doc__ or kind is rn.RunicornError


@pytest.mark.parametrize(
    ("kind", "caught_as"),
    [
        (rn.Rejected, ValueError),
        (rn.Unknown, LookupError),
        (rn.Unknown, rn.Rejected),
        (rn.Conflict, rn.Rejected),
        (rn.BadQuery, rn.Rejected),
        (rn.Busy, TimeoutError),
        (rn.BlobDamaged, rn.Damaged),
        (rn.WriteFailed, rn.Damaged),
        (rn.WriteFailed, OSError),
        (rn.DiskFull, OSError),
    ],
)
def test_an_error_is_also_what_people_would_catch(kind, caught_as):
    assert issubclass(kind, caught_as)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (rn.Rejected, 2),
        (rn.Unknown, 2),
        (rn.Conflict, 2),
        (rn.BadQuery, 2),
        (rn.DiskFull, 1),
        (rn.Busy, 75),
        (rn.Damaged, 65),
        (rn.BlobDamaged, 65),
        (rn.WriteFailed, 65),
        (rn.TooNew, 76),
    ],
)
def test_an_error_says_by_its_exit_code_what_to_do(kind, code):
    assert kind.exit_code == code


def test_damage_is_not_mistaken_for_a_bad_request_nor_the_other_way_round():
    assert not issubclass(rn.Damaged, (ValueError, LookupError))
    assert not issubclass(rn.TooNew, rn.Damaged)
    assert not issubclass(rn.Rejected, rn.Damaged)


def test_a_damaged_blob_says_which_it_is():
    error = rn.BlobDamaged("blob blake3:00… is missing", bytes(32))

    assert error.digest == bytes(32)
    assert str(error) == "blob blake3:00… is missing"
