"""The accounts that orders go to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """One broker account: its name in our configuration and the connector that speaks its broker's API."""

    name: str
    connector: str
    enabled: bool = True
