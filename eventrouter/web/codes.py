"""The codes of error answers, by status, each with what to do about it. An alert's own codes are in domain/refusals.py."""

from collections.abc import Mapping
from types import MappingProxyType

CODES: Mapping[int, Mapping[str, str]] = MappingProxyType(
    {
        400: {
            "BAD_REQUEST": "The request is not what this address takes, such as a WebSocket without its handshake.",
            "NO_HTTP": "What came is no HTTP, or its headers are too large.",
            "FIELD_WRONG": "A parameter of the address holds something else than its meaning allows; the message says what is expected.",
            "POSITION_WRONG": "The position of the feed cannot be read; send one that it gave, or none.",
            "BODY_NOT_UTF8": "The body is not UTF-8 text.",
            "BODY_NOT_JSON": "The body is no JSON, or is nested too deeply.",
            "BODY_NOT_OBJECT": "The body is JSON, but no object.",
            "KEY_REPEATED": "A field stands twice in the body, or a parameter twice in the address; send one of the two.",
            "BODY_BROKEN": "The body does not arrive as its headers say.",
            "BODY_CODED": "The body is compressed, to the webhook in a way whose end could be missing unnoticed; send it as it is.",
        },
        401: {
            "LOGIN_NEEDED": "Sign in, or send Authorization: Bearer with a key.",
            "KEY_WRONG": "The key is not valid (any more); make one: eventrouter apikey add NAME.",
            "LOGIN_WRONG": "The name or the password is wrong, or the link was used already.",
            "TOKEN_UNKNOWN": "No strategy has the webhook token; make one: eventrouter token new STRATEGY.",
        },
        403: {
            "OPERATOR_ONLY": "Nobody can sign in yet, and this does not come from the machine itself; eventrouter user add NAME.",
            "ORIGIN_FOREIGN": "The request comes from another site's page.",
            "CSRF_WRONG": "The token X-CSRF-Token is missing or old; load the page again.",
            "ROLE_VIEW": "The role view may look, and change nothing.",
            "SOURCE_NOT_ALLOWED": "Alerts from this address are not taken; see [server] allowed_sources.",
        },
        404: {
            "NOT_FOUND": "There is no such address.",
            "TASK_UNKNOWN": "There is no task of this id.",
            "SIGNAL_UNKNOWN": "There is no signal of this id.",
            "ACCOUNT_UNKNOWN": "No account of this name is known.",
            "CONTROL_UNKNOWN": "There is no control of this id.",
            "ACTION_UNKNOWN": "There is no such action.",
        },
        405: {"METHOD_NOT_ALLOWED": "The address takes other methods; the header Allow names them."},
        408: {"BODY_SLOW": "The body did not arrive in time."},
        409: {
            "NOT_POSSIBLE": "The task's status does not allow it now; the message says what is possible.",
            "MOVED_ON": "It changed since the version that was sent, or at this moment; look again.",
            "NOT_CONFIRMED": "Money may move: send confirm with the task's id.",
            "TOO_OLD": "It would open something late; send even_if_old if it is still meant.",
            "WOULD_DOUBLE": "The trade holds, or its order may still fill, what this would open again; the message says what.",
            "NOT_RESOLVED": "It cannot be resolved so: it was executed, or is to be discarded; the message says which.",
            "STILL_WORKS": "An order of it works at the broker; cancel that one first.",
            "TOO_EARLY": "It was accepted less than a minute ago, and its fills may still come; look again.",
            "MODE_CHANGED": "It was made in dry mode and its account is live now, or the other way round; discard it.",
        },
        413: {"BODY_TOO_LARGE": "The body is larger than what is taken here; the message says how much that is."},
        415: {
            "JSON_ONLY": "Send Content-Type: application/json.",
            "FORM_ONLY": "Send a form, or application/json.",
        },
        417: {"EXPECTATION_FAILED": "The header Expect asks for something else than 100-continue; leave it out."},
        421: {"HOST_UNKNOWN": "The Host is no name of this service; add it to [server] operator_hosts."},
        422: {
            "FIELD_WRONG": "A field is missing, unknown, or holds something else than its meaning allows; the message says what is expected.",
            "SCOPE_WRONG": "scope is not all, account:NAME or strategy:NAME of something that is known.",
            "NOT_STORABLE": "The database refused a value of this request.",
        },
        429: {
            "TOO_MANY_GUESSES": "Too many wrong passwords; the header Retry-After says for how many seconds to wait."
        },
        503: {
            "STORE_UNAVAILABLE": "The database cannot be reached; nothing is known to be stored. Send it again.",
            "SPOOL_FULL": "The database is away and the spool is full; nothing was stored. Send it again.",
            "TOO_MANY": "Too many requests are being worked on already. Send it again.",
            "FAULT": "A fault of eventrouter; it is in its log. Send it again.",
        },
    }
)
"""Status → code → what to do."""
