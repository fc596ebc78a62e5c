"""Configuration: one frozen `Config`, read and checked by `load_config`."""

from eventrouter.config.accounts import KNOWN_CONNECTORS, AccountConfig, DrawdownConfig, GroupConfig, SizingConfig
from eventrouter.config.loading import find_config_file, load_config
from eventrouter.config.routes import RouteConfig, StrategyConfig
from eventrouter.config.sections import (
    AccessConfig,
    AlertsConfig,
    Config,
    CredentialsConfig,
    DatabaseConfig,
    LogsConfig,
    RouterConfig,
    ServerConfig,
)
from eventrouter.config.values import Address, parse_address

__all__ = [
    "KNOWN_CONNECTORS",
    "AccessConfig",
    "AccountConfig",
    "Address",
    "AlertsConfig",
    "Config",
    "CredentialsConfig",
    "DatabaseConfig",
    "DrawdownConfig",
    "GroupConfig",
    "LogsConfig",
    "RouteConfig",
    "RouterConfig",
    "ServerConfig",
    "SizingConfig",
    "StrategyConfig",
    "find_config_file",
    "load_config",
    "parse_address",
]
