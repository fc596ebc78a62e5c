"""The rules that hold between sections. They are looked for in values that may still have wrong types, so that a file's
faults come all at once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from eventrouter.config.account_agreement import account_disagreements, login_disagreements, root_fault
from eventrouter.config.values import did_you_mean, number_in, shown

Fault = tuple[str, str]
Table = Mapping[str, Any]


def disagreements(values: Table) -> Iterator[Fault]:
    """Faults between sections and between the keys of one table as (key, sentence)."""
    accounts, groups, strategies, routes = (
        _tables(values, section) for section in ("accounts", "groups", "strategies", "routes")
    )
    router, server, database, access = (
        _table(values.get(section)) for section in ("router", "server", "database", "access")
    )
    if values.get("accounts") in ([], ()):
        yield "accounts", "at least one account is required"
    for section, tables in (("accounts", accounts), ("groups", groups), ("strategies", strategies), ("routes", routes)):
        yield from _repeated_names(section, tables)
    names = [str(account.get("name")) for account in accounts]
    yield from _unknown("router.accounts", router.get("accounts"), "account", names)
    yield from account_disagreements(accounts)
    yield from login_disagreements(accounts)
    yield from _groups(groups, names)
    yield from _strategies(strategies, names)
    yield from _routes(routes, strategies, names, [str(group.get("name")) for group in groups])
    if router.get("dry_run") is False and not any(_may_trade(account) for account in accounts):
        why = "nothing could leave this machine: no account has live = true and a connector other than dryrun"
        yield "router.dry_run", f"{why}; set router.dry_run = true"
    public, operator = str(server.get("public")), str(server.get("operator"))
    if public == operator and not public.endswith(":0"):
        yield "server.operator", "must differ from server.public"
    for key in ("admin_dsn", "listen_dsn"):
        if database.get(key) and not database.get("dsn"):
            yield f"database.{key}", "is of no use without database.dsn"
    if access.get("sso_header") and not server.get("trusted_proxies"):
        yield "access.sso_header", "is believed from nobody: name the proxy's address in server.trusted_proxies"
    if access.get("sso_role_header") and not access.get("sso_header"):
        yield "access.sso_role_header", "is of no use without access.sso_header"


def _may_trade(account: Table) -> bool:
    return account.get("live") is True and account.get("connector", "dryrun") != "dryrun"


def _groups(groups: Sequence[Table], accounts: Sequence[str]) -> Iterator[Fault]:
    taken = {name.casefold() for name in accounts}
    for index, group in enumerate(groups):
        key = f"groups[{index}]"
        if str(group.get("name")).casefold() in taken:
            yield f"{key}.name", "is an account's name too; give the group another one"
        if group.get("accounts") in ([], ()):
            yield f"{key}.accounts", "must name at least one account"
        yield from _unknown(f"{key}.accounts", group.get("accounts"), "account", accounts)


def _strategies(strategies: Sequence[Table], accounts: Sequence[str]) -> Iterator[Fault]:
    for index, strategy in enumerate(strategies):
        key = f"strategies[{index}]"
        yield from _unknown(f"{key}.accounts", strategy.get("accounts"), "account", accounts)
        if fault := root_fault(strategy.get("symbol"), sized=False):
            yield f"{key}.symbol", fault
        quantity, most = number_in(strategy.get("quantity")), number_in(strategy.get("max_quantity"))
        if quantity and most and quantity > most:
            yield (
                f"{key}.quantity",
                f"is more than max_quantity = {shown(most)}; every alert without one would be refused",
            )


def _routes(
    routes: Sequence[Table], strategies: Sequence[Table], accounts: Sequence[str], groups: Sequence[str]
) -> Iterator[Fault]:
    listed = [str(strategy.get("name")) for strategy in strategies]
    for index, route in enumerate(routes):
        key, strategy = f"routes[{index}]", route.get("strategy", "")
        if isinstance(strategy, str) and strategy and strategy.casefold() not in map(str.casefold, listed):
            hint = did_you_mean(strategy, listed) or "; add a block [[strategies]] for it"
            yield f"{key}.strategy", f"there is no strategy {shown(strategy) or 'of this name'}{hint}"
        instruments = route.get("instruments")
        for place, text in enumerate(instruments if isinstance(instruments, list | tuple) else ()):
            fault = None if not isinstance(text, str) or set(text) & set("*?[") else root_fault(text, sized=False)
            if fault:
                yield f"{key}.instruments[{place}]", fault
        if not route.get("accounts") and not route.get("groups"):
            yield f"{key}.accounts", "must name at least one account, or groups one group"
        yield from _unknown(f"{key}.accounts", route.get("accounts"), "account", accounts, others=groups)
        yield from _unknown(f"{key}.groups", route.get("groups"), "group", groups, others=accounts)


def _repeated_names(section: str, tables: Sequence[Table]) -> Iterator[Fault]:
    names = [str(table.get("name", f"#{index}")).casefold() for index, table in enumerate(tables)]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield f"{section}[{index}].name", "is used twice; upper and lower case count as the same"


def _unknown(
    key: str, listed: object, kind: str, names: Sequence[str], *, others: Sequence[str] = ()
) -> Iterator[Fault]:
    """Names that nothing of this kind has. `others` are those of the other kind, which may have been meant."""
    other = "groups" if kind == "account" else "accounts"
    for index, name in enumerate(listed if isinstance(listed, list | tuple) else ()):
        if not isinstance(name, str) or name in names:
            continue
        hint = f"; {name} belongs into {other}" if name in others else did_you_mean(name, names, cutoff=0.7)
        yield f"{key}[{index}]", f"there is no {kind} {shown(name) or 'of this name'}{hint}"


def _table(value: object) -> Table:
    return value if isinstance(value, Mapping) else {}


def _tables(values: Table, section: str) -> list[Table]:
    items = values.get(section)
    return [_table(item) for item in items] if isinstance(items, list | tuple) else []
