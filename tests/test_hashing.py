"""BLAKE3 with all cores, also in a process that was forked."""

from blake3 import blake3

from crash.mounts import in_fork
from runicorn_es.hashing import hasher

# So much that the library hands parts of it to other threads.
LARGE = bytes(32 * 1024 * 1024)


def hash_large() -> bytes:
    hashed = hasher()
    hashed.update(LARGE)
    return hashed.digest()


def test_the_digest_is_that_of_one_thread():
    assert hash_large() == blake3(LARGE).digest()


def test_a_fork_of_a_process_that_hashed_with_all_cores_does_not_wait_for_its_threads():
    expected = hash_large()

    assert in_fork(hash_large) == expected


def test_a_fork_of_a_fork_hashes_too():
    assert in_fork(in_fork, hash_large) == hash_large()
