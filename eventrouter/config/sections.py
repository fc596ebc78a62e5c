"""The sections of the configuration as frozen models, and the rules that hold between them."""

import difflib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    SecretStr,
    model_validator,
)

KNOWN_CONNECTORS = ("dryrun", "projectx")

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener binds: a host name or IP address without brackets, and a port (0 = any free one)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(value: object) -> Address:
    """The address in the text HOST:PORT, IPv6 in brackets. Raises ValueError."""
    if isinstance(value, Address):
        return value
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        good = _is_ip(host, version=6)
    else:
        good = _HOST.fullmatch(host) is not None
    if not (good and re.fullmatch("[0-9]{1,5}", port) and int(port) <= 65535):
        raise ValueError("must be HOST:PORT with a port from 0 to 65535, as in 127.0.0.1:8080 or [::1]:8080")
    return Address(host, int(port))


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """`; did you mean X?` for the nearest of the words, or nothing."""
    near = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def harmless(text: str) -> bool:
    """Whether a text may stand in a message: short, and too simple to hold an address or a connection string."""
    return re.fullmatch(r"[\w.,:\[\]\"' -]{0,60}", text) is not None


def shown(value: object) -> str:
    """A single value as it would stand in the file, or nothing where it might hold a secret."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    return f'"{value}"' if isinstance(value, str) and harmless(value) else ""


def _is_ip(text: str, version: int | None = None) -> bool:
    try:
        return ipaddress.ip_address(text).version == version or version is None
    except ValueError:
        return False


def _matching(pattern: str, sentence: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(sentence)
        return value

    return AfterValidator(check)


def _connector(value: str) -> str:
    if value not in KNOWN_CONNECTORS:
        raise ValueError(f"must be one of {', '.join(KNOWN_CONNECTORS)}")
    return value


def _dsn(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.startswith(("postgresql://", "postgres://")) and "=" not in text:
        raise ValueError('must be "postgresql://USER:PASSWORD@HOST:PORT/DATABASE" or "host=HOST dbname=DATABASE ..."')
    return value


def _directory(value: object) -> object:
    if value == "":
        raise ValueError("must not be empty; leave the key out for the usual place")
    try:
        return Path(value).expanduser() if isinstance(value, str) else value
    except RuntimeError:
        raise ValueError("starts with ~, but this user has no home directory") from None


def _host_name(value: str) -> str:
    bare = value.removeprefix("[").removesuffix("]")
    if not _is_ip(bare) and not _HOST.fullmatch(bare):
        raise ValueError("must be a host name or IP address, without a port")
    return bare.lower()


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        raise ValueError("must be an IP address or a network such as 10.0.0.0/8") from None
    return value


def _public_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or re.search(r"[@?#\s]", value):
        raise ValueError('must be like "https://alerts.example.com", without a user, a query or a fragment')
    return value.rstrip("/")


_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
Name = Annotated[str, _matching(_NAME, "must be 1 to 64 letters, digits, _ . or -, the first a letter or digit")]
Schema = Annotated[str, _matching("[a-z_][a-z0-9_]{0,62}", "must be 1 to 63 of a-z, 0-9 and _, the first no digit")]
Symbol = Annotated[str, _matching("[!-~]{1,64}", "must be 1 to 64 visible ASCII characters without spaces")]
Listen = Annotated[Address, BeforeValidator(parse_address), PlainSerializer(str)]
Dsn = Annotated[SecretStr, AfterValidator(_dsn)]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True, validate_default=True
    )


class RouterConfig(_Section):
    """`[router]`: how tasks are taken and sent. Times are in seconds."""

    dry_run: bool = True
    poll_interval: float = Field(default=2.0, gt=0, le=3600)
    batch_size: int = Field(default=20, ge=1, le=1000)
    lease: float = Field(default=30.0, ge=0.5, le=3600)
    grace: float = Field(default=10.0, ge=0, le=3600)
    accounts: tuple[str, ...] = Field(default=(), strict=False)


class ServerConfig(_Section):
    """`[server]`: the two HTTP listeners."""

    public: Listen = Address("127.0.0.1", 8080)
    operator: Listen = Address("127.0.0.1", 8081)
    allowed_sources: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(default=(), strict=False)
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(default=(), strict=False)
    max_requests: int = Field(default=1000, ge=1, le=100_000)
    max_connections: int = Field(default=2000, ge=1, le=100_000)
    operator_hosts: tuple[Annotated[str, AfterValidator(_host_name)], ...] = Field(default=(), strict=False)
    public_url: Annotated[str, AfterValidator(_public_url)] | None = None
    spool: bool = True
    spool_dir: Annotated[Path | None, BeforeValidator(_directory)] = Field(default=None, strict=False)


class DatabaseConfig(_Section):
    """`[database]`: where Postgres is (embedded without a dsn). `schema_name` is called `schema` in the file."""

    dsn: Dsn | None = None
    admin_dsn: Dsn | None = None
    listen_dsn: Dsn | None = None
    data_dir: Annotated[Path | None, BeforeValidator(_directory)] = Field(default=None, strict=False)
    schema_name: Schema = Field(default="public", alias="schema")  # BaseModel has a method `schema`
    pool_size: int = Field(default=5, ge=1, le=50)


class CredentialsConfig(_Section):
    """`[credentials]`: where the keys of logins are kept, encrypted, and the key that they are encrypted with."""

    dir: Annotated[Path | None, BeforeValidator(_directory)] = Field(default=None, strict=False)
    key_file: Annotated[Path | None, BeforeValidator(_directory)] = Field(default=None, strict=False)


class LogsConfig(_Section):
    """`[logs]`: `auto` is `console` on a terminal and `json` elsewhere."""

    format: Literal["auto", "console", "json"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class AccountConfig(_Section):
    """One of `[[accounts]]`: a broker account under a name of the user's choice."""

    name: Name
    connector: Annotated[str, AfterValidator(_connector)] = "dryrun"
    enabled: bool = True


class StrategyConfig(_Section):
    """One of `[[strategies]]`. Times are in seconds; `max_age` is for entries only; 0 = no limit, no window."""

    name: Name
    symbol: Symbol | None = None
    max_age: float = Field(default=60.0, ge=0, le=31_536_000)
    duplicate_window: float = Field(default=30.0, ge=0, le=86_400)
    opposite: Literal["refuse", "exit", "reverse"] = "refuse"
    symbols: tuple[str, ...] = Field(default=(), strict=False)
    sides: tuple[Literal["LONG", "SHORT"], ...] = Field(default=(), strict=False)
    max_quantity: float = Field(default=0, ge=0)
    alerts_per_minute: int = Field(default=0, ge=0, le=100_000)
    expect_every: float = Field(default=0, ge=0, le=31_536_000)
    accounts: tuple[str, ...] = Field(default=(), strict=False)


class Config(_Section):
    """The whole configuration, checked. Equal when the values are equal, wherever they were read from."""

    router: RouterConfig = RouterConfig()
    accounts: tuple[AccountConfig, ...] = Field(default=(AccountConfig(name="paper"),), strict=False, max_length=1000)
    strategies: tuple[StrategyConfig, ...] = Field(default=(), strict=False, max_length=1000)
    server: ServerConfig = ServerConfig()
    database: DatabaseConfig = DatabaseConfig()
    logs: LogsConfig = LogsConfig()
    credentials: CredentialsConfig = CredentialsConfig()

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
        return self

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


def disagreements(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Faults between sections as (key, sentence), in values that may still have wrong types."""
    accounts, strategies = _tables(values, "accounts"), _tables(values, "strategies")
    router, server, database = (_table(values.get(section)) for section in ("router", "server", "database"))
    if values.get("accounts") in ([], ()):
        yield "accounts", "at least one account is required"
    yield from _repeated_names("accounts", accounts)
    yield from _repeated_names("strategies", strategies)
    names = [str(account.get("name")) for account in accounts]
    yield from _unknown_accounts("router.accounts", router.get("accounts"), names)
    for index, strategy in enumerate(strategies):
        yield from _unknown_accounts(f"strategies[{index}].accounts", strategy.get("accounts"), names)
    if router.get("dry_run") is False and all(a.get("connector", "dryrun") == "dryrun" for a in accounts):
        why = "nothing could leave this machine: no account has a connector other than dryrun"
        yield "router.dry_run", f"{why}; set router.dry_run = true"
    public, operator = str(server.get("public")), str(server.get("operator"))
    if public == operator and not public.endswith(":0"):
        yield "server.operator", "must differ from server.public"
    for key in ("admin_dsn", "listen_dsn"):
        if database.get(key) and not database.get("dsn"):
            yield f"database.{key}", "is of no use without database.dsn"


def _repeated_names(section: str, tables: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    names = [str(table.get("name", f"#{index}")).casefold() for index, table in enumerate(tables)]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield f"{section}[{index}].name", "is used twice; upper and lower case count as the same"


def _unknown_accounts(key: str, listed: object, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for index, name in enumerate(listed if isinstance(listed, list | tuple) else ()):
        if isinstance(name, str) and name not in names:
            yield f"{key}[{index}]", f"there is no account {shown(name) or 'of this name'}{did_you_mean(name, names)}"


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _tables(values: Mapping[str, Any], section: str) -> list[Mapping[str, Any]]:
    items = values.get(section)
    return [_table(item) for item in items] if isinstance(items, list | tuple) else []
