"""What the decision about entries reads of accounts: under their locks, or only to say what would be decided."""

from eventrouter.domain.account_facts import Facts, Question, facts_of
from eventrouter.store.connect import Conn
from eventrouter.store.files import query


async def account_facts(conn: Conn, question: Question, mode: str) -> Facts:
    """Locks accounts and owners until the transaction ends, waiting for whoever has them, and reads what is known then.

    `others` are read and not locked: further accounts of these owners. Call it inside a claim's transaction only.
    """
    return await _read(conn, "account_facts", question, mode)


async def known_facts(conn: Conn, question: Question, mode: str) -> Facts:
    """The same as it stands now, without a lock: it waits for nobody, nobody for it, and it may be otherwise in a moment."""
    return await _read(conn, "read_account_facts", question, mode)


async def _read(conn: Conn, name: str, question: Question, mode: str) -> Facts:
    values = {key: list(found) for key, found in question._asdict().items()}
    row = await (await conn.execute(query(name), {**values, "mode": mode})).fetchone()
    return facts_of(row[0]) if row else Facts()
