"""Runs tasks of one connection: claim, decide and record the intent in one commit; send once; record the outcome.

Talks to the store and to one connector. The commit of the intent is the line: before it a crash leaves PENDING, after it
the broker may have the order, and only an answer or a look-up moves the task on. Each connection has an executor and a
loop of its own, so that a broker which hangs delays nobody else. Nothing of a broker is awaited inside the claim's transaction.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import groupby

from eventrouter import failpoints
from eventrouter.changing import Clearer
from eventrouter.connection import Connection
from eventrouter.domain.clearing import Asker
from eventrouter.domain.decide import Send, decide
from eventrouter.domain.orders import Accepted, Rejected
from eventrouter.domain.tasks import Status
from eventrouter.ending import ended
from eventrouter.gatekeeper import Gatekeeper
from eventrouter.metrics import Metrics
from eventrouter.outcomes import Outcomes
from eventrouter.sending import acceptance_of, outcome_entry, send_once
from eventrouter.store import tasks as store
from eventrouter.store.connect import Pool


class Executor:
    """Takes work for the accounts of one connection and carries it to their broker.

    When something ended that others of the connection may have waited for, an outcome or a freed slot, it wakes the connection.
    """

    def __init__(
        self,
        pool: Pool,
        outcomes: Outcomes,
        connection: Connection,
        gatekeeper: Gatekeeper,
        *,
        name: str,
        batch_size: int,
        lease_s: float,
        metrics: Metrics,
    ) -> None:
        self._pool = pool
        self._outcomes = outcomes
        self._connection = connection
        self._gatekeeper = gatekeeper
        self._name = name
        self._batch_size = batch_size
        self._lease_s = lease_s
        self._metrics = metrics
        self._sending: set[asyncio.Task[None]] = set()
        self._asker = Asker(name)
        self._clearer = Clearer(pool, name=name, within_s=lease_s, on_change=connection.wake.set)
        self.in_flight = 0
        """Tasks that wait for the broker or for their outcome's commit."""
        self.claimed = 0
        """Tasks that were decided about so far."""

    async def turn(self) -> bool:
        """Claims and starts sending once if a slot is free; True when there may be more to claim."""
        slots = self._free_slots()
        return slots > 0 and await self._claim(slots) >= slots

    async def drain(self, grace_s: float) -> None:
        """Waits for what is in flight, at most `grace_s` seconds; what is left then is found by its lease."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=grace_s)
        await ended(self._sending)
        await self._clearer.drain(grace_s)

    @property
    def asking(self) -> int:
        """Working orders that the broker was asked to withdraw or to change, and has not answered; they take no slots."""
        return self._clearer.asking

    def _free_slots(self) -> int:
        # two batches: one is claimed while the other one's outcomes are committed
        most = self._connection.connector.capabilities.most_in_flight or 2 * self._batch_size
        return min(self._batch_size, most - self.in_flight)

    async def _claim(self, slots: int) -> int:
        whole_lanes = self._connection.connector.capabilities.lane_in_one_claim
        names = self._connection.account_names
        # from before the commit: the leases of the intents cannot end sooner
        send_until = time.monotonic() + self._lease_s
        depth, mode = slots if whole_lanes else 1, self._connection.mode
        may = self._connection.allowance()
        async with store.claim(self._pool, names, limit=slots, depth=depth, mode=mode, entries=may.entries) as claim:
            if claim.now is None:
                return 0
            if self._asker.since is None:
                self._asker = Asker(self._name, claim.now)
            gate = await self._gatekeeper.gate(claim, mode)
            decisions = decide(
                claim.due,
                now=claim.now,
                dry_run=mode == "dry",
                lease_s=self._lease_s,
                limit=slots,
                gate=gate,
                one_of_a_lane=not whole_lanes,
                most_sends=may.sends,
                asker=self._asker,
            )
            entries = [*decisions.others, *(send.entry for send in decisions.sends)]
            appended = await claim.record(self._name, entries, decisions.asked)
            if decisions.sends:
                failpoints.hit("claim.commit.before")
        if decisions.sends:
            failpoints.hit("claim.commit.after")
        # the intents are committed: from here on the orders may leave
        committed = time.monotonic()
        self.claimed += len(entries)
        # a row that an exit or a cancel adds to another task is told with its own trade and account, which are the other's
        concerned = {task_id: task for task in claim.due for task_id, _ in task.trade.unsent}
        concerned |= {order.task_id: task for task in claim.due for order in task.trade.working}
        concerned |= {task.id: task for task in claim.due}
        for entry in entries:
            self._outcomes.tell(entry, appended[entry.task_id], concerned[entry.task_id])
        asked = [clearing for clearing in decisions.cancels if clearing.task_id in appended]
        self._clearer.start(self._connection.connector, asked)
        self._connection.note_sent(len(decisions.sends))
        self._start_sending(decisions.sends, send_until, committed)
        self._gatekeeper.ask(gate, self._connection)
        return len(entries)

    def _start_sending(self, sends: Sequence[Send], send_until: float, committed: float) -> None:
        self._count(len(sends))
        for _, group in groupby(sorted(sends, key=lambda send: send.task.lane), key=lambda send: send.task.lane):
            sending = asyncio.create_task(self._send_lane(list(group), send_until, committed))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    def _count(self, sends: int) -> None:
        self.in_flight += sends
        self._metrics.in_flight.inc(sends)

    async def _send_lane(self, sends: Sequence[Send], send_until: float, committed: float) -> None:
        """Sends one lane's orders in order, and waits until their outcomes are committed."""
        recordings: list[asyncio.Task[None]] = []
        try:
            for send in sends:
                began = time.monotonic()
                self._metrics.phase_seconds.labels("sent").observe(began - committed)
                outcome = await send_once(self._connection.connector, send, send_until - began)
                took_s = time.monotonic() - began
                self._connection.note_outcome(outcome)
                entry = outcome_entry(send, outcome, datetime.now(UTC), took_s)
                acceptance = acceptance_of(send, outcome)
                recordings.append(asyncio.create_task(self._outcomes.record(entry, send.task, acceptance)))
                if isinstance(outcome, Accepted | Rejected):
                    recordings[-1].add_done_callback(partial(self._acknowledged, began))
                if entry.status == Status.UNKNOWN:
                    recordings[-1].add_done_callback(lambda _: self._connection.unknown.set())
            await asyncio.gather(*recordings)
            if any(send.order.action == "REDUCE" for send in sends):
                self._connection.on_reduced(sends[0].task.account)
        finally:
            for recording in recordings:
                recording.cancel()
            self._count(-len(sends))
            self._connection.wake.set()

    def _acknowledged(self, began: float, recording: asyncio.Task[None]) -> None:
        if not recording.cancelled() and recording.exception() is None:
            self._metrics.phase_seconds.labels("acknowledged").observe(time.monotonic() - began)
