"""The keys of logins, encrypted at rest: one file for each account, AES-GCM under one master key.

A file's plain part (account, connector, when, which key) is the associated data of its secret part: moved to another account, or
changed in any byte, it does not decrypt. Nothing of this is ever in Postgres, in config.toml, in a log or in a message.
"""

import base64
import binascii
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from eventrouter.errors import CredentialsError

KEY_VARIABLE = "EVENTROUTER_MASTER_KEY"
SYSTEMD_NAME = "eventrouter-master-key"
MOST_BYTES = 16_384  # of one login's secrets
_KEY_BYTES = 32
_NONCE_BYTES = 12
_FORMAT = 1
_SUFFIX = ".credentials"
_MOST_FILE_BYTES = 4 * MOST_BYTES


@dataclass(frozen=True, slots=True)
class Stored:
    """One account's credentials as far as they may be shown. `fault`: why they cannot be used; None when they can.

    `user` is the masked user name, where the connector has one and the present key decrypts it.
    """

    account: str
    connector: str
    set_at: str
    user: str | None
    fault: str | None


@dataclass(frozen=True, slots=True)
class _Sealed:
    header: Mapping[str, Any]
    nonce: bytes
    secret: bytes = field(repr=False)


class CredentialStore:
    """Credentials below `directory`, which only its owner may enter.

    The master key is 32 bytes in base64: in EVENTROUTER_MASTER_KEY, else in `key_file` (default: master.key beside the
    directory), else in systemd's credential eventrouter-master-key. Everything raises CredentialsError.
    """

    def __init__(
        self, directory: Path, *, key_file: Path | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.directory = directory
        self.key_file = key_file or directory.parent / "master.key"
        self._environ = environ

    def __repr__(self) -> str:
        return f"CredentialStore({str(self.directory)!r})"

    def put(self, account: str, connector: str, secret: Mapping[str, str], *, now: datetime) -> bool:
        """Encrypts and stores a login, replacing an earlier one; True when a key file was made for it, to be backed up."""
        plain = json.dumps(dict(secret)).encode()
        if len(plain) > MOST_BYTES:
            raise CredentialsError(
                "TOO_LONG", f"The credentials of account {account} are over {MOST_BYTES} bytes long."
            )
        self._make_directory()
        key, made = self._key(), False
        if key is None:
            key, made = self._new_key(), True
        header = {
            "format": _FORMAT,
            "account": account,
            "connector": connector,
            "set_at": now.isoformat(timespec="seconds"),
            "key": _key_id(key),
        }
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(key).encrypt(nonce, plain, _associated(header, account))
        body = {**header, "nonce": _text(nonce), "secret": _text(sealed)}
        _write(self._file(account), json.dumps(body, indent=1).encode() + b"\n", self._replace)
        return made

    def get(self, account: str, connector: str, fields: Sequence[str]) -> dict[str, SecretStr]:
        """The secrets of an account's login, by the names of its connector's fields."""
        how = f"run eventrouter credentials set {account}"
        sealed = self._read(account)
        if sealed is None:
            raise CredentialsError("NO_CREDENTIALS", f"Account {account} has no credentials: {how}.")
        if sealed.header["connector"] != connector:
            stored = sealed.header["connector"]
            message = f"The credentials of account {account} are for {stored}, but its connector is {connector}: {how}."
            raise CredentialsError("WRONG_CONNECTOR", message)
        values = self._open(account, sealed)
        if missing := [name for name in fields if not values.get(name)]:
            message = f"The credentials of account {account} lack {', '.join(missing)}: {how}."
            raise CredentialsError("INCOMPLETE", message)
        return {name: SecretStr(values[name]) for name in fields}

    def stored(self) -> Iterator[Stored]:
        """Every stored login, by account. Nothing of it is secret."""
        for account in self._accounts():
            sealed: _Sealed | None = None
            user = fault = None
            try:
                sealed = self._read(account)
                if sealed is None:
                    continue  # removed meanwhile
                name = self._open(account, sealed).get("user_name")
                user = masked(name) if name else None
            except CredentialsError as error:
                fault = str(error)
            header = sealed.header if sealed is not None else {}
            yield Stored(account, str(header.get("connector", "")), str(header.get("set_at", "")), user, fault)

    def remove(self, account: str) -> None:
        """Deletes an account's credentials."""
        try:
            self._file(account).unlink()
        except FileNotFoundError:
            raise CredentialsError("NO_CREDENTIALS", f"Account {account} has no credentials.") from None
        except OSError as error:
            raise _unusable(self._file(account), error) from None
        _sync_directory(self.directory)

    def _file(self, account: str) -> Path:
        return self.directory / f"{account}{_SUFFIX}"

    def _accounts(self) -> list[str]:
        try:
            names = sorted(path.name for path in self.directory.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unusable(self.directory, error) from None
        return [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX) and not name.startswith(".")]

    def _make_directory(self) -> None:
        try:
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                self.directory.mkdir(mode=0o700)
            found = self.directory.stat()
        except OSError as error:
            raise _unusable(self.directory, error) from None
        if found.st_mode & 0o077 or found.st_uid != os.geteuid():
            message = f"{self.directory} must belong to this user, and to nobody else: run chown and chmod 700 {self.directory}."
            raise CredentialsError("DIRECTORY_OPEN", message)

    def _read(self, account: str) -> _Sealed | None:
        file = self._file(account)
        try:
            with file.open("rb") as opened:
                body = json.loads(opened.read(_MOST_FILE_BYTES))
            header = {name: body[name] for name in ("format", "account", "connector", "set_at", "key")}
            nonce, secret = _bytes(body["nonce"]), _bytes(body["secret"])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(file, error) from None
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _damaged(account) from None
        if header["format"] != _FORMAT or len(nonce) != _NONCE_BYTES:
            raise _damaged(account)
        return _Sealed(header, nonce, secret)

    def _open(self, account: str, sealed: _Sealed) -> dict[str, str]:
        key = self._key()
        if key is None:
            raise self._no_key()
        if sealed.header["key"] != _key_id(key):
            message = (
                f"The credentials of account {account} were encrypted with another master key: give the service that key "
                f"again, or run eventrouter credentials set {account}."
            )
            raise CredentialsError("WRONG_KEY", message)
        try:
            plain = AESGCM(key).decrypt(sealed.nonce, sealed.secret, _associated(sealed.header, account))
            values = json.loads(plain)
        except (InvalidTag, ValueError):
            raise _damaged(account) from None
        return {str(name): str(value) for name, value in values.items()}

    def _key(self) -> bytes | None:
        """The master key, from the first place that has one; None when none has."""
        if text := self._environ.get(KEY_VARIABLE):
            return _decoded(text.encode(), KEY_VARIABLE)
        if (text_bytes := self._key_file_text()) is not None:
            return _decoded(text_bytes, str(self.key_file))
        if given := self._environ.get("CREDENTIALS_DIRECTORY"):
            # systemd guards the directory itself, and may show a mode wider than what its access list allows
            file = Path(given) / SYSTEMD_NAME
            try:
                return _decoded(file.read_bytes()[:1024], str(file))
            except FileNotFoundError:
                return None
            except OSError as error:
                raise _unusable(file, error) from None
        return None

    def _key_file_text(self) -> bytes | None:
        try:
            with self.key_file.open("rb") as opened:
                found = os.fstat(opened.fileno())
                text = opened.read(1024)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(self.key_file, error) from None
        if found.st_uid != os.geteuid():
            message = f"{self.key_file} belongs to another user: run the service as that user, or run chown on it."
            raise CredentialsError("KEY_FILE_OPEN", message)
        if found.st_mode & 0o077:
            message = f"Others may read {self.key_file}: run chmod 600 {self.key_file}. If they did, make new keys."
            raise CredentialsError("KEY_FILE_OPEN", message)
        return text

    def _new_key(self) -> bytes:
        """Makes the key file; never where a lost key would have to come back to what is stored already."""
        if self._accounts():
            raise self._no_key()
        key = secrets.token_bytes(_KEY_BYTES)
        try:
            self.key_file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(self.key_file, error) from None
        try:
            _write(self.key_file, _text(key).encode() + b"\n", os.link)  # fails where another process was first
        except FileExistsError:
            found = self._key()
            return found if found is not None else key
        return key

    def _no_key(self) -> CredentialsError:
        message = (
            f"There is no master key: set {KEY_VARIABLE} to 32 random bytes in base64, or put the key back into {self.key_file} "
            f"(mode 600). Where it is lost, remove the credentials and set them again."
        )
        return CredentialsError("NO_KEY", message)

    @staticmethod
    def _replace(temporary: Path, file: Path) -> None:
        temporary.replace(file)


def masked(name: str) -> str:
    """A user name that only its owner recognises: its first and last letter, or nothing of a short one."""
    return f"{name[0]}***{name[-1]}" if len(name) > 4 else "***"


def _associated(header: Mapping[str, Any], account: str) -> bytes:
    """What the secret part is bound to. The account is the one that was asked for, whatever the file says."""
    return json.dumps({**header, "account": account}, sort_keys=True, separators=(",", ":")).encode()


def _key_id(key: bytes) -> str:
    """Tells keys apart without telling anything of them: they are random."""
    return hashlib.blake2b(key, digest_size=8, person=b"eventrouter-key").hexdigest()


def _decoded(text: bytes, place: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        message = f"{place} holds no master key: it must be 32 random bytes in base64, as of `openssl rand -base64 32`."
        raise CredentialsError("BAD_KEY", message)
    return key


def _write(file: Path, data: bytes, place: Callable[[Path, Path], None]) -> None:
    """Writes a file of mode 0600 whole or not at all. Raises FileExistsError where `place` does."""
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=".", dir=file.parent)  # 0600
        temporary = Path(name)
        with os.fdopen(handle, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        place(temporary, file)
        _sync_directory(file.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise _unusable(file, error) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _damaged(account: str) -> CredentialsError:
    message = (
        f"The credentials of account {account} are damaged, or were moved here from another account: "
        f"run eventrouter credentials set {account}."
    )
    return CredentialsError("DAMAGED", message)


def _unusable(file: Path, error: OSError) -> CredentialsError:
    return CredentialsError("UNUSABLE", f"{file} cannot be used: {error.strerror or error}.")
