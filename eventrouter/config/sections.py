"""The sections of the configuration as frozen models: what may stand in config.toml."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, model_validator

from eventrouter.config.accounts import AccountConfig, GroupConfig
from eventrouter.config.agreement import disagreements
from eventrouter.config.routes import RouteConfig, StrategyConfig
from eventrouter.config.values import (
    Address,
    AlertKind,
    AlertUrl,
    Amount,
    Dsn,
    HeaderName,
    Listen,
    Real,
    Schema,
    Section,
    directory,
    host_name,
    network,
    web_address,
)


class RouterConfig(Section):
    """`[router]`: how tasks are taken and sent. Times are in seconds."""

    dry_run: bool = True
    poll_interval: Real = Field(default=2.0, gt=0, le=3600)
    batch_size: int = Field(default=20, ge=1, le=1000)
    lease: Real = Field(default=30.0, ge=0.5, le=3600)
    grace: Real = Field(default=10.0, ge=0, le=3600)
    accounts: tuple[str, ...] = Field(default=(), strict=False)


class ServerConfig(Section):
    """`[server]`: the two HTTP listeners."""

    public: Listen = Address("127.0.0.1", 8080)
    operator: Listen = Address("127.0.0.1", 8081)
    allowed_sources: tuple[Annotated[str, AfterValidator(network)], ...] = Field(default=(), strict=False)
    trusted_proxies: tuple[Annotated[str, AfterValidator(network)], ...] = Field(default=(), strict=False)
    max_requests: int = Field(default=1000, ge=1, le=100_000)
    max_connections: int = Field(default=2000, ge=1, le=100_000)
    operator_hosts: tuple[Annotated[str, AfterValidator(host_name)], ...] = Field(default=(), strict=False)
    public_url: Annotated[str, AfterValidator(web_address)] | None = None
    spool: bool = True
    spool_dir: Annotated[Path | None, BeforeValidator(directory)] = Field(default=None, strict=False)


class DatabaseConfig(Section):
    """`[database]`: where Postgres is (embedded without a dsn). `schema_name` is called `schema` in the file."""

    dsn: Dsn | None = None
    admin_dsn: Dsn | None = None
    listen_dsn: Dsn | None = None
    data_dir: Annotated[Path | None, BeforeValidator(directory)] = Field(default=None, strict=False)
    schema_name: Schema = Field(default="public", alias="schema")  # BaseModel has a method `schema`
    pool_size: int = Field(default=5, ge=1, le=50)


class CredentialsConfig(Section):
    """`[credentials]`: where the keys of logins are kept, encrypted, and the key that they are encrypted with."""

    dir: Annotated[Path | None, BeforeValidator(directory)] = Field(default=None, strict=False)
    key_file: Annotated[Path | None, BeforeValidator(directory)] = Field(default=None, strict=False)


class LogsConfig(Section):
    """`[logs]`: `auto` is `console` on a terminal and `json` elsewhere."""

    format: Literal["auto", "console", "json"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class AlertsConfig(Section):
    """`[alerts]`: whom to tell what happened, as apprise URLs; without any nobody is told. Times are in seconds."""

    urls: tuple[AlertUrl, ...] = Field(default=(), strict=False, max_length=20)
    urls_file: Annotated[Path | None, BeforeValidator(directory)] = Field(default=None, strict=False)
    off: tuple[AlertKind, ...] = Field(default=(), strict=False)
    severity: Literal["info", "warning", "error", "critical"] = "info"
    group: Real = Field(default=5.0, ge=0, le=3600)
    messages_per_minute: int = Field(default=6, ge=1, le=60)
    limit_near: Amount = Field(default=Decimal("0.8"), gt=0, le=1)
    down_for: Real = Field(default=10.0, ge=0, le=3600)
    timeout: Real = Field(default=10.0, ge=0.1, le=120)


class AccessConfig(Section):
    """`[access]`: who may look and act at the desk. Times are in seconds."""

    session_idle: Real = Field(default=43200.0, ge=60, le=31_536_000)
    session_lasts: Real = Field(default=604800.0, ge=60, le=31_536_000)
    metrics_from_loopback: bool = True
    sso_header: HeaderName | None = None
    sso_role_header: HeaderName | None = None
    sso_role: Literal["view", "operate"] = "view"


class Config(Section):
    """The whole configuration, checked. Equal when the values are equal, wherever they were read from."""

    router: RouterConfig = RouterConfig()
    accounts: tuple[AccountConfig, ...] = Field(default=(AccountConfig(name="paper"),), strict=False, max_length=1000)
    groups: tuple[GroupConfig, ...] = Field(default=(), strict=False, max_length=1000)
    strategies: tuple[StrategyConfig, ...] = Field(default=(), strict=False, max_length=1000)
    routes: tuple[RouteConfig, ...] = Field(default=(), strict=False, max_length=1000)
    server: ServerConfig = ServerConfig()
    database: DatabaseConfig = DatabaseConfig()
    logs: LogsConfig = LogsConfig()
    credentials: CredentialsConfig = CredentialsConfig()
    alerts: AlertsConfig = AlertsConfig()
    access: AccessConfig = AccessConfig()

    _source: str = PrivateAttr(default="built-in defaults")

    def model_post_init(self, context: Any) -> None:
        """Take the source that `load_config` passes along."""
        if context:
            self._source = context["source"]

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        faults = list(disagreements(self.model_dump(by_alias=True)))
        if faults:
            raise ValueError("; ".join(f"{key}: {sentence}" for key, sentence in faults))
        # Whoever uses another account's connection talks to the same machines, also where that account is not at hand.
        self.__dict__["accounts"] = tuple(self._connected(account) for account in self.accounts)
        return self

    def _connected(self, account: AccountConfig) -> AccountConfig:
        login = self.account(account.login)
        return account if login is None else account.model_copy(update={"url": login.url, "hub_url": login.hub_url})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and all(getattr(self, k) == getattr(other, k) for k in Config.model_fields)

    @property
    def source(self) -> str:
        """Where the file was, or "built-in defaults"; for messages."""
        return self._source

    def account(self, name: str) -> AccountConfig | None:
        """The account of exactly this name, enabled or not; None when it is not configured (any more)."""
        return next((account for account in self.accounts if account.name == name), None)

    def strategy(self, name: str) -> StrategyConfig:
        """The strategy of this name, case ignored; one that is not listed has the defaults."""
        listed = (strategy for strategy in self.strategies if strategy.name.casefold() == name.casefold())
        # An alert may bring any name, so the defaults come without the checks on it.
        return next(listed, None) or StrategyConfig.model_construct(name=name)

    def accounts_of(self, strategy: str) -> tuple[AccountConfig, ...]:
        """The enabled accounts that trade this strategy, in the order of the file; may be empty."""
        chosen = self.strategy(strategy).accounts
        return tuple(account for account in self.accounts if account.enabled and (not chosen or account.name in chosen))
