"""HTTP towards the provider: bounded in size and time, no redirects, errors as one sentence."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import httpx2

from bastion.errors import ConfigError, Fault, ProviderDown

MAX_RESPONSE: Final = 1024 * 1024
"""A hostile or broken provider must not fill our memory; key sets are a few KB."""

DEADLINE_SECONDS: Final = 15.0
"""For a whole exchange: a provider that sends a byte a second must not hold a login for ever."""

_OPERATION_SECONDS: Final = 10.0


class _TooLong(httpx2.ReadError):
    """The response went over MAX_RESPONSE."""


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for chunk in self._stream:
            seen += len(chunk)
            if seen > MAX_RESPONSE:
                raise _TooLong(f"more than {MAX_RESPONSE} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class BoundedTransport(httpx2.AsyncHTTPTransport):
    """Counts what a response sends, and asks for no compression (a bomb is small on the wire)."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; its response stream is bounded."""
        request.headers["accept-encoding"] = "identity"
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.ReadError("compressed although not asked for")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _BoundedStream(response.stream)
        return response


def transport(ca_file: str = "") -> BoundedTransport:
    """A transport that verifies TLS against the system's CAs, or those in `ca_file` alone."""
    try:
        return BoundedTransport(verify=ssl.create_default_context(cafile=ca_file or None))
    except OSError as error:  # SSLError is one
        fault = f"not a readable file of CA certificates: {error.strerror or error}"
        raise ConfigError([Fault(ca_file, fault)]) from None


TIMEOUT: Final = httpx2.Timeout(_OPERATION_SECONDS)


@asynccontextmanager
async def provider_errors(what: str, seconds: float | None = None) -> AsyncIterator[None]:
    """Turn every way an exchange can fail into ProviderDown, and hold it to the deadline."""
    seconds = DEADLINE_SECONDS if seconds is None else seconds
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise ProviderDown(
            f"The identity provider did not answer in {seconds:.0f} s ({what}); "
            "try again in a moment."
        ) from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise ProviderDown(
            f"The identity provider cannot be reached ({what}: {type(error).__name__}); "
            "try again in a moment."
        ) from None


async def get_json(
    client: httpx2.AsyncClient, url: str, what: str, headers: Mapping[str, str] | None = None
) -> Mapping[str, object]:
    """GET a JSON object; ProviderDown for anything else."""
    async with provider_errors(what):
        response = await client.get(url, headers={"accept": "application/json", **(headers or {})})
    return json_object(response, what)


def json_object(response: httpx2.Response, what: str) -> Mapping[str, object]:
    """The object in a 200 response; ProviderDown otherwise."""
    if response.status_code != httpx2.codes.OK:
        raise ProviderDown(
            f"The identity provider answered {response.status_code} for its {what}; "
            "tell the operator."
        )
    document = read_object(response.content)
    if not document:
        raise ProviderDown(f"The identity provider's {what} is not a JSON object.")
    return document


def read_object(data: bytes) -> Mapping[str, object]:
    """The JSON object in `data`; empty for anything else."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
