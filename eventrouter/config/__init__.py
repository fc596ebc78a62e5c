"""Configuration: one frozen `Config`, read and checked by `load_config`."""

from eventrouter.config.loading import find_config_file, load_config
from eventrouter.config.sections import (
    KNOWN_CONNECTORS,
    AccountConfig,
    Address,
    Config,
    CredentialsConfig,
    DatabaseConfig,
    LogsConfig,
    RouterConfig,
    ServerConfig,
    StrategyConfig,
    parse_address,
)

__all__ = [
    "KNOWN_CONNECTORS",
    "AccountConfig",
    "Address",
    "Config",
    "CredentialsConfig",
    "DatabaseConfig",
    "LogsConfig",
    "RouterConfig",
    "ServerConfig",
    "StrategyConfig",
    "find_config_file",
    "load_config",
    "parse_address",
]
