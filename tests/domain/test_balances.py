"""An account's money through a few days, and the floor that each kind of drawdown puts under it."""

from dataclasses import replace
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.domain.balances import Balances, Drawdown, Trail, drawdown_floor
from eventrouter.domain.denials import Denied

D = Decimal
NEW = Balances.opened(D(50000))


def test_three_days_of_an_account() -> None:
    """Up 800 at the high, closed 500 up; then 300 down, of which 100 open; each figure is worked out beside its step."""
    day = NEW.marked(D(800))  # equity 50800 is the highest ever; nothing is realised
    assert (day.equity(), day.day_loss(), day.highest_equity) == (D(50800), D(-800), D(50800))
    day = day.booked(D(500)).marked(D(0))  # 500 realised of it
    assert (day.equity(), day.day_loss(), day.highest_equity) == (D(50500), D(-500), D(50800))
    day = day.new_day()  # closed at 50500
    assert (day.day_start_balance, day.highest_close, day.day_loss()) == (D(50500), D(50500), D(0))
    day = day.booked(D(-200)).marked(D(-100))
    assert (day.equity(), day.day_loss()) == (D(50200), D(300))
    day = day.new_day()  # the balance, 50300, is the close; the highest one stays
    assert (day.day_start_balance, day.highest_close, day.highest_equity) == (D(50300), D(50500), D(50800))
    assert day.day_loss() == 100  # what was open over night counts today


FLOORS = [
    # trail, amount, stops at, balances, floor
    (Trail.STATIC, 5000, None, NEW, 45000),  # 90 % of 50000
    (Trail.STATIC, 5000, None, replace(NEW, highest_close=D(60000), highest_equity=D(70000)), 45000),
    (Trail.END_OF_DAY, 2000, None, NEW, 48000),
    (Trail.END_OF_DAY, 2000, None, replace(NEW, highest_close=D(51500)), 49500),
    (
        Trail.END_OF_DAY,
        2000,
        None,
        replace(NEW, highest_equity=D(56000), open_pnl=D(6000)),
        48000,
    ),  # not before the close
    (Trail.END_OF_DAY, 2000, 50000, replace(NEW, highest_close=D(53000)), 50000),  # 51000, but it stops at the start
    (Trail.END_OF_DAY, 2000, 50000, replace(NEW, highest_close=D(51000)), 49000),
    (Trail.END_OF_DAY, 2000, None, replace(NEW, highest_close=D(10)), 48000),  # never below where it began
    (Trail.INTRADAY, 2500, None, replace(NEW, highest_equity=D(52000)), 49500),
    (Trail.INTRADAY, 2500, 50100, replace(NEW, highest_equity=D(53000)), 50100),
    (Trail.INTRADAY, 2500, None, replace(NEW, highest_equity=D(51000), open_pnl=D(3000)), 50500),  # now is the peak
]


@pytest.mark.parametrize(("trail", "amount", "stops_at", "balances", "floor"), FLOORS)
def test_floors(trail: Trail, amount: int, stops_at: int | None, balances: Balances, floor: int) -> None:
    """Worked out by hand: what it trails, less the amount, not above where it stops."""
    rule = Drawdown(trail, D(amount), None if stops_at is None else D(stops_at))
    assert drawdown_floor(rule, balances) == floor


@pytest.mark.parametrize("bad", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_never_folded_in(bad: str) -> None:
    """A peak that is NaN would let everything pass for ever."""
    for step in (NEW.booked, NEW.marked, Balances.opened):
        with pytest.raises(Denied, match="NUMBER_WRONG"):
            step(D(bad))
    for name in ("balance", "open_pnl"):
        with pytest.raises(Denied, match="NUMBER_WRONG"):
            replace(NEW, **{name: D(bad)}).equity()
    for name in ("initial_balance", "balance", "highest_equity"):
        with pytest.raises(Denied, match="NUMBER_WRONG"):
            drawdown_floor(Drawdown(Trail.INTRADAY, D(1)), replace(NEW, **{name: D(bad)}))
    with pytest.raises(Denied, match="NUMBER_WRONG"):
        drawdown_floor(Drawdown(Trail.END_OF_DAY, D(1)), replace(NEW, highest_close=D(bad)))
    for rule in (Drawdown(Trail.STATIC, D(bad)), Drawdown(Trail.STATIC, D(1), D(bad))):
        with pytest.raises(Denied, match="NUMBER_WRONG"):
            drawdown_floor(rule, NEW)
    for name in ("highest_close", "balance"):
        with pytest.raises(Denied, match="NUMBER_WRONG"):
            replace(NEW, **{name: D(bad)}).new_day()
    with pytest.raises(Denied, match="NUMBER_WRONG"):
        replace(NEW, highest_equity=D(bad)).marked(D(0))
    with pytest.raises(Denied, match="NUMBER_WRONG"):
        replace(NEW, day_start_balance=D(bad)).day_loss()


def test_a_caller_cannot_change_the_arithmetic() -> None:
    """With two digits of precision 53,333 - 2,000 would be 51,000, and 333.33 would be lost in 50,000."""
    with localcontext(prec=2):
        peak = replace(NEW, highest_close=D(53333))
        assert drawdown_floor(Drawdown(Trail.END_OF_DAY, D(2000)), peak) == 51333
        assert NEW.booked(D("333.33")).marked(D(1)).day_loss() == D("-334.33")


steps = st.lists(
    st.tuples(st.sampled_from(["booked", "marked", "day"]), st.decimals("-3000", "3000", places=2)), max_size=40
)


@given(st.sampled_from(Trail), st.none() | st.just(D(50000)), steps)
def test_a_floor_never_comes_down(trail: Trail, stops_at: Decimal | None, taken: list[tuple[str, Decimal]]) -> None:
    """Through any days, marks and fills; and it never passes where it stops. Intraday it counts what was marked."""
    balances, rule = NEW, Drawdown(trail, D(2000), stops_at)
    floor = drawdown_floor(rule, balances)
    for step, amount in taken:
        balances = balances.new_day() if step == "day" else getattr(balances, step)(amount)
        balances = balances.marked(balances.open_pnl)
        higher = drawdown_floor(rule, balances)
        assert floor <= higher
        assert stops_at is None or higher <= stops_at
        floor = higher
