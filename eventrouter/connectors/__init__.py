"""One file or package per broker, one line here."""

from collections.abc import Callable, Mapping

from eventrouter.connectors import projectx
from eventrouter.connectors.base import ConnectionSettings, Connector, CredentialField
from eventrouter.connectors.dryrun import DryRunConnector
from eventrouter.connectors.projectx import ProjectXConnector

REGISTRY: dict[str, Callable[[ConnectionSettings], Connector]] = {
    "dryrun": DryRunConnector.of,
    "projectx": ProjectXConnector.of,
}
"""Name in the configuration → what makes a connector."""

CREDENTIAL_FIELDS: Mapping[str, tuple[CredentialField, ...]] = {
    "projectx": projectx.FIELDS,
}
"""Name in the configuration → what a login needs; a connector that is not here needs none."""
