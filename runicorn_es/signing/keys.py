"""The keys of one store: the one that signs, the public ones that are believed, and how one follows another.

    signing.key       the secret: two seeds, readable by the owner or the store's group alone; may be locked
    ed25519.vkey      the public keys, as signed notes write them
    mldsa44.vkey
    retired/ID.json   public keys that signed earlier, up to which size, and the proof that they named their successor

The secret is replaced in one step, and the public keys are written again from it: a crash leaves the old or the new.
"""

from collections.abc import Callable
import hashlib
import os
from pathlib import Path

import msgspec

from runicorn_es import durable
from runicorn_es.ambient import PASSPHRASE_VARIABLE
from runicorn_es.errors import Damaged, Rejected
from runicorn_es.signing.checkpoint import TIME_BYTES, Head, Trust, body_of, cosigned_message
from runicorn_es.signing.note import ED25519, ML_DSA_44, VerifierKey, parse_key, signature_line

SEED_BYTES = 32
_SALT_BYTES = 16
_NONCE_BYTES = 12
_GROUP_WRITES = 0o020
# RFC 7914; 128 MiB and a third of a second for each guess.
_SCRYPT_COST, _SCRYPT_BLOCK = 1 << 17, 8
_SCRYPT_BYTES_MAX = 1 << 30


class Seeds(msgspec.Struct, frozen=True, tag_field="schema", tag="runicorn.signing-key/1", forbid_unknown_fields=True):
    """What is secret: 32 bytes each."""

    ed25519: bytes
    ml_dsa_44: bytes


class Locked(msgspec.Struct, frozen=True, tag_field="schema", tag="runicorn.locked-key/1", forbid_unknown_fields=True):
    """The seeds under a passphrase: AES-256-GCM, with a key that scrypt (RFC 7914) makes of it."""

    cost: int
    block: int
    salt: bytes
    nonce: bytes
    box: bytes


class Retired(msgspec.Struct, frozen=True):
    """The public keys that signed up to a size, and the proof bundle by which they named their successor."""

    keys: tuple[str, ...]
    size: int
    endorsement: msgspec.Raw


class Signer:
    """A signing key of one store, ready to sign."""

    def __init__(self, origin: str, seeds: Seeds) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

        self._origin = origin
        self._seeds = seeds
        self._ed25519 = Ed25519PrivateKey.from_private_bytes(seeds.ed25519)
        self.ed25519 = VerifierKey(origin, ED25519, self._ed25519.public_key().public_bytes_raw())

    def sign(self, head: Head) -> str:
        """Return the text of the checkpoint of this head, signed with Ed25519."""
        body = body_of(self._origin, head)
        return f"{body}\n{signature_line(self.ed25519, self._ed25519.sign(body.encode()))}"

    def cosign(self, head: Head, time_s: int) -> str:
        """Return the line that says that at this time, in seconds since the epoch, the log had this head."""
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey  # noqa: PLC0415

        message = cosigned_message(self._origin, time_s, self._origin, head)
        signature = MLDSA44PrivateKey.from_seed_bytes(self._seeds.ml_dsa_44).sign(message)
        return signature_line(self.ml_dsa_44, time_s.to_bytes(TIME_BYTES) + signature)

    @property
    def ml_dsa_44(self) -> VerifierKey:
        """Return the public key that cosigns."""
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey  # noqa: PLC0415

        public = MLDSA44PrivateKey.from_seed_bytes(self._seeds.ml_dsa_44).public_key().public_bytes_raw()
        return VerifierKey(self._origin, ML_DSA_44, public)


class Keys:
    """The folder with the keys of one store."""

    def __init__(self, folder: Path, origin: str) -> None:
        self._folder = folder
        self._origin = origin
        self._secret = folder / "signing.key"
        self._retired = folder / "retired"
        self._signer: Signer | None = None
        self._signer_is_of: tuple[int, ...] = ()

    def public(self, algorithm: int = ED25519) -> str:
        """Return a public key of the store as signed notes write it. FileNotFoundError before the first batch."""
        return self._public_path(algorithm).read_text().strip()

    def trust(self) -> Trust:
        """Return whose signatures are believed: the present keys, and for what they signed then, the retired ones."""
        believed: list[tuple[VerifierKey, int | None]] = []
        for algorithm in (ED25519, ML_DSA_44):
            try:
                believed.append((parse_key(self.public(algorithm)), None))
            except (FileNotFoundError, ValueError):
                continue
        for one in self.retired():
            believed += [(parse_key(text), one.size) for text in one.keys]
        return Trust(tuple((key, size) for key, size in believed if key.name == self._origin))

    def retired(self) -> list[Retired]:
        """Return the keys that signed earlier, the oldest first. Raises Damaged."""
        found = []
        for path in sorted(self._retired.glob("*.json")) if self._retired.is_dir() else []:
            try:
                one = msgspec.json.decode(path.read_bytes(), type=Retired)
                for text in one.keys:
                    parse_key(text)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                raise Damaged(f"{path} cannot be read ({error}); take it from a copy of this store") from error
            found.append(one)
        present = self._public_path(ED25519)
        in_use = present.read_text(errors="replace").strip() if present.exists() else ""
        # A rotation that died before its last step has retired nothing yet.
        return sorted((one for one in found if in_use not in one.keys), key=lambda one: one.size)

    def has_secret(self) -> bool | None:
        """Return whether there is a key to sign with; None where we may not look."""
        try:
            os.stat(self._secret)  # noqa: PTH116 - Path.exists hides why not
        except FileNotFoundError:
            return False
        except PermissionError:
            return None
        return True

    def is_locked(self) -> bool:
        """Return whether the secret is under a passphrase. Raises FileNotFoundError."""
        return isinstance(self._read(self._secret), Locked)

    def signer(self, token: Callable[[int], bytes], passphrase: Callable[[], str | None]) -> Signer:
        """Return the signer of this store; it gets a key where it has none. Raises Rejected without the passphrase."""
        if self._signer is None or self._signer_is_of != self._state_of_secret():
            try:
                seeds = self._unlocked(passphrase)
            except FileNotFoundError:
                seeds = _new_seeds(token)
                self._write(self._secret, seeds)
            self._use(seeds)
        assert self._signer is not None
        return self._signer

    def set_passphrase(self, old: Callable[[], str | None], new: str | None, token: Callable[[int], bytes]) -> None:
        """Put the secret under a new passphrase, or under none. Raises Rejected for a wrong old one."""
        self._keep(self._unlocked(old), new, token)

    def successor(self, token: Callable[[int], bytes]) -> tuple[Seeds, Signer]:
        """Return a new key, which nobody believes before ``succeed``."""
        seeds = _new_seeds(token)
        return seeds, Signer(self._origin, seeds)

    def succeed(
        self, seeds: Seeds, retired: Retired, passphrase: Callable[[], str | None], token: Callable[[int], bytes]
    ) -> None:
        """Put a new key in the place of the present one, whose secret is gone then."""
        durable.make_folder(self._retired)
        name = parse_key(retired.keys[0]).key_id.hex()
        durable.write_file(self._retired / f"{name}.json", msgspec.json.format(msgspec.json.encode(retired), indent=2))
        self._keep(seeds, passphrase() if self.is_locked() else None, token)
        self._use(seeds)

    def _use(self, seeds: Seeds) -> None:
        """Sign with this key from now on, and have its public half lie where it is looked for."""
        self._signer = Signer(self._origin, seeds)
        self._signer_is_of = self._state_of_secret()
        present, beside = self._public_path(ED25519), self._public_path(ML_DSA_44)
        if present.exists() and beside.exists() and present.read_text().strip() == str(self._signer.ed25519):
            return
        durable.write_file(beside, f"{self._signer.ml_dsa_44}\n".encode())
        durable.write_file(present, f"{self._signer.ed25519}\n".encode())

    def _state_of_secret(self) -> tuple[int, ...]:
        """Return what tells that the secret is still the one that was read: another process may have replaced it."""
        found = self._secret.stat()
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _keep(self, seeds: Seeds, passphrase: str | None, token: Callable[[int], bytes]) -> None:
        self._write(self._secret, seeds if passphrase is None else _locked(seeds, passphrase, self._origin, token))

    def _public_path(self, algorithm: int) -> Path:
        return self._folder / ("ed25519.vkey" if algorithm == ED25519 else "mldsa44.vkey")

    def _unlocked(self, passphrase: Callable[[], str | None]) -> Seeds:
        secret = self._read(self._secret)
        if isinstance(secret, Seeds):
            return secret
        given = passphrase()
        if given is None:
            raise Rejected(
                f"the signing key {self._secret} is under a passphrase, and every batch is signed; "
                f"set {PASSPHRASE_VARIABLE}, or open the store read-only"
            )
        return _opened(secret, given, self._origin, self._secret)

    def _read(self, path: Path) -> Seeds | Locked:
        try:
            secret = msgspec.json.decode(path.read_bytes(), type=Seeds | Locked)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Damaged(f"{path} is not a signing key ({error}); put it back from a copy of this store") from error
        if isinstance(secret, Seeds) and not len(secret.ed25519) == len(secret.ml_dsa_44) == SEED_BYTES:
            raise Damaged(f"{path} is not a signing key; put it back from a copy of this store")
        return secret

    def _write(self, path: Path, secret: Seeds | Locked) -> None:
        # Who may write the store must be able to sign for it: its owner, or the group that it was made for.
        is_shared = bool(self._folder.stat().st_mode & _GROUP_WRITES)
        content = msgspec.json.format(msgspec.json.encode(secret), indent=2) + b"\n"
        durable.write_file(path, content, mode=0o660 if is_shared else 0o600)


def _new_seeds(token: Callable[[int], bytes]) -> Seeds:
    return Seeds(token(SEED_BYTES), token(SEED_BYTES))


def _locked(seeds: Seeds, passphrase: str, origin: str, token: Callable[[int], bytes]) -> Locked:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    salt, nonce = token(_SALT_BYTES), token(_NONCE_BYTES)
    box = AESGCM(_key_of(passphrase, salt, _SCRYPT_COST, _SCRYPT_BLOCK)).encrypt(
        nonce, seeds.ed25519 + seeds.ml_dsa_44, origin.encode()
    )
    return Locked(_SCRYPT_COST, _SCRYPT_BLOCK, salt, nonce, box)


def _opened(locked: Locked, passphrase: str, origin: str, path: Path) -> Seeds:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    try:
        key = _key_of(passphrase, locked.salt, locked.cost, locked.block)
        content = AESGCM(key).decrypt(locked.nonce, locked.box, origin.encode())
    except InvalidTag as error:
        raise Rejected(f"this is not the passphrase of {path}") from error
    except ValueError as error:
        raise Damaged(f"{path} is not a signing key ({error}); put it back from a copy of this store") from error
    return Seeds(content[:SEED_BYTES], content[SEED_BYTES:])


def _key_of(passphrase: str, salt: bytes, cost: int, block: int) -> bytes:
    if not (cost > 1 and block > 0 and 128 * cost * block <= _SCRYPT_BYTES_MAX):
        raise ValueError(f"scrypt with cost {cost} and blocks of {block} is more than one gigabyte")
    return hashlib.scrypt(
        passphrase.encode(), salt=salt, n=cost, r=block, p=1, maxmem=2 * _SCRYPT_BYTES_MAX - 1, dklen=SEED_BYTES
    )
