"""TLS before a fake: certificates made for one test, and a door that ends TLS and may break off within an answer."""

import asyncio
import os
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HERE: Final = "127.0.0.1"
_PIECE: Final = 65_536
# A fatal alert in plain text (record type 21, handshake_failure), where only ciphered records may come any more.
_ALERT: Final = bytes((0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28))


class Authority:
    """Vouches for certificates; whoever trusts `bundle` trusts them. Its files stay in `directory`."""

    def __init__(self, directory: Path, name: str = "authority of a test") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._signed(self._name, self._key, days=(-2, 2), alternative=None)
        self.bundle = directory / "trusted.pem"
        self.bundle.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def context(self, host: str = HERE, *, days: tuple[int, int] = (-1, 1)) -> ssl.SSLContext:
        """Of a server with a certificate for `host`, valid from and until so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._signed(_named(host), key, days=days, alternative=_alternative(host))
        chain = self._directory / f"{host}{days[0]}{days[1]}.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        chain.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        days: tuple[int, int],
        alternative: x509.SubjectAlternativeName | None,
    ) -> x509.Certificate:
        now = datetime.now(UTC)  # noqa: TID251 certificates are judged by the clock of the machine
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=alternative is None, path_length=None), critical=True)
        )
        if alternative is not None:
            builder = builder.add_extension(alternative, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def self_signed(directory: Path) -> ssl.SSLContext:
    """Of a server with a certificate for this machine that nobody vouches for."""
    stranger = directory / "stranger"
    stranger.mkdir()
    return Authority(stranger, "nobody").context()


class Mishap(StrEnum):
    """How an answer ends that the fake has given."""

    CLOSED = "closed"  # without a word of TLS
    ALERT = "alert"
    TORN = "torn"  # after half of it, by an alert


class TlsDoor:
    """Listens with TLS on a port of its own, and hands everything to the plain server at `url`.

    `entered` counts connections whose handshake was completed.
    """

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        parts = urlsplit(url)
        self._there = (parts.hostname or HERE, parts.port or 0)
        self._context = context
        self._mishap: tuple[Mishap, bytes] | None = None
        self._server: asyncio.Server | None = None
        self._inside: set[asyncio.Task[None]] = set()
        self.entered = 0

    async def __aenter__(self) -> "TlsDoor":
        self._server = await asyncio.start_server(self._enter, HERE, 0, ssl=self._context)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._hang_up()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"https://{HERE}:{self._server.sockets[0].getsockname()[1]}"

    async def change(self, context: ssl.SSLContext) -> None:
        """Every connection ends; those of the future meet another certificate, at the same address."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        await self._hang_up()
        self._context = context
        self._server = await asyncio.start_server(self._enter, HERE, port, ssl=context)

    def break_off(self, mishap: Mishap, request: str) -> None:
        """So ends the answer to the next request that has `request` in its first line."""
        self._mishap = (mishap, request.encode())

    async def _hang_up(self) -> None:
        if self._server is not None:
            self._server.close()
        inside = list(self._inside)
        for each in inside:
            each.cancel()
        await asyncio.gather(*inside, return_exceptions=True)

    def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.entered += 1
        serving = asyncio.ensure_future(self._serve(reader, writer))
        self._inside.add(serving)
        serving.add_done_callback(self._inside.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._there)
        armed: list[Mishap] = []

        async def ask() -> None:
            while piece := await reader.read(_PIECE):
                if self._mishap is not None and self._mishap[1] in piece.partition(b"\r\n")[0]:
                    armed.append(self._mishap[0])
                    self._mishap = None
                there_writer.write(piece)
                await there_writer.drain()

        async def answer() -> None:
            while piece := await there_reader.read(_PIECE):
                if armed:  # the fake has acted on it by now
                    await _break_off(writer, piece, armed[0])
                    return
                writer.write(piece)
                await writer.drain()

        both = [asyncio.ensure_future(each) for each in (ask(), answer())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            for side in (writer, there_writer):
                side.transport.abort()
                with suppress(OSError):
                    await side.wait_closed()


async def _break_off(writer: asyncio.StreamWriter, piece: bytes, mishap: Mishap) -> None:
    if mishap is Mishap.TORN:
        writer.write(piece[: len(piece) // 2])
        await writer.drain()
    if mishap is not Mishap.CLOSED:
        os.write(writer.get_extra_info("socket").fileno(), _ALERT)


def _named(host: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])


def _alternative(host: str) -> x509.SubjectAlternativeName:
    try:
        return x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))])
    except ValueError:
        return x509.SubjectAlternativeName([x509.DNSName(host)])
