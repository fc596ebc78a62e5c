"""How a generated body is posted: whose token, where it stands, content type, encoding, and headers that nobody should send."""

import gzip
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from eventrouter.domain.parsers import MOST_BYTES
from tests.fuzz.bodies import Body

_CONTENT_TYPES = (
    *("application/json", "text/plain; charset=utf-8", "application/x-www-form-urlencoded", "multipart/form-data"),
    *("", "nonsense", "text/plain; charset=utf-16", "application/json; charset=klingon", "a/" + "b" * 600),
)
_USER_AGENTS = ("Go-http-client/1.1", "", "{{close}}", "Ünï", "x" * 700, "token=sEcr3t-9f2kQ77x")
_CODINGS = (None,) * 12 + ("gzip", "gzip-cut", "deflate", "deflate-broken", "deflate-cut", "identity", "utf-8")
_CODERS: Mapping[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
_PLACES = ("path",) * 15 + ("body", "body", "body", "both", "wrong", "none")


@dataclass(frozen=True, slots=True)
class Post:
    """One request. `place`: where the sender's token stands; `raw` is what arrives after the content coding is undone."""

    family: str
    place: str
    strategy: str
    token: str
    raw: bytes
    sent: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False

    @property
    def path(self) -> str:
        """The path and query."""
        named = {"path": f"/{self.token}", "both": f"/{self.token}?token={self.token}", "wrong": "/" + "A" * 32}
        return f"/webhook{named.get(self.place, '')}"

    @property
    def broken(self) -> bool:
        """Whether its content coding is not taken, or cannot be undone."""
        coding = self.headers.get("Content-Encoding")
        return coding == "gzip" or (coding == "deflate" and self.sent != zlib.compress(self.raw))

    @property
    def known(self) -> bool:
        """Whether it must be taken for an alert of its strategy."""
        if self.broken or len(self.raw) > MOST_BYTES:
            return False
        if self.place == "body":  # among many candidates the token need not be found
            return len(re.findall(rb"[\w-]{32}", self.raw)) < 8
        return self.place in ("path", "both")


def post_of(random: Random, body: Body, tokens: Mapping[str, str], number: int) -> Post:
    """A way to post this body. `tokens`: strategy → token. `number` is this post's own."""
    strategy = random.choice(sorted(tokens))
    place = random.choice(_PLACES)
    token = tokens[strategy]
    raw = _with_token(random, body.raw, token) if place in ("body", "both") else body.raw
    coding = random.choice(_CODINGS)
    headers = {"X-Request-Id": f"fuzz-{number}", "Content-Type": random.choice(_CONTENT_TYPES)}
    headers["User-Agent"] = random.choice((*_USER_AGENTS, f"sent with {token}"))
    if coding is not None:
        headers["Content-Encoding"] = coding if coding == "utf-8" else coding.partition("-")[0]
    sent = raw if coding in (None, "identity", "utf-8") else _CODERS[headers["Content-Encoding"]](raw)
    if coding == "deflate-broken":
        sent = b"\x78\x9c" + sent[2:][::-1]
    elif coding is not None and coding.endswith("-cut"):
        sent = sent[: random.randrange(len(sent))]
    return Post(body.family, place, strategy, token, raw, sent, headers, chunked=random.random() < 0.1)


def _with_token(random: Random, raw: bytes, token: str) -> bytes:
    """The body with the token at one of the places where senders put it."""
    for start, field_of in (
        (b"{", f'{{"token": "{token}", '),
        (b"%7B", f"%7B%22token%22%3A%22{token}%22%2C"),
        (b"key=", f"key={token};x="),
    ):
        if start in raw[:80] and random.random() < 0.9:
            return raw.replace(start, field_of.encode(), 1)
    if b"&" in raw:
        return f"token={token}&".encode() + raw
    return token.encode() + random.choice((b",", b"\n", b" ", b"|")) + raw


def odd_requests(token: str) -> Sequence[bytes]:
    """Requests as no client library would send them."""
    head = f"POST /webhook/{token} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
    lengths = b"Content-Length: 2\r\n"
    return (
        head + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}",
        head + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        head + b"Transfer-Encoding: gzip\r\n\r\n{}",
        head + b"Content-Length: -1\r\n\r\n{}",
        head + b"Content-Length: 1e3\r\n\r\n{}",
        head + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        head + lengths + b"Content-Encoding: deflate\r\n\r\n{}",
        head + lengths + b"Content-Type: \xff\xfe\r\nUser-Agent: \xc3\x28\r\n\r\n{}",
        head + lengths + b"X-Forwarded-For: \xed\xa0\x80, ::1, ,,\r\nDate: \x7f\r\n\r\n{}",
        head + lengths + b"User-Agent: " + b"a" * 9000 + b"\r\n\r\n{}",
        head + lengths + b"A: b\r\n" * 400 + b"\r\n{}",
        head + lengths + b"Expect: 100-continue\r\n\r\n{}",
        head + lengths + b"Expect: nonsense\r\n\r\n{}",
        head + lengths + b"No colon here\r\n\r\n{}",
        head + lengths + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n{}",
        head.replace(b"POST", b"GET") + b"\r\n",
        head.replace(b"POST", b"P\x00ST") + b"\r\n",
        head.replace(b"HTTP/1.1", b"HTTP/9.9") + b"\r\n",
        head.replace(b"/webhook/", b"//webhook/%00/..%2f") + lengths + b"\r\n{}",
        head.replace(b"/webhook/", b"http://x:99999/webhook/") + lengths + b"\r\n{}",
        head.replace(b"/webhook/", b"/webhook/%ff%fe\xff") + lengths + b"\r\n{}",
        head.replace(b"/webhook/", b"/webhook/" + b"a" * 9000) + lengths + b"\r\n{}",
        head.replace(b"Host: x\r\n", b"") + lengths + b"\r\n{}",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    )
