"""When a connection's circuit opens, what it lets through meanwhile, and when it closes."""

from eventrouter.domain.circuit import EXIT_EVERY_S, FIRST_PAUSE_S, LONGEST_PAUSE_S, TRIPS_AFTER, Allowance, Circuit


def failed(circuit: Circuit, times: int, now: float = 100.0) -> Circuit:
    """After so many failures at once, without jitter."""
    for _ in range(times):
        circuit = circuit.failed(now, "Refused.", 1.0)
    return circuit


OPEN = failed(Circuit(), TRIPS_AFTER)
AFTER = 100.0 + FIRST_PAUSE_S


def test_it_opens_after_failures_in_a_row() -> None:
    """One fewer, or an answer in between, and everything goes out."""
    almost = failed(Circuit(), TRIPS_AFTER - 1)
    assert almost.allowance(100.0) == Allowance()
    assert failed(almost.answered(), TRIPS_AFTER - 1).allowance(100.0) == Allowance()
    assert failed(almost.unclear(100.0, 1.0), 1).is_open
    assert OPEN.is_open
    assert OPEN.why == "Refused."


def test_during_the_pause_only_exits_go_one_by_one() -> None:
    """The next one after half a second; their failures do not make the pause longer."""
    assert OPEN.allowance(100.0) == Allowance(entries=False, sends=1, again_s=FIRST_PAUSE_S)
    sent = OPEN.sent(100.0, 1)
    assert sent.allowance(100.0) == Allowance(entries=False, sends=0, again_s=EXIT_EVERY_S)
    assert sent.allowance(100.0 + EXIT_EVERY_S).sends == 1
    assert failed(sent, 3).until == OPEN.until == AFTER


def test_one_probe_decides() -> None:
    """While it is out nothing else opens; its failure makes the next pause longer, an answer closes the circuit."""
    assert OPEN.allowance(AFTER) == Allowance(entries=True, sends=1)
    probing = OPEN.sent(AFTER, 1)
    assert probing.allowance(AFTER + 60).entries is False
    again = probing.failed(AFTER + 5, "Refused.", 1.0)
    assert again.until == AFTER + 5 + 2 * FIRST_PAUSE_S
    assert again.allowance(again.until).entries is True
    assert probing.answered() == Circuit()
    assert probing.unclear(AFTER + 5, 1.0).until == AFTER + 5 + 2 * FIRST_PAUSE_S


def test_the_pauses_have_a_longest() -> None:
    """However often it fails; jitter takes away at most half, and a broker's own time counts."""
    circuit = OPEN
    for _ in range(50):
        assert circuit.until is not None
        now = circuit.until
        circuit = circuit.sent(now, 1).failed(now, "Refused.", 0.0)
        assert FIRST_PAUSE_S / 2 <= (circuit.until or 0.0) - now <= LONGEST_PAUSE_S / 2
    assert circuit.until is not None
    now = circuit.until
    assert circuit.sent(now, 1).failed(now, "Later.", 0.0, 600.0).until == now + 600.0
