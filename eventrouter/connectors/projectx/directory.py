"""Names and ids: which accounts a login has, and which contracts there are. Remembered for a while, asked anew after it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from eventrouter.connectors.projectx import answers
from eventrouter.connectors.projectx.contracts import Wanted, choose, wanted
from eventrouter.connectors.projectx.gateway import Gateway
from eventrouter.connectors.projectx.json_values import Unreadable, objects
from eventrouter.connectors.projectx.reading import account_of, contract_of
from eventrouter.domain.broker import BrokerAccount, Contract
from eventrouter.errors import BrokerError, BrokerRefused, BrokerUnavailable

ACCOUNTS_FRESH_S = 60.0  # an account that may not trade any more is asked for nothing for so long
CONTRACTS_FRESH_S = 600.0
_MOST_REMEMBERED = 500


class Unresolved(BrokerError):
    """The configured account is none, or more than one, of this login's."""


class Directory:
    """`names`: ours of the accounts, and the broker's name or id of each."""

    def __init__(
        self, gateway: Gateway, names: Mapping[str, str], clock: Callable[[], float], *, live_data: bool
    ) -> None:
        self._gateway = gateway
        self._names = dict(names)
        self._clock = clock
        self._live_data = live_data
        self._lock = asyncio.Lock()
        self._accounts: dict[str, BrokerAccount] = {}
        self._known: dict[str, BrokerAccount] = {}  # also those that the broker shows no more: they may hold something
        self._ours: dict[str, str] = {}
        self._accounts_until = float("-inf")
        self._contracts: dict[str, tuple[Contract, float]] = {}

    async def account(self, name: str, *, urgent: bool = False) -> BrokerAccount:
        """The account of our name. What closes is content with an old answer. Raises Unresolved, BrokerError."""
        if name not in self._names:
            raise Unresolved(f"This login has no account {name!r} in the configuration.")
        if urgent and name in self._known:
            return self._known[name]
        async with self._lock:
            if self._clock() >= self._accounts_until:
                await self._ask(urgent=urgent)
        if name not in self._accounts:
            raise Unresolved(
                f"The broker shows no account, or several, with the name or id {self._names[name]!r} to this login."
            )
        return self._accounts[name]

    async def accounts(self) -> Sequence[BrokerAccount]:
        """All accounts of the login, also those that have no name of ours."""
        async with self._lock:
            return await self._ask(urgent=False)

    async def ids(self) -> list[int]:
        """The broker's ids of the configured accounts that it shows."""
        if not self._accounts:
            await self.accounts()
        return sorted(int(account.id) for account in self._accounts.values())

    def name_of(self, account_id: str) -> str | None:
        """Our name of an account that was asked for before."""
        return self._ours.get(account_id)

    async def contract(self, symbol: str, *, urgent: bool = False) -> Contract | None:
        """What the symbol means. Raises BrokerError."""
        want = wanted(symbol)
        if want is None:
            return None
        known = self._contracts.get(symbol)
        # an id never means another contract, and what is held must be closed even when nothing can be asked
        if known is not None and (self._clock() < known[1] or (urgent and want.id is not None)):
            return known[0]
        found = await (self._by_id(want.id, urgent=urgent) if want.id else self._by_name(want, urgent=urgent))
        if found is not None:
            if len(self._contracts) >= _MOST_REMEMBERED:
                self._contracts.clear()
            self._contracts[symbol] = (found, self._clock() + CONTRACTS_FRESH_S)
        return found

    async def _ask(self, *, urgent: bool) -> list[BrokerAccount]:
        body = await self._gateway.read(answers.ACCOUNTS, {"onlyActiveAccounts": True}, urgent=urgent)
        try:
            shown = [account_of(item, None) for item in objects(body, "accounts")]
        except Unreadable as error:
            raise BrokerUnavailable(f"{answers.ACCOUNTS}: the answer cannot be read: {error}.") from None
        found = {name: [each for each in shown if wants in (each.id, each.name)] for name, wants in self._names.items()}
        ours = {each[0].id: name for name, each in found.items() if len(each) == 1}
        named = [
            BrokerAccount(each.id, each.name, ours.get(each.id), each.balance, each.can_trade, each.simulated)
            for each in shown
        ]
        self._ours |= ours
        self._accounts = {each.account: each for each in named if each.account is not None}
        self._known |= self._accounts
        self._accounts_until = self._clock() + ACCOUNTS_FRESH_S
        return named

    async def _by_id(self, contract_id: str, *, urgent: bool) -> Contract | None:
        try:
            body = await self._gateway.read(answers.CONTRACT_BY_ID, {"contractId": contract_id}, urgent=urgent)
        except BrokerRefused as refused:
            if refused.status == 200:
                return None
            raise
        try:
            contract = contract_of(objects({"contract": [body.get("contract")]}, "contract")[0])
        except Unreadable as error:
            raise BrokerUnavailable(f"{answers.CONTRACT_BY_ID}: the answer cannot be read: {error}.") from None
        return contract if contract.id == contract_id else None

    async def _by_name(self, want: Wanted, *, urgent: bool) -> Contract | None:
        """By the search, which shows at most 20; then, where nothing fits, by the list of all."""
        listed = await self._listed(answers.CONTRACT_SEARCH, {"searchText": want.text}, urgent=urgent)
        found = choose(listed, want)
        if found is None:
            found = choose(await self._listed(answers.CONTRACTS_AVAILABLE, {}, urgent=urgent), want)
        return found

    async def _listed(self, endpoint: str, query: dict[str, str], *, urgent: bool) -> list[Contract]:
        body = await self._gateway.read(endpoint, {**query, "live": self._live_data}, urgent=urgent)
        try:
            return [contract_of(item) for item in objects(body, "contracts")]
        except Unreadable as error:
            raise BrokerUnavailable(f"{endpoint}: the answer cannot be read: {error}.") from None
