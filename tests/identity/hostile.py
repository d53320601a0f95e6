"""A provider of our own on loopback that answers whatever a test wants: for what real ones never
say. It speaks HTTP over a socket, so all of the client is in play."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeySet, OKPKey, RSAKey

Reply = dict[str, Any] | bytes | tuple[int, dict[str, Any]]


@dataclass
class HostileProvider:
    issuer: str = ""
    replies: dict[str, Reply | Callable[[], Reply]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def discovery(self, **changes: object) -> dict[str, Any]:
        document = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "device_authorization_endpoint": f"{self.issuer}/device",
            "token_endpoint_auth_methods_supported": ["none"],
            **changes,
        }
        return {name: value for name, value in document.items() if value is not None}

    def publish(self, *keys: Key, **more: object) -> None:
        public = [{**key.as_dict(private=False), **more} for key in keys]
        self.replies["/jwks"] = {"keys": public}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1].decode().partition("?")[0]
            self.asked.append(path)
            reply = self.replies.get(path, (404, {}))
            reply = reply() if callable(reply) else reply
            if isinstance(reply, bytes):
                writer.write(reply)
            else:
                status, document = reply if isinstance(reply, tuple) else (200, reply)
                body = json.dumps(document).encode()
                writer.write(
                    f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n"
                    f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
                    + body
                )
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def hostile_provider() -> AsyncIterator[HostileProvider]:
    provider = HostileProvider()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.issuer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    provider.replies["/.well-known/openid-configuration"] = provider.discovery()
    async with server:
        yield provider


RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
OTHER_RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
KEYS = KeySet([RSA, EC, ED])


def signed(claims: dict[str, Any], key: Key = RSA, algorithm: str = "RS256", **header: Any) -> str:
    return jwt.encode(
        {"alg": algorithm, "kid": key.kid, **header}, claims, key, algorithms=[algorithm]
    )
