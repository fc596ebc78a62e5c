"""The budget of requests, with a clock that a test moves."""

from hypothesis import given
from hypothesis import strategies as st

from eventrouter.connectors.projectx.budget import Budget
from tests.connectors.conftest import Clock


def spend(budget: Budget, number: int, *, urgent: bool) -> list[float]:
    """What so many requests were told."""
    return [budget.take(urgent=urgent) for _ in range(number)]


def test_the_brokers_limit_and_the_share_for_exits(clock: Clock) -> None:
    """Of 200 in a minute 50 are kept: 150 for everything, then only exits, then nothing."""
    budget = Budget(clock)
    assert spend(budget, 150, urgent=False) == [0.0] * 150
    assert budget.take(urgent=False) > 0
    assert spend(budget, 50, urgent=True) == [0.0] * 50
    assert budget.take(urgent=True) > 0


def test_exits_may_use_it_all(clock: Clock) -> None:
    """And leave nothing for others."""
    budget = Budget(clock)
    assert spend(budget, 200, urgent=True) == [0.0] * 200
    assert budget.take(urgent=True) > 0


def test_it_says_how_long_to_wait(clock: Clock) -> None:
    """Exactly so long, and a little less is too early."""
    budget = Budget(clock, most=3, window_s=60, kept=1)
    budget.take(urgent=False)
    clock.now += 20
    budget.take(urgent=False)
    assert budget.take(urgent=False) == 40
    assert budget.take(urgent=True) == 0
    assert budget.take(urgent=True) == 40
    clock.now += 39.5
    assert budget.take(urgent=True) == 0.5
    clock.now += 0.5
    assert budget.take(urgent=True) == 0
    assert budget.take(urgent=False) == 20


def test_a_refused_request_is_not_counted(clock: Clock) -> None:
    """Asking costs nothing."""
    budget = Budget(clock, most=2, window_s=60, kept=1)
    assert budget.take(urgent=False) == 0
    assert spend(budget, 50, urgent=False) == [60] * 50
    assert budget.take(urgent=True) == 0


def test_a_pause_holds_back_all_but_exits(clock: Clock) -> None:
    """And a shorter one later does not end it."""
    budget = Budget(clock)
    budget.pause(30)
    budget.pause(5)
    assert budget.take(urgent=False) == 30
    assert budget.take(urgent=True) == 0
    clock.now += 30
    assert budget.take(urgent=False) == 0


@given(st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=300))
def test_no_window_has_more_than_the_limit(requests: list[tuple[float, bool]]) -> None:
    """Over any 60 seconds, and never more than its share for what is not urgent; who waits as told is let in."""
    clock = Clock()
    budget = Budget(clock, most=10, window_s=60, kept=4)
    made: list[tuple[float, bool]] = []
    for pause_s, urgent in requests:
        clock.now += pause_s
        if (wait_s := budget.take(urgent=urgent)) > 0:
            clock.now += wait_s + 1e-9
            assert budget.take(urgent=urgent) == 0
        made.append((clock.now, urgent))
    for place, (at, urgent) in enumerate(made):
        window = [each for each, _ in made[: place + 1] if at - 60 < each]
        assert len(window) <= (10 if urgent else 6)


def test_what_can_wait_leaves_a_share_for_entries(clock: Clock) -> None:
    """Of 150 that are not kept for exits, reading the books leaves 50: twenty accounts are read, and an alert still goes out."""
    budget = Budget(clock)
    assert [budget.take(urgent=False, spared=50) for _ in range(100)] == [0.0] * 100
    assert budget.take(urgent=False, spared=50) > 0
    assert spend(budget, 50, urgent=False) == [0.0] * 50
    assert budget.take(urgent=False) > 0
    assert spend(budget, 50, urgent=True) == [0.0] * 50
