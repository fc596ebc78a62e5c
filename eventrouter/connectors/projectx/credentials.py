"""What a login needs. The key is shown nowhere: not by repr, not in a message, not in a log."""

from dataclasses import dataclass

from pydantic import SecretStr

from eventrouter.connectors.base import CredentialField

FIELDS = (
    CredentialField("user_name", "User name at the broker", secret=False),
    CredentialField("api_key", "API key, from the broker's settings page"),
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and the key that the broker's site made for it."""

    user_name: str
    api_key: SecretStr
