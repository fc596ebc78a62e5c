"""Keys at rest: what is stored, who can read it, and what each way of losing or changing it is answered with."""

import base64
import json
import os
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eventrouter.credentials import KEY_VARIABLE, MOST_BYTES, SYSTEMD_NAME, CredentialStore, masked
from eventrouter.errors import CredentialsError

CANARY = "key-that-nobody-may-see"
SECRET = {"user_name": "maria.lopez", "api_key": CANARY}
FIELDS = list(SECRET)
NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)
KEY, OTHER_KEY = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory in which nothing is yet."""
    return tmp_path / "home"


def store_in(home: Path, environ: Mapping[str, str] | None = None, **more: Any) -> CredentialStore:
    """A store that sees this environment only."""
    return CredentialStore(home / "credentials", environ=environ or {}, **more)


def put(store: CredentialStore, account: str = "one", **secret: str) -> bool:
    """Stores an account's login."""
    return store.put(account, "projectx", {**SECRET, **secret}, now=NOW)


def read(store: CredentialStore, account: str = "one") -> dict[str, str]:
    """An account's login in clear."""
    return {name: value.get_secret_value() for name, value in store.get(account, "projectx", FIELDS).items()}


def code(store: CredentialStore, account: str = "one") -> str:
    """Why an account's login cannot be read; no message holds a secret."""
    with pytest.raises(CredentialsError) as raised:
        read(store, account)
    assert CANARY not in str(raised.value)
    assert raised.value.__cause__ is None
    return raised.value.code


def mode(path: Path) -> int:
    """Who may do what."""
    return stat.S_IMODE(path.stat().st_mode)


def test_what_was_stored_is_read_back(home: Path) -> None:
    """By another store too, and a second login replaces the first."""
    put(store_in(home))
    assert read(store_in(home)) == SECRET
    put(store_in(home), api_key="another")
    assert read(store_in(home))["api_key"] == "another"


def test_files_are_private_and_hold_no_secret(home: Path) -> None:
    """Directories 0700, files 0600, no temporary file is left, and neither user name nor key stands in any."""
    before = os.umask(0)
    try:
        store = store_in(home)
        put(store)
        put(store, "two")
    finally:
        os.umask(before)
    assert mode(store.directory) == 0o700
    files = [path for path in home.rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["master.key", "one.credentials", "two.credentials"]
    for path in files:
        assert mode(path) == 0o600
        text = path.read_text()
        assert not any(value in text or base64.b64encode(value.encode()).decode() in text for value in SECRET.values())
    assert len({json.loads(path.read_text())["nonce"] for path in store.directory.iterdir()}) == 2


def test_no_nonce_is_used_twice(home: Path) -> None:
    """Storing the same again gives another nonce and another text."""
    store = store_in(home)
    seen = set()
    for _ in range(50):
        put(store)
        body = json.loads((store.directory / "one.credentials").read_text())
        seen.add((body["nonce"], body["secret"]))
        assert len(base64.b64decode(body["nonce"])) == 12
    assert len({nonce for nonce, _ in seen}) == len({secret for _, secret in seen}) == 50


# the master key


def test_the_key_is_made_on_first_use_and_kept(home: Path) -> None:
    """Once; the second account finds it."""
    store = store_in(home)
    assert put(store) is True
    made = store.key_file.read_text()
    assert len(base64.b64decode(made)) == 32
    assert put(store, "two") is False
    assert store.key_file.read_text() == made


def test_each_source_gives_the_key_and_the_first_one_counts(home: Path, tmp_path: Path) -> None:
    """The environment before the file before systemd; no key file is made where a key is."""
    systemd = tmp_path / "systemd"
    systemd.mkdir()
    (systemd / SYSTEMD_NAME).write_text(OTHER_KEY)
    given = {"CREDENTIALS_DIRECTORY": str(systemd)}
    assert put(store_in(home, given)) is False
    assert read(store_in(home, given)) == SECRET
    assert read(store_in(home, {KEY_VARIABLE: OTHER_KEY})) == SECRET
    assert not (home / "master.key").exists()
    file = tmp_path / "elsewhere"
    file.write_text(f"{KEY}\n")
    file.chmod(0o600)
    assert code(store_in(home, given, key_file=file)) == "WRONG_KEY"
    assert code(store_in(home, {**given, KEY_VARIABLE: KEY})) == "WRONG_KEY"
    put(store_in(home, given, key_file=file))
    assert read(store_in(home, {KEY_VARIABLE: KEY})) == SECRET


@pytest.mark.parametrize(
    "text", ["", "no base64!", base64.b64encode(bytes(31)).decode(), base64.b64encode(bytes(33)).decode()]
)
def test_what_is_no_key(home: Path, text: str) -> None:
    """A key of another length is none; the message names the place and not the text."""
    put(store_in(home))
    (home / "master.key").write_text(text)
    (home / "master.key").chmod(0o600)
    assert code(store_in(home)) == "BAD_KEY"
    if text:
        with pytest.raises(CredentialsError) as raised:
            put(store_in(home, {KEY_VARIABLE: text}))
        assert raised.value.code == "BAD_KEY"
        assert KEY_VARIABLE in str(raised.value)
        assert text not in str(raised.value)


@pytest.mark.parametrize("wide", [0o640, 0o604, 0o660, 0o666])
def test_a_key_file_that_others_may_read_is_refused(home: Path, wide: int) -> None:
    """For reading and for storing."""
    store = store_in(home)
    put(store)
    store.key_file.chmod(wide)
    assert code(store) == "KEY_FILE_OPEN"
    with pytest.raises(CredentialsError, match="chmod 600"):
        put(store)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_file_of_somebody_else_is_refused(home: Path) -> None:
    """It is not ours to trust."""
    store = store_in(home)
    put(store)
    os.chown(store.key_file, 12345, -1)
    assert code(store) == "KEY_FILE_OPEN"


def test_a_lost_key_is_not_replaced_by_a_new_one(home: Path) -> None:
    """What is stored would be lost for good; after removing it a new key is made."""
    store = store_in(home)
    put(store)
    store.key_file.unlink()
    assert code(store) == "NO_KEY"
    with pytest.raises(CredentialsError, match="There is no master key"):
        put(store, "two")
    assert [(each.account, each.fault is not None) for each in store.stored()] == [("one", True)]
    store.remove("one")
    assert put(store, "two") is True


def test_another_key_is_told_from_damage(home: Path) -> None:
    """The message says what to do."""
    put(store_in(home, {KEY_VARIABLE: KEY}))
    assert code(store_in(home, {KEY_VARIABLE: OTHER_KEY})) == "WRONG_KEY"


# what is stored


def test_no_credentials_says_what_to_run(home: Path) -> None:
    """Before anything is stored, and for another account after."""
    with pytest.raises(CredentialsError, match="eventrouter credentials set seven"):
        read(store_in(home), "seven")
    put(store_in(home))
    assert code(store_in(home), "seven") == "NO_CREDENTIALS"


def test_a_blob_moved_to_another_account_does_not_decrypt(home: Path) -> None:
    """Neither as it is, nor when its plain part is made to fit."""
    store = store_in(home)
    put(store)
    put(store, "two", api_key="the-key-of-two")
    one, two = (store.directory / f"{name}.credentials" for name in ("one", "two"))
    two.write_text(one.read_text())
    assert code(store, "two") == "DAMAGED"
    two.write_text(one.read_text().replace('"one"', '"two"'))
    assert code(store, "two") == "DAMAGED"
    assert read(store) == SECRET


@pytest.mark.parametrize("name", ["connector", "set_at", "nonce", "secret", "format", "key"])
def test_a_change_of_any_part_is_noticed(home: Path, name: str) -> None:
    """Plain or not."""
    store = store_in(home)
    put(store)
    file = store.directory / "one.credentials"
    body = json.loads(file.read_text())
    for change in (2, None, "", "AAAA", str(body[name])[::-1]):
        file.write_text(json.dumps({**body, name: change}))
        with pytest.raises(CredentialsError):
            read(store)
    file.write_text(json.dumps(body))
    assert read(store) == SECRET


def test_every_flipped_bit_of_the_secret_part_is_noticed(home: Path) -> None:
    """AES-GCM authenticates all of it."""
    store = store_in(home)
    put(store)
    file = store.directory / "one.credentials"
    body = json.loads(file.read_text())
    sealed = base64.b64decode(body["secret"])
    for place in range(len(sealed)):
        changed = bytes([*sealed[:place], sealed[place] ^ 1, *sealed[place + 1 :]])
        file.write_text(json.dumps({**body, "secret": base64.b64encode(changed).decode()}))
        assert code(store) == "DAMAGED"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', "[" * 100_000, "\x00"])
def test_a_file_that_is_none(home: Path, text: str) -> None:
    """An error with a code, whatever stands in it."""
    store = store_in(home)
    put(store)
    (store.directory / "one.credentials").write_text(text)
    assert code(store) == "DAMAGED"


def test_what_another_connector_stored_is_not_used(home: Path) -> None:
    """Nor what lacks a field."""
    store = store_in(home)
    put(store)
    with pytest.raises(CredentialsError) as raised:
        store.get("one", "tradovate", FIELDS)
    assert raised.value.code == "WRONG_CONNECTOR"
    with pytest.raises(CredentialsError) as raised:
        store.get("one", "projectx", [*FIELDS, "pin"])
    assert raised.value.code == "INCOMPLETE"


def test_a_directory_that_others_may_enter_is_not_used(home: Path) -> None:
    """Nothing is written into it."""
    store = store_in(home)
    put(store)
    store.directory.chmod(0o755)
    with pytest.raises(CredentialsError, match="chmod 700"):
        put(store, "two")
    assert [each.account for each in store.stored()] == ["one"]


@pytest.mark.parametrize("name", ["", "..", "../one", "a/b", ".hidden", "x" * 65, "a\0b"])
def test_a_name_that_could_lead_elsewhere(home: Path, name: str) -> None:
    """Is no account's, for any verb."""
    store = store_in(home)
    for verb in (lambda: put(store, name), lambda: read(store, name), lambda: store.remove(name)):
        with pytest.raises(CredentialsError) as raised:
            verb()
        assert raised.value.code == "BAD_NAME"


def test_too_long_credentials_are_refused(home: Path) -> None:
    """Before anything is written."""
    with pytest.raises(CredentialsError) as raised:
        put(store_in(home), api_key="x" * MOST_BYTES)
    assert raised.value.code == "TOO_LONG"
    assert not home.exists()


def test_a_failed_write_leaves_the_old_login(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole or not at all, and no temporary file stays."""
    store = store_in(home)
    put(store)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CredentialsError, match="No space left"):
        put(store, api_key="another")
    assert read(store) == SECRET
    assert [path.name for path in store.directory.iterdir()] == ["one.credentials"]


def test_listing_shows_no_secret(home: Path) -> None:
    """A masked name, and whether the present key decrypts it; objects show nothing either."""
    store = store_in(home)
    put(store)
    (found,) = store.stored()
    assert (found.account, found.connector, found.user, found.fault) == ("one", "projectx", "m***z", None)
    assert found.set_at == "2026-11-23T15:00:00+00:00"
    shown = repr([store, found, store.get("one", "projectx", FIELDS), store._read("one")])
    assert not any(value in shown for value in SECRET.values())
    assert list(store_in(home / "nowhere").stored()) == []


@pytest.mark.parametrize(
    ("name", "shown"), [("maria.lopez", "m***z"), ("bob", "***"), ("x", "***"), ("anna5", "a***5")]
)
def test_masked(name: str, shown: str) -> None:
    """A short name shows nothing."""
    assert masked(name) == shown


def test_removing_twice(home: Path) -> None:
    """The second time there is nothing."""
    store = store_in(home)
    put(store)
    store.remove("one")
    assert code(store) == "NO_CREDENTIALS"
    with pytest.raises(CredentialsError) as raised:
        store.remove("one")
    assert raised.value.code == "NO_CREDENTIALS"
