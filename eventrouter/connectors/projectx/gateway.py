"""Reads and changes: token, budget, one POST, and what the answer means."""

from collections.abc import Callable, Mapping
from typing import Any

from eventrouter.connectors.projectx import answers
from eventrouter.connectors.projectx.answers import Means, Reply
from eventrouter.connectors.projectx.budget import Budget
from eventrouter.connectors.projectx.credentials import Credentials
from eventrouter.connectors.projectx.login import Login
from eventrouter.connectors.projectx.rest import Rest
from eventrouter.domain.orders import Answer, NotSent, Outcome, Unknown
from eventrouter.errors import BrokerError, BrokerUnavailable

MOST_BARS = 50
BARS_WINDOW_S = 31.0  # the broker counts 30 s
_TOO_MANY = 429
_PAUSE_S = 15.0  # after "too many requests"; the broker documents no Retry-After


class Gateway:
    """All requests of one login. What is `urgent` may use the share of the budget that is kept for exits."""

    def __init__(
        self,
        rest: Rest,
        credentials: Credentials,
        budget: Budget,
        clock: Callable[[], float],
        *,
        token_lifetime_s: float,
    ) -> None:
        self._rest = rest
        self._credentials = credentials
        self._budget = budget
        # the broker counts these by themselves
        self._bars_budget = Budget(clock, most=MOST_BARS, window_s=BARS_WINDOW_S, kept=0)
        self.login = Login(self._post, credentials, clock, lifetime_s=token_lifetime_s)

    def __repr__(self) -> str:
        return f"Gateway({self._rest!r})"

    async def read(
        self, endpoint: str, body: Mapping[str, Any], *, urgent: bool = False, spared: int = 0
    ) -> dict[str, Any]:
        """The answer to a question; once more with a new token when the broker refused the old one. `spared` as in Budget.

        Raises BrokerRefused, BrokerUnavailable.
        """
        token = await self.login.token(urgent=urgent)
        reply = await self._post(endpoint, body, token, urgent, spared)
        if answers.verdict(endpoint, reply).means is Means.SESSION_REFUSED:
            self.login.forget(token)
            token = await self.login.token(urgent=urgent)
            reply = await self._post(endpoint, body, token, urgent, spared)
        return answers.body_of(endpoint, reply)

    async def change(self, endpoint: str, body: Mapping[str, Any], *, urgent: bool, repeated: bool = False) -> Outcome:
        """What became of a request that changes something. It is posted once, whatever happens."""
        try:
            token = await self.login.token(urgent=urgent)
        except BrokerError as error:
            return NotSent(str(error), getattr(error, "retry_after_s", None))
        wait_s = self._budget.take(urgent=urgent)
        if wait_s > 0:
            return NotSent(_no_budget(wait_s), wait_s)
        try:
            reply = await self._rest.post(endpoint, body, token=token, secrets=self._secrets())
        except Exception as error:
            return answers.outcome_of_failure(error)
        _notice(self._budget, reply)
        if answers.verdict(endpoint, reply).means is Means.SESSION_REFUSED:
            self.login.forget(token)
        outcome = answers.outcome(endpoint, reply, repeated=repeated)
        if isinstance(outcome, Unknown) and reply.retry_after_s is not None:
            detail = {**(outcome.answer.detail or {}), "retry_after_s": reply.retry_after_s}
            return Unknown(Answer(outcome.answer.code, outcome.answer.body, detail), outcome.message)
        return outcome

    async def _post(
        self,
        endpoint: str,
        body: Mapping[str, Any] | None,
        token: str | None,
        urgent: bool,  # noqa: FBT001 - the type Post has no names
        spared: int = 0,
    ) -> Reply:
        budget = self._bars_budget if endpoint == answers.BARS else self._budget
        wait_s = budget.take(urgent=urgent, spared=0 if budget is self._bars_budget else spared)
        if wait_s > 0:
            raise BrokerUnavailable(_no_budget(wait_s), wait_s)
        try:
            reply = await self._rest.post(endpoint, body, token=token, secrets=self._secrets())
        except Exception as error:
            # from None: an error of the client carries its request, and that the token
            raise answers.unavailable(error) from None
        _notice(budget, reply)
        return reply

    def _secrets(self) -> list[str]:
        return [self._credentials.api_key.get_secret_value()]


def _notice(budget: Budget, reply: Reply) -> None:
    if reply.status == _TOO_MANY:
        budget.pause(reply.retry_after_s or _PAUSE_S)


def _no_budget(wait_s: float) -> str:
    return f"No request may be made for {wait_s:.1f} s: the broker's limit of requests is reached."
