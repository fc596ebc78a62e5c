"""What the configuration means for a strategy's alerts and tasks, in the domain's terms."""

from decimal import Decimal
from typing import Any

from eventrouter.config.sections import AccountConfig, Config
from eventrouter.domain.accounts import Account
from eventrouter.domain.limits import Limits
from eventrouter.domain.routing import Candidate, RoutingTable
from eventrouter.domain.understand import StrategyRules


def account_of(account: AccountConfig) -> Account:
    """The account as the router knows it."""
    return Account(account.name, account.connector, account.enabled)


def rules_of(config: Config, strategy: str) -> StrategyRules:
    """How this strategy's alerts are understood."""
    settings = config.strategy(strategy)
    most = Decimal(str(settings.max_quantity)) if settings.max_quantity else None
    return StrategyRules(
        symbol=settings.symbol,
        duplicate_window_s=settings.duplicate_window,
        max_age_s=settings.max_age or None,
        opposite=settings.opposite,
        limits=Limits(settings.symbols, settings.sides, most, settings.alerts_per_minute),
    )


def table_of(config: Config) -> RoutingTable:
    """The routing table as this configuration has it, as if it were published alone."""
    strategies = {strategy.name.casefold(): strategy for strategy in config.strategies}
    return RoutingTable(
        accounts=tuple(Candidate(account.name, account.enabled) for account in config.accounts),
        chosen={name: strategy.accounts for name, strategy in strategies.items() if strategy.accounts},
        max_ages={name: strategy.max_age or None for name, strategy in strategies.items()},
    )


def published_rows(config: Config) -> dict[str, dict[str, dict[str, Any]]]:
    """What is published of this configuration: kind → name → body, no secret among them."""
    return {
        "account": {a.name: a.model_dump(mode="json", exclude={"name"}) for a in config.accounts},
        "strategy": {s.name: s.model_dump(mode="json", exclude={"name"}) for s in config.strategies},
        "routes": {"routes": {"routes": []}},
    }
