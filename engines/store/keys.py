"""Ed25519 keys: one private key signs on the machine that builds, public keys say whom a line trusts."""

import base64
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from engines.errors import StoreError
from engines.whole_file import write_whole

_MAKE = "make a key with 'edge engines store keys create'"


def key_folder() -> Path:
    """``EDGE_KEYS``, else /etc/edge/keys where it is there, else ~/.config/edge/keys."""
    if given := os.environ.get("EDGE_KEYS"):
        return Path(given)
    system = Path("/etc/edge/keys")
    return system if system.is_dir() else Path.home() / ".config" / "edge" / "keys"


def key_id(key: Ed25519PublicKey) -> str:
    """The first 16 hex digits of the SHA-256 of the raw public key."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


@dataclass(frozen=True)
class Purpose:
    """What a signature is for; one that was made for something else is none."""

    domain: bytes
    """What is signed begins with it."""
    mend: str


ENGINE = Purpose(
    b"edge engine entry 1\x00",
    "build the engine again, or roll back with 'edge engines store rollback'",
)


@dataclass(frozen=True, repr=False)
class Signer:
    """The private key; it has no text form, so that it cannot get into a log."""

    _key: Ed25519PrivateKey

    @property
    def id(self) -> str:
        """Name of its public half."""
        return key_id(self._key.public_key())

    def sign(self, content: bytes, purpose: Purpose = ENGINE) -> bytes:
        """64 bytes."""
        return self._key.sign(purpose.domain + content)

    def seal(self, content: bytes, purpose: Purpose) -> bytes:
        """Key and signature as JSON: the file beside what was signed."""
        signature = base64.b64encode(self.sign(content, purpose)).decode()
        return json.dumps({"key": self.id, "signature": signature}).encode()

    def __repr__(self) -> str:
        return f"Signer({self.id})"


@dataclass(frozen=True)
class KeyRing:
    """A folder with ``signing.key`` (mode 0600, only where engines are built) and ``trusted/<id>.pub``."""

    folder: Path

    @property
    def private_path(self) -> Path:
        """PKCS#8 PEM, readable by its owner only."""
        return self.folder / "signing.key"

    @property
    def trusted_folder(self) -> Path:
        """Public keys, one PEM file each."""
        return self.folder / "trusted"

    def create(self) -> str:
        """Makes a key pair and trusts it here; its id. Raises StoreError: there is one already."""
        private = Ed25519PrivateKey.generate()
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.private_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError as error:
            raise StoreError(
                f"{self.private_path}: there is a signing key already; expected none: use it, or move it away first"
            ) from error
        except OSError as error:
            raise StoreError(f"{self.folder}: no key can be written here ({error.strerror})") from error
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        return self._trust(private.public_key())

    def signer(self) -> Signer:
        """Raises StoreError: no key, not a key, or readable by others."""
        try:
            mode = self.private_path.stat().st_mode
            content = self.private_path.read_bytes()
        except OSError as error:
            raise StoreError(f"{self.private_path}: cannot be read ({error.strerror}); {_MAKE}") from error
        if stat.S_IMODE(mode) & 0o077:
            raise StoreError(
                f"{self.private_path}: mode {stat.S_IMODE(mode):04o}, others can read it; expected 0600: replace the "
                f"key if others may have seen it, else chmod 600 {self.private_path}"
            )
        try:
            key = serialization.load_pem_private_key(content, password=None)
        except (ValueError, TypeError) as error:
            raise StoreError(f"{self.private_path}: is no private key; restore it, or {_MAKE}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise StoreError(f"{self.private_path}: is no Ed25519 key; {_MAKE}")
        return Signer(key)

    def trust(self, path: Path) -> str:
        """Takes a public key file of another machine; its id. Raises StoreError: not an Ed25519 public key."""
        return self._trust(_public(path))

    def distrust(self, key: str) -> None:
        """Engines signed with this key are refused from now on. Raises StoreError: no such key."""
        path = self.trusted_folder / f"{key}.pub"
        if key not in self.trusted() or not path.is_file():
            raise StoreError(f"key {key} is not trusted here; expected one of {sorted(self.trusted())}")
        path.unlink()

    def trusted(self) -> dict[str, Ed25519PublicKey]:
        """Public keys by id, which is made from the key and never from the file's name."""
        keys = [_public(path) for path in sorted(self.trusted_folder.glob("*.pub"))]
        return {key_id(key): key for key in keys}

    def check_seal(self, seal: bytes, content: bytes, what: str, purpose: Purpose) -> str:
        """Id of the key that made ``seal``. Raises StoreError like ``verify``, and for a seal that is none."""
        try:
            read = json.loads(seal)
            key, signature = str(read["key"]), base64.b64decode(read["signature"], validate=True)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{what}: the signature is damaged ({error}); {purpose.mend}") from error
        self.verify(key, signature, content, what, purpose)
        return key

    def verify(
        self, key: str, signature: bytes, content: bytes, what: str, purpose: Purpose = ENGINE
    ) -> None:
        """Raises StoreError: the key is not trusted here, or the signature is not of this content."""
        public = self.trusted().get(key)
        if public is None:
            raise StoreError(
                f"{what}: signed with key {key}, which is not trusted here (trusted: {sorted(self.trusted()) or 'none'}"
                f"); bring the builder's public key and run 'edge engines store keys trust {key}.pub'"
            )
        try:
            public.verify(signature, purpose.domain + content)
        except InvalidSignature as error:
            raise StoreError(
                f"{what}: the signature is not of this content: it was changed after signing; {purpose.mend}"
            ) from error

    def _trust(self, key: Ed25519PublicKey) -> str:
        self.trusted_folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        write_whole(self.trusted_folder / f"{key_id(key)}.pub", pem)
        return key_id(key)


def _public(path: Path) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); expected a public key file") from error
    except ValueError as error:
        raise StoreError(
            f"{path}: is no public key; expected the .pub file of the building machine"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise StoreError(f"{path}: is no Ed25519 key; expected one of 'edge engines store keys create'")
    return key
