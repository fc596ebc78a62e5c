"""The logins of simulated brokers, stored as `credentials set` stores them."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from eventrouter.credentials import KEY_VARIABLE, CredentialStore
from eventrouter.simulator import Settings

MASTER_KEY_NAME = KEY_VARIABLE
MASTER_KEY = base64.b64encode(bytes(range(32))).decode()


def store_keys(directory: Path, logins: Sequence[str], api_key: str = "") -> None:
    """The simulated broker's only user, as the login of each of these accounts; `api_key` where it is not the usual one."""
    known = Settings()
    stored = CredentialStore(directory, environ={MASTER_KEY_NAME: MASTER_KEY})
    for name in logins:
        stored.put(
            name, "projectx", {"user_name": known.user, "api_key": api_key or known.api_key}, now=datetime.now(UTC)
        )
