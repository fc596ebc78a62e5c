"""What the decision about entries reads of accounts, under their locks."""

from collections.abc import Sequence

from eventrouter.domain.account_facts import Facts, facts_of
from eventrouter.store.connect import Conn
from eventrouter.store.files import query


async def account_facts(
    conn: Conn,
    *,
    accounts: Sequence[str],
    owners: Sequence[str],
    others: Sequence[str],
    roots: Sequence[str],
    mode: str,
) -> Facts:
    """Locks accounts and owners until the transaction ends, waiting for whoever has them, and reads what is known then.

    `others` are read and not locked: further accounts of these owners. Call it inside a claim's transaction only.
    """
    values = {
        "accounts": list(accounts),
        "owners": list(owners),
        "others": list(others),
        "roots": list(roots),
        "mode": mode,
    }
    row = await (await conn.execute(query("account_facts"), values)).fetchone()
    return facts_of(row[0]) if row else Facts()
