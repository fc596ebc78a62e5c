"""Tamper evidence: seals the chains of history, and checks them: every row, every head, every seal, and what was sealed."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from eventrouter.domain.chain import ZERO, RawJson, Seal, head_bytes, row_hash
from eventrouter.domain.tasks import Violation
from eventrouter.store.connect import Conn, Pool, translated
from eventrouter.store.files import query
from eventrouter.store.history import MOST_VIOLATIONS, stream

Values = tuple[int | str | RawJson | None, ...]


@dataclass(slots=True)
class ChainReport:
    """What was counted and what is wrong; a violation that is no task's has the task id 0.

    `rows` of tasks' logs, accounts' logs and controls; `not_sealed`: log rows that are younger than the last seal; `latest`: that seal.
    """

    rows: int = 0
    seals: int = 0
    heads: int = 0
    not_sealed: int = 0
    latest: Seal | None = None
    violations: list[Violation] = field(default_factory=list)

    def found(self, task_id: int, rule: str, detail: str) -> None:
        """Notes what is wrong; of very much, the beginning."""
        if len(self.violations) < MOST_VIOLATIONS:
            self.violations.append(Violation(task_id, rule, detail))


async def seal(pool: Pool) -> int | None:
    """Seals what changed since the last seal; its id, or None where nothing did or another process is sealing.

    The first seal of a long history takes as long as reading it.
    """
    async with translated("seal"), pool.connection() as conn, conn.transaction():
        await conn.execute(query("long_statement"))
        row = await (await conn.execute(query("seal_history"))).fetchone()
    return row[0] if row else None


async def verify_chain(conn: Conn, against: Seal | None = None) -> ChainReport:
    """Checks all chains and seals in one snapshot. `conn` must be in autocommit.

    `against` is a seal that was kept elsewhere: it must still be in the chain of seals as it was.
    """
    report = ChainReport()
    async with translated("verify"), conn.transaction():
        await conn.execute(query("repeatable_read"))
        await _check_rows(report, _task_rows(conn), "task {}")
        async for task_id, version, seq in stream(conn, "heads_astray"):
            stands = f"its latest row is {seq}" if seq != version else "that row's hash is another one"
            report.found(task_id, "head_astray", f"the task stands at row {version}, but {stands}")
        await _check_rows(report, _account_rows(conn), "account log {}")
        await _check_rows(report, _control_rows(conn), "controls{}", numbered=False)
        digests = await _check_heads(report, conn)
        await _check_seals(report, conn, digests, against)
        row = await (await conn.execute(query("rows_not_sealed"))).fetchone()
        report.not_sealed = row[0] if row else 0
    return report


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a chain: whose chain, its task's id or 0, its place there, the hash that stands, and what that is taken over."""

    name: str
    task_id: int
    seq: int
    hash: bytes
    values: Values


async def _task_rows(conn: Conn) -> AsyncIterator[_Row]:
    async for task_id, seq, stands, *plain in stream(conn, "chained_logs"):
        values = (task_id, seq, *plain[:9], RawJson(plain[9]), *plain[10:])
        yield _Row(str(task_id), task_id, seq, stands, values)


async def _account_rows(conn: Conn) -> AsyncIterator[_Row]:
    async for name, seq, stands, account, mode, *plain, detail, state, at in stream(conn, "chained_account_logs"):
        values = (account, mode, seq, *plain, RawJson(detail), RawJson(state), at)
        yield _Row(name, 0, seq, stands, values)


async def _control_rows(conn: Conn) -> AsyncIterator[_Row]:
    async for number, stands, *plain in stream(conn, "chained_controls"):
        yield _Row("", 0, number, stands, (number, *plain))


async def _check_rows(report: ChainReport, rows: AsyncIterator[_Row], label: str, *, numbered: bool = True) -> None:
    """Computes each hash anew from its row and the hash that stands before it: so each fault is told once, where it is.

    `numbered`: seq runs 1, 2, 3 … in each chain.
    """
    last: _Row | None = None
    async for row in rows:
        report.rows += 1
        before = last if last is not None and last.name == row.name else None
        where = f"{label.format(row.name)}, row {row.seq}"
        after = before.seq if before else 0
        if numbered and row.seq != after + 1:
            report.found(row.task_id, "row_missing", f"{where} follows row {after}")
        elif row_hash(before.hash if before else ZERO, row.values) != row.hash:
            said = "its hash is not that of its content and the row before it: one of them was changed, removed or put there"
            report.found(row.task_id, "row_changed", f"{where}: {said}")
        last = row


async def _check_heads(report: ChainReport, conn: Conn) -> dict[int, tuple[int, bytes]]:
    """Whether what was sealed still stands. Returns each seal's number of heads and the digest over them."""
    digests: dict[int, tuple[int, bytes]] = {}
    number, count, digest = 0, 0, sha256()
    async for seal_id, kind, name, seq, sealed, stands in stream(conn, "all_sealed_heads"):
        if seal_id != number:
            number, count, digest = seal_id, 0, sha256()
        count += 1
        digest.update(head_bytes(kind, name, seq, sealed))
        digests[number] = (count, digest.digest())
        report.heads += 1
        if stands != sealed:
            task_id = int(name) if kind == "task" and name.isdecimal() else 0
            what = "is gone" if stands is None else "has another hash today"
            rule = "sealed_row_gone" if stands is None else "sealed_row_changed"
            report.found(
                task_id, rule, f"{kind} {name}, row {seq}, which seal {seal_id} sealed, {what}".replace(" ,", ",")
            )
    return digests


async def _check_seals(
    report: ChainReport, conn: Conn, digests: dict[int, tuple[int, bytes]], against: Seal | None
) -> None:
    """Whether the seals are one chain, each with the heads that it was made for, and hold the one kept elsewhere."""
    previous, expected, kept = ZERO, 1, against is None
    async for row in stream(conn, "all_seals"):
        each = _seal(row)
        report.seals += 1
        report.latest = each
        if each.id != expected:
            report.found(0, "seal_missing", f"seal {each.id} stands where seal {expected} was expected")
        elif each.previous != previous:
            report.found(0, "seal_changed", f"seal {each.id} follows another seal than the one before it")
        if each.computed() != each.hash:
            report.found(0, "seal_changed", f"seal {each.id}: its hash is not that of its content")
        if digests.pop(each.id, None) != (each.heads, each.digest):
            report.found(0, "seal_changed", f"seal {each.id}: the heads listed for it are not those that it sealed")
        if against is not None and each.id == against.id:
            kept = True
            if each != against:
                report.found(0, "seal_not_the_exported", f"seal {each.id} is another one than the exported file says")
        previous, expected = each.hash, each.id + 1
    for seal_id in digests:
        report.found(0, "seal_missing", f"heads are listed for seal {seal_id}, which is gone")
    if against is not None and not kept:
        report.found(0, "seal_missing", f"seal {against.id}, which was exported, is gone")


def _seal(row: Sequence[Any]) -> Seal:
    return Seal(*row)
