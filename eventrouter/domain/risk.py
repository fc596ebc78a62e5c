"""The risk gate: every check that an entry must pass before it is sent. Read CHECKS at the end first; their order is theirs.

It fails closed: a figure that is missing or not a number, and a check that breaks, are denials. What closes or reduces
passes whatever the state is; how much it may close is not decided here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar

from eventrouter.domain.balances import drawdown_floor
from eventrouter.domain.denials import EXACT, Denial, Denied, figure, plain
from eventrouter.domain.instruments import PRODUCTS, ContractSize, family_of
from eventrouter.domain.risk_inputs import AccountState, Automation, Proposal, RiskLimits, Standing

MINUTE = timedelta(minutes=1)
CLOCK_TOLERANCE = timedelta(seconds=5)
Known = TypeVar("Known")
_OPPOSITE = MappingProxyType({"LONG": "SHORT", "SHORT": "LONG"})


class Decision(StrEnum):
    """What the gate says."""

    PASSED = "passed"
    HELD = "held"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer and everything that stood against the order; what decided comes first."""

    decision: Decision
    findings: tuple[Denial, ...] = ()

    @property
    def reason(self) -> Denial | None:
        """What decided; None for an order that passed."""
        return self.findings[0] if self.findings else None


Check = Callable[[Proposal, AccountState, RiskLimits, datetime], Denial | None]


def judge(proposal: Proposal, state: AccountState, limits: RiskLimits, now: datetime) -> Verdict:
    """Makes every check, so that the log has all that was wrong. A denial outweighs an approval that is missing."""
    if proposal.opening is False:
        return Verdict(Decision.PASSED)
    found = [finding for check in CHECKS if (finding := _made(check, proposal, state, limits, now)) is not None]
    denials = [finding for finding in found if not finding.held]
    if denials:
        return Verdict(Decision.DENIED, (*denials, *(finding for finding in found if finding.held)))
    return Verdict(Decision.HELD if found else Decision.PASSED, tuple(found))


def breaches(state: AccountState, limits: RiskLimits, now: datetime) -> tuple[Denial, ...]:
    """The loss limits, buffer included, that the account has reached: what it holds is to be closed.

    Figures that are not known breach nothing.
    """
    found = (_made(check, None, state, limits, now) for check in (_daily_loss, _drawdown))
    return tuple(finding for finding in found if finding is not None and finding.code in ("DAILY_LOSS", "DRAWDOWN"))


def _made(check: Callable[..., Denial | None], *about: object) -> Denial | None:
    name = check.__name__.lstrip("_")
    try:
        with localcontext(EXACT):
            return check(*about)
    except Denied as denied:
        detail = {**denied.denial.detail, "check": name}
        return Denial(denied.denial.code, f"The check {name} cannot be made: {denied.denial.message}", detail)
    except Exception as error:
        message = f"The check {name} broke and counts as failed: {type(error).__name__}: {str(error)[:200]}"
        return Denial("CHECK_FAILED", message, {"check": name})


def standing_denial(standing: Standing, ordered: str = "") -> Denial | None:
    """Why nothing may be opened at all, whatever the order is; None for an active account. `ordered`: by whom, when and why."""
    why = f" ({ordered})" if ordered else ""
    detail = {"standing": str(standing), **({"ordered": ordered} if ordered else {})}
    match standing:
        case Standing.ACTIVE:
            return None
        case Standing.REDUCING:
            return Denial("REDUCING", f"What is held is only closed; no entries until it is resumed{why}.", detail)
        case _:
            return Denial("HALTED", f"The account is {standing}; no entries until it is resumed{why}.", detail)


def _standing(proposal: Proposal, state: AccountState, limits: RiskLimits, now: datetime) -> Denial | None:
    return standing_denial(state.standing, state.ordered)


def _live(proposal: Proposal, state: AccountState, limits: RiskLimits, now: datetime) -> Denial | None:
    if proposal.mode == "dry" or (proposal.mode == "live" and limits.live is True):
        return None
    detail = {"mode": proposal.mode, "live": str(limits.live).lower()}
    return Denial("NOT_LIVE", "Nothing leaves for this account: that needs dry_run = false and live = true.", detail)


def _automation(proposal: Proposal, state: AccountState, limits: RiskLimits, now: datetime) -> Denial | None:
    if limits.automation == Automation.ALLOWED:
        return None
    if limits.automation == Automation.APPROVE_EACH:
        if proposal.approved is True:
            return None
        return Denial(
            "APPROVAL_NEEDED", "The firm wants a person to look at every entry; approve it or refuse it.", held=True
        )
    return Denial("AUTOMATION_PROHIBITED", "The firm prohibits orders by programs; the account only shows its signals.")


def _instrument(proposal: Proposal, state: AccountState, limits: RiskLimits, now: datetime) -> Denial | None:
    if not limits.instruments or proposal.root in limits.instruments:
        return None
    allowed = ", ".join(sorted(limits.instruments))
    message = f"The account may trade {allowed}; the order is for {proposal.root}."
    return Denial("INSTRUMENT_NOT_ALLOWED", message, {"root": proposal.root, "allowed": allowed})


def _window(proposal: Proposal, state: AccountState, limits: RiskLimits, now: datetime) -> Denial | None:
    local = limits.days.local(now)
    if not limits.windows or any(window.holds(local) for window in limits.windows):
        return None
    shown = ", ".join(str(window) for window in limits.windows)
    message = f"It is {local:%A %H:%M} in {limits.days.zone}; entries are allowed {shown}."
    return Denial("OUTSIDE_WINDOW", message, {"local": local.isoformat(), "windows": shown})


def _flat_by(proposal: Proposal, state: AccountState, limits: RiskLimits, now: datetime) -> Denial | None:
    if limits.flat_by is None:
        return None
    day = limits.days.of(now)
    cut_off = limits.days.flat_by(day, limits.flat_by, dict(limits.early_closes))
    if now < cut_off:
        return None
    local = limits.days.local(cut_off)
    message = (
        f"The account had to be flat by {local:%H:%M} in {limits.days.zone}; entries wait for the next trading day."
    )
    return Denial("PAST_FLAT_BY", message, {"day": day.isoformat(), "flat_by": cut_off.isoformat()})


def _age(proposal: Proposal, state: AccountState, limits: RiskLimits, now: datetime) -> Denial | None:
    """Where a person approves each entry, what counts is how long that person may take, if that is limited."""
    age = now - proposal.received_at
    if age < -CLOCK_TOLERANCE:
        message = f"The alert was received {-age.total_seconds():.1f} s from now; set this machine's clock."
        return Denial("CLOCK_WRONG", message, {"age_s": f"{age.total_seconds():.3f}"})
    limit = proposal.max_age
    if limits.automation == Automation.APPROVE_EACH and limits.approve_within is not None:
        limit = limits.approve_within
    if limit is None or age < limit:
        return None
    message = f"The entry is {age.total_seconds():.1f} s old; the limit is {limit.total_seconds():g} s."
    return Denial("TOO_OLD", message, {"age_s": f"{age.total_seconds():.3f}", "limit_s": f"{limit.total_seconds():g}"})


def _max_contracts(proposal: Proposal, state: AccountState, limits: RiskLimits, now: datetime) -> Denial | None:
    """Position + working + this, all sides added up, counted in micros so that nothing has to be divided."""
    quantity = figure("quantity", proposal.quantity, above=0)
    if limits.max_contracts is None:
        return None
    per_contract = figure("micros_per_contract", limits.micros_per_contract, least=1)
    most = figure("max_contracts", limits.max_contracts, least=0)
    held = sum((in_micros(e.root, e.quantity, per_contract) for e in _known(state.exposures, "exposures")), Decimal(0))
    this = in_micros(proposal.root, quantity, per_contract)
    if held + this <= most * per_contract:
        return None
    detail = {
        "held_and_working": plain(held / per_contract, 4),
        "this": plain(this / per_contract, 4),
        "max_contracts": plain(most),
    }
    message = (
        f"{detail['held_and_working']} contracts are held or working and this order adds {detail['this']}; "
        f"the account may have {detail['max_contracts']}."
    )
    return Denial("MAX_CONTRACTS", message, detail)


def in_micros(root: str, quantity: Decimal, per_contract: Decimal) -> Decimal:
    """How much a quantity counts for `max_contracts`, in micros; a root whose size is not known counts as a whole contract."""
    product = PRODUCTS.get(root)
    micro = product is not None and product.size == ContractSize.MICRO
    return figure("quantity", quantity, least=0) * (1 if micro else per_contract)


def _pace(proposal: Proposal, state: AccountState, limits: RiskLimits, now: datetime) -> Denial | None:
    if limits.max_orders_per_minute is None:
        return None
    most = limits.max_orders_per_minute
    recent = sum(now - at < MINUTE for at in _known(state.intents_at, "intents_at"))
    if recent < most:
        return None
    message = f"{recent} entries were sent within the last minute; the account may send {most}."
    return Denial("ORDERS_PER_MINUTE", message, {"last_minute": str(recent), "max_orders_per_minute": str(most)})


def _daily_loss(proposal: Proposal | None, state: AccountState, limits: RiskLimits, now: datetime) -> Denial | None:
    if limits.daily_loss is None:
        return None
    allowed = figure("daily_loss", limits.daily_loss, above=0) - figure("buffer", limits.buffer, least=0)
    if other_day := _other_day(state, limits, now):
        return other_day
    loss = _known(state.balances, "balances").day_loss()
    if loss < allowed:
        return None
    detail = {
        "day": limits.days.of(now).isoformat(),
        "loss": plain(loss),
        "daily_loss": plain(limits.daily_loss),
        "buffer": plain(limits.buffer),
        "allowed": plain(allowed),
    }
    message = (
        f"The trading day {detail['day']} has lost {detail['loss']}; "
        f"the limit is {detail['daily_loss']}, and with the buffer of {detail['buffer']} entries stop at {detail['allowed']}."
    )
    return Denial("DAILY_LOSS", message, detail)


def _drawdown(proposal: Proposal | None, state: AccountState, limits: RiskLimits, now: datetime) -> Denial | None:
    if limits.drawdown is None:
        return None
    balances = _known(state.balances, "balances")
    buffer = figure("buffer", limits.buffer, least=0)
    floor, equity = drawdown_floor(limits.drawdown, balances), balances.equity()
    if equity > floor + buffer:
        return _other_day(state, limits, now)
    detail = {
        "trail": limits.drawdown.trail.value,
        "equity": plain(equity),
        "floor": plain(floor),
        "buffer": plain(buffer),
        "stopped_at": plain(floor + buffer),
    }
    message = (
        f"Equity is {detail['equity']}; the {detail['trail']} drawdown floor is {detail['floor']}, "
        f"and with the buffer of {detail['buffer']} entries stop at {detail['stopped_at']}."
    )
    return Denial("DRAWDOWN", message, detail)


def _other_day(state: AccountState, limits: RiskLimits, now: datetime) -> Denial | None:
    """Figures of yesterday know neither where today started nor how high yesterday closed."""
    today, counted = limits.days.of(now), _known(state.day, "day")
    if counted == today:
        return None
    message = f"The account's figures are of {counted.isoformat()}; the trading day is {today.isoformat()}."
    return Denial("OTHER_DAY", message, {"day": counted.isoformat(), "trading_day": today.isoformat()})


def _opposite_side(proposal: Proposal, state: AccountState, limits: RiskLimits, now: datetime) -> Denial | None:
    """Also on the account itself: a reversal opens only when its account is flat, as the broker nets it."""
    opposite = _OPPOSITE.get(proposal.side)
    if opposite is None:
        message = f"The side is {str(proposal.side)[:40]!r}; it must be LONG or SHORT."
        return Denial("SIDE_WRONG", message, {"side": str(proposal.side)[:40]})
    if not limits.no_opposite_side:
        return None
    family = family_of(proposal.root)
    own = _known(state.exposures, "exposures")
    for other in (*own, *_known(state.owner_exposures, "owner_exposures")):
        held = figure("quantity", other.quantity, least=0)
        if family_of(other.root) == family and other.side != proposal.side and held > 0 and not other.offset:
            message = (
                f"{other.account} {'itself' if other in own else 'of the same owner'} is {other.side} {plain(held)} {other.root}; "
                f"{proposal.side} {proposal.root} would be its opposite."
            )
            detail = {"account": other.account, "side": other.side, "root": other.root, "quantity": plain(held)}
            return Denial("OPPOSITE_SIDE", message, {**detail, "family": family})
    return None


def _price(proposal: Proposal, state: AccountState, limits: RiskLimits, now: datetime) -> Denial | None:
    if limits.max_price_off is None and proposal.price is None:
        return None
    price = figure("price", proposal.price, above=0)
    if limits.max_price_off is None:
        return None
    most = figure("max_price_off", limits.max_price_off, least=0)
    last = figure("last_price", state.last_price, above=0)
    age = now - _known(state.last_price_at, "last_price_at")
    detail = {"price": plain(price), "last_price": plain(last), "age_s": f"{age.total_seconds():.3f}"}
    if not -CLOCK_TOLERANCE <= age <= limits.max_price_age:
        seconds, limit = f"{age.total_seconds():.0f}", f"{limits.max_price_age.total_seconds():g}"
        return Denial("PRICE_STALE", f"The last known price is {seconds} s old; the limit is {limit} s.", detail)
    if abs(price - last) * 100 <= most * last:
        return None
    off = plain(abs(price - last) * 100 / last, 2)
    message = f"The entry price {plain(price)} is {off} % off the last known price {plain(last)}; the limit is {plain(most)} %."
    return Denial("PRICE_OFF", message, {**detail, "off_percent": off, "max_price_off": plain(most)})


def _known(value: Known | None, name: str) -> Known:
    if value is None:
        raise Denied(Denial("STATE_UNKNOWN", f"{name} is not known.", {"name": name}))
    return value


CHECKS: tuple[Check, ...] = (
    _standing,
    _live,
    _automation,
    _instrument,
    _window,
    _flat_by,
    _age,
    _max_contracts,
    _pace,
    _daily_loss,
    _drawdown,
    _opposite_side,
    _price,
)
"""The order in which reasons count: what forbids everything first, then what forbids this order, then its size and money."""
