"""Every error that eventrouter raises on purpose. A message says what happened and what to do next."""


def one_line(error: BaseException) -> str:
    """What an error of a library says, without its line breaks."""
    return " ".join(str(error).split())


class EventrouterError(Exception):
    """Root of the tree. `exit_status` is what the command line ends with."""

    exit_status = 1


class ConfigError(EventrouterError):
    """The configuration or the usage is wrong; the message lists every fault with its key."""

    exit_status = 2


class SignalRefused(EventrouterError):
    """An alert that cannot become a signal: a code, a sentence for the trader, and the field at fault (or None).

    `status` is that of the answer over HTTP.
    """

    status = 422

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.field = field


class RequestWrong(EventrouterError):
    """A request to the operator's listener that cannot be read: status and code of the answer, a sentence, the field at fault (or None)."""

    def __init__(self, status: int, code: str, message: str, field: str | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.field = field


class IllegalTransition(EventrouterError):
    """A status change that the transition table does not know. `code` is that of the answer over HTTP."""

    code = "NOT_POSSIBLE"


class MovedOn(IllegalTransition):
    """What was decided about does not stand any more as whoever decided saw it."""

    code = "MOVED_ON"


class RetryRefused(IllegalTransition):
    """A task that is not sent again as it was asked: a code, what stands in the way, and what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ChangeWrong(EventrouterError):
    """A task cannot be sent again with such a change; the message says which."""

    exit_status = 2


class NotKnown(EventrouterError):
    """There is nothing of this name or id. `code` is that of the answer over HTTP."""

    code = "UNKNOWN"


class UnknownTask(NotKnown):
    """There is no task of this id."""

    code = "TASK_UNKNOWN"


class UnknownSignal(NotKnown):
    """There is no signal of this id."""

    code = "SIGNAL_UNKNOWN"


class UnknownAccount(NotKnown):
    """There is no account of this name."""

    code = "ACCOUNT_UNKNOWN"


class NothingToAdopt(EventrouterError):
    """Our positions are not known to differ from the broker's in the way that was to be adopted."""

    exit_status = 1


class ScopeWrong(EventrouterError):
    """A halt, resume or flattening is asked for something that there is not; the message says what there is."""

    exit_status = 2


class StoreError(EventrouterError):
    """Root of everything that can go wrong between us and Postgres."""


class StoreUnavailable(StoreError):
    """Postgres cannot be reached or did not answer in time; nothing is known to be stored. Try again later."""


class NoDatabase(StoreError):
    """There is no embedded database where the configuration says; only what runs or migrates makes one."""


class StoreBusy(StoreUnavailable):
    """More work is waiting for Postgres than may wait; nothing was stored. Try again later."""


class SpoolFull(StoreUnavailable):
    """Postgres is away and the spool has no room, on its disk or below its limit; nothing was stored. Try again later."""


class RowRefused(StoreError):
    """Postgres refused the values of this one row (a data or integrity error); repeating it cannot help."""


class TokensInUse(EventrouterError):
    """A strategy has as many valid tokens as it may have."""


class MigrationError(StoreError):
    """The database cannot be brought to this version's schema; nothing was changed."""


class SpoolError(EventrouterError):
    """The spool cannot be used: another process has it, or its directory cannot be written."""


class EmbeddedServerError(EventrouterError):
    """The embedded PostgreSQL cannot be started, adopted or stopped."""


class CredentialsError(EventrouterError):
    """A login's keys cannot be read or stored: a code, and a sentence that says what to run. Never holds a secret."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class BrokerError(EventrouterError):
    """Root of everything that can go wrong when a broker is asked something. Orders are answered, and never raise it."""


class BrokerUnavailable(BrokerError):
    """The broker cannot be reached, did not answer, or gave an answer that cannot be read; ask again later.

    `retry_after_s`: seconds until asking again can help, where that is known.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BrokerRefused(BrokerError):
    """The broker refuses the login or the question; asking again the same way cannot help. `status` is that of HTTP."""

    def __init__(self, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.status = status
