"""What the configuration means for a strategy's alerts and tasks, in the domain's terms."""

from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from eventrouter.config.accounts import AccountConfig
from eventrouter.config.routes import RouteConfig
from eventrouter.config.sections import Config
from eventrouter.config.values import parse_window
from eventrouter.domain.accounts import Account
from eventrouter.domain.balances import Drawdown, Trail
from eventrouter.domain.limits import Limits
from eventrouter.domain.risk_inputs import Automation, RiskLimits
from eventrouter.domain.rolls import RollPolicy
from eventrouter.domain.routing import Candidate, Route, RoutingTable
from eventrouter.domain.sizing import Contract, SizeBy, SizingRule
from eventrouter.domain.symbols import root_of
from eventrouter.domain.trading_day import TradingDays
from eventrouter.domain.understand import StrategyRules

ROUTES = "routes"
"""The kind and the name under which the routes are published."""


def account_of(account: AccountConfig) -> Account:
    """The account as the router knows it. `limits.live` is the account's; whether anything leaves says a task's mode too."""
    sizing = account.sizing
    return Account(
        name=account.name,
        connector=account.connector,
        enabled=account.enabled,
        broker_account=account.broker_account,
        login=account.login,
        url=account.url,
        hub_url=account.hub_url,
        firm=account.firm,
        owner=account.owner,
        currency=account.currency,
        balance=account.balance,
        sizing=SizingRule(
            SizeBy(sizing.by), Decimal(1) if sizing.value is None else sizing.value, Contract(sizing.contract)
        ),
        limits=limits_of(account),
        roll=RollPolicy(account.roll),
    )


def limits_of(account: AccountConfig) -> RiskLimits:
    """The account's rules for the risk gate. A simulated account may do everything that is not forbidden to it."""
    simulated = account.connector == "dryrun"
    drop = account.drawdown
    windows = (parse_window(text) for text in account.windows)
    return RiskLimits(
        days=TradingDays(account.timezone, time.fromisoformat(account.day_starts)),
        live=account.live,
        automation=Automation(account.automation or ("allowed" if simulated else "prohibited")),
        approve_within=None if account.approve_within is None else timedelta(seconds=account.approve_within),
        instruments=frozenset(map(root_of, account.instruments)),
        windows=tuple(window for window in windows if window is not None),
        flat_by=None if account.flat_by is None else time.fromisoformat(account.flat_by),
        early_closes=tuple(
            (date.fromisoformat(day), time.fromisoformat(at)) for day, at in sorted(account.early_closes.items())
        ),
        max_contracts=account.max_contracts,
        micros_per_contract=account.micros_per_contract,
        max_orders_per_minute=account.max_orders_per_minute,
        daily_loss=account.daily_loss,
        drawdown=None if drop is None else Drawdown(Trail(drop.trail), drop.amount, drop.stops_at),
        buffer=account.buffer,
        no_opposite_side=not simulated if account.no_opposite_side is None else account.no_opposite_side,
        max_price_off=account.max_price_off,
        max_price_age=timedelta(seconds=account.max_price_age),
    )


def rules_of(config: Config, strategy: str) -> StrategyRules:
    """How this strategy's alerts are understood."""
    settings = config.strategy(strategy)
    return StrategyRules(
        symbol=settings.symbol,
        quantity=settings.quantity,
        duplicate_window_s=settings.duplicate_window,
        max_age_s=settings.max_age or None,
        opposite=settings.opposite,
        limits=Limits(settings.symbols, settings.sides, settings.max_quantity or None, settings.alerts_per_minute),
    )


def table_of(config: Config) -> RoutingTable:
    """What planning reads, from the file alone: as if everything had been published, with version 0."""
    return RoutingTable(
        accounts=tuple(Candidate(account.name, account.enabled, account.owner) for account in config.accounts),
        routes=tuple(_route(config, route) for route in config.routes),
        chosen={each.name.casefold(): each.accounts for each in config.strategies if each.accounts},
        max_ages={each.name.casefold(): each.max_age or None for each in config.strategies},
    )


def published_rows(config: Config) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """What is published: kind ("account", "strategy", "routes") → name → body. JSON without secrets; amounts are text.

    A body has the keys of its table in the file; an account's has also what follows from its connector. There is one body
    of routes, {"routes": [{name, strategy, instruments, events, accounts, multiplier}]}, groups resolved.
    """
    return {
        "account": {account.name: _published(account, dry_run=config.router.dry_run) for account in config.accounts},
        "strategy": {
            each.name: each.model_dump(mode="json") | {"quantity": str(each.quantity or 1)}
            for each in config.strategies
        },
        ROUTES: {ROUTES: {ROUTES: [_published_route(config, route) for route in config.routes]}},
    }


def published_account(name: str, body: Mapping[str, Any]) -> Account | None:
    """The account that somebody published, as the router that claims it knows it; None where its settings cannot be read here."""
    settings = {key: value for key, value in body.items() if key != "mode"}
    try:
        return account_of(AccountConfig.model_validate({**settings, "name": name}, strict=False))  # amounts are text
    except ValidationError:
        return None


def _published(account: AccountConfig, *, dry_run: bool) -> dict[str, Any]:
    limits = limits_of(account)
    follows = {
        "mode": account_of(account).mode(dry_run=dry_run),
        "automation": str(limits.automation),
        "no_opposite_side": limits.no_opposite_side,
        "instruments": sorted(limits.instruments),
    }
    return account.model_dump(mode="json") | follows


def _published_route(config: Config, route: RouteConfig) -> dict[str, Any]:
    resolved = _route(config, route)
    return {
        "name": resolved.name,
        "strategy": resolved.strategy,
        "instruments": list(resolved.instruments),
        "events": list(resolved.events),
        "accounts": list(resolved.accounts),
        "multiplier": str(resolved.multiplier),
    }


def _route(config: Config, route: RouteConfig) -> Route:
    members = {group.name: group.accounts for group in config.groups}
    reached = (*route.accounts, *(account for group in route.groups for account in members[group]))
    return Route(
        name=route.name,
        accounts=tuple(dict.fromkeys(reached)),
        strategy=route.strategy,
        instruments=tuple(map(root_of, route.instruments)),
        events=route.events,
        multiplier=route.multiplier,
    )
