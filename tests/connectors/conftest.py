"""Connectors and the brokers they speak to."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from eventrouter.connectors.projectx import Credentials, ProjectXConnector, Timing
from eventrouter.connectors.projectx.hub import Pace
from tests.connectors.brokers import KEY, Rig, dryrun_rig, projectx_rig
from tests.connectors.wire import ACCOUNT, ACCOUNT_ID, Wire

RIGS = {"dryrun": dryrun_rig, "projectx": projectx_rig}
SIMULATED = ["projectx"]  # those whose broker is simulated, so that a test can see what it did

Connect = Callable[..., Awaitable[ProjectXConnector]]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """What it shows."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture(params=sorted(RIGS))
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """Every connector, open, with its broker."""
    async with RIGS[request.param]() as made:
        yield made


@pytest.fixture(params=SIMULATED)
async def traded(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """Every connector that has a simulated broker."""
    async with RIGS[request.param]() as made:
        yield made


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """A gateway that counts."""
    wire = Wire()
    await wire.start()
    yield wire
    await wire.stop()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens connectors to an address; they are closed at the end."""
    async with AsyncExitStack() as stack:

        async def connected(
            base_url: str, *, timing: dict[str, Any] | None = None, **settings: Any
        ) -> ProjectXConnector:
            times = {"hub": Pace(delay_s=lambda _: 0.0), "timeout_s": 30.0, **(timing or {})}
            connector = ProjectXConnector(
                Credentials("trader", SecretStr(KEY)),
                {ACCOUNT: str(ACCOUNT_ID)},
                **{"base_url": base_url, "hub_url": f"{base_url}/hubs/user", **settings},
                timing=Timing(**times),
            )
            await connector.open()
            stack.push_async_callback(connector.close)
            return connector

        yield connected


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """Files of a certificate for localhost that signs itself, and of its key."""
    x509 = pytest.importorskip("cryptography.x509")
    hashes = pytest.importorskip("cryptography.hazmat.primitives.hashes")
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, secret = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(chain), str(secret)
