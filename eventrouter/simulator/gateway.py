"""A request's way: counted, its token and rate checked, met by armed faults, executed, and answered, or not."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from eventrouter.simulator import bodies, wire
from eventrouter.simulator.broker import Broker
from eventrouter.simulator.faults import (
    Armed,
    Cut,
    Deciding,
    Delay,
    Drop,
    Faults,
    Hide,
    Http,
    Partial,
    Refuse,
    RejectLater,
    RejectStop,
    Stall,
)
from eventrouter.simulator.orders import Shape
from eventrouter.simulator.rest import ENDPOINTS, Call, Endpoint
from eventrouter.simulator.sessions import RateLimit, Sessions

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class Gateway:
    """Serves /api. `requests` counts what arrived at each endpoint, whatever became of it."""

    broker: Broker
    sessions: Sessions
    limit: RateLimit
    faults: Faults = field(default_factory=Faults)
    requests: Counter[str] = field(default_factory=Counter)

    async def ping(self, _request: web.Request) -> web.Response:
        """GET /api/Status/ping."""
        return web.Response(text="pong")

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """POST /api/…"""
        name = request.match_info["endpoint"]
        endpoint = ENDPOINTS.get(name)
        if endpoint is None:
            return web.Response(status=404)
        self.requests[name] += 1
        token = token_of(request)
        user = None if endpoint.public else self.sessions.user_of(token)
        if user is None and not endpoint.public:
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        try:
            raw = wire.loads(await request.read() or b"{}")
            body = endpoint.body.model_validate(raw)
        except (ValueError, RecursionError) as wrong:
            return _problem(wrong)
        user = user or str(raw["userName"])
        if not self.limit.allows(user):
            return web.Response(status=429)
        wanted = body.filter if isinstance(body, bodies.OrderQuery) else body
        account, tag = getattr(wanted, "account_id", None), getattr(wanted, "custom_tag", None)
        met = self.faults.meet(name, account, tag)
        call = Call(self.broker, self.sessions, body, user, token, self._shape(met))
        return await self._perform(request, endpoint, call, met)

    async def _perform(
        self, request: web.Request, endpoint: Endpoint, call: Call, met: Sequence[Armed]
    ) -> web.StreamResponse:
        decided = next((each.fault for each in met if isinstance(each.fault, Deciding)), None)
        await _stalls(met, "before")
        if decided is not None and getattr(decided, "when", "after") == "before":
            return await _spoiled(request, endpoint, decided, {})
        self.broker.advance()
        answer = endpoint.answer(call)
        for armed in met:
            if isinstance(armed.fault, Hide) and armed.fault.seconds is None:
                armed.hidden += call.made
        await _stalls(met, "after")
        if decided is not None:
            return await _spoiled(request, endpoint, decided, answer)
        return web.json_response(answer, dumps=wire.dumps)

    def _shape(self, met: Sequence[Armed]) -> Shape:
        """What the shaping faults do to the order, in one."""
        now, shape = self.broker.now(), Shape()
        changes: dict[str, Any] = {}
        for fault in (each.fault for each in met):
            match fault:
                case Hide():
                    changes["hidden_until"] = _NEVER if fault.seconds is None else _after(now, fault.seconds)
                case RejectLater():
                    changes["rejected_from"] = _after(now, fault.seconds)
                case RejectStop():
                    changes["stop_rejected"] = True
                case Partial():
                    changes |= {"per_price": fault.contracts, "cancel_rest": fault.rest == "cancel"}
                case Delay():
                    changes["fills_from"] = _after(now, fault.seconds)
        return Shape(**changes) if changes else shape


def token_of(request: web.Request) -> str:
    """The bearer token of the header, or of the query, where a WebSocket client puts it."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else request.query.get("access_token", "")


def _after(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=seconds)


async def _stalls(met: Sequence[Armed], when: str) -> None:
    for armed in met:
        if isinstance(armed.fault, Stall) and armed.fault.when == when:
            await armed.stall()


async def _spoiled(
    request: web.Request, endpoint: Endpoint, fault: Deciding, answer: dict[str, Any]
) -> web.StreamResponse:
    """The answer that a fault decides."""
    match fault:
        case Refuse():
            return web.json_response(endpoint.refusal(fault.code, fault.message), dumps=wire.dumps)
        case Http():
            headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
            return web.Response(status=fault.status, headers=headers)
        case Cut():
            text = wire.dumps(answer)
            return web.Response(text=text[: len(text) // 2], content_type="application/json")
        case Drop():
            return await _dropped(request, wire.dumps(answer).encode(), midway=fault.when == "midway")


async def _dropped(request: web.Request, body: bytes, *, midway: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    if midway:
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _problem(wrong: Exception) -> web.Response:
    """ProblemDetails, as .NET answers a body that it cannot read."""
    errors: dict[str, list[str]] = {}
    if isinstance(wrong, ValidationError):
        for each in wrong.errors():
            errors.setdefault(".".join(str(part) for part in each["loc"]) or "$", []).append(each["msg"])
    else:
        errors["$"] = ["The body is not JSON."]
    body = {"title": "One or more validation errors occurred.", "status": 400, "errors": errors}
    return web.json_response(body, status=400, content_type="application/problem+json", dumps=wire.dumps)
