"""Says every committed transition once: a log line for people, a counter and two histograms for Prometheus."""

from datetime import datetime

from eventrouter.domain.tasks import Status
from eventrouter.logs import get_logger
from eventrouter.metrics import Metrics

_log = get_logger("eventrouter.transitions")


def tell(
    metrics: Metrics,
    *,
    task: int,
    trade: str,
    account: str | None,
    attempt: int,
    prev: str | None,
    status: str,
    reason: str,
    received_at: datetime,
    at: datetime,
) -> None:
    """One transition of one task; `ms` is the time since its alert arrived."""
    age_s = max(0.0, (at - received_at).total_seconds())
    if prev != status:
        metrics.transitions.labels(prev or "", status).inc()
    if status == Status.SENDING:
        metrics.alert_to_sending_seconds.observe(age_s)
    elif status == Status.SUCCESS:
        metrics.alert_to_done_seconds.observe(age_s)
    if prev != status:
        if status == Status.ACCEPTED:
            metrics.accepted(task, at)
        elif prev == Status.ACCEPTED:
            metrics.ended(task, at, filled=status == Status.SUCCESS)
    moved = {"from": prev, "to": status}
    _log.info(
        "transition",
        task=task,
        trade=trade,
        account=account,
        attempt=attempt,
        **moved,
        reason=reason,
        ms=round(age_s * 1000, 1),
    )
