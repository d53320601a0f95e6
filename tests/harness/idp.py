"""Real OpenID Connect providers on loopback, and people who log in there.

async with nanoidp_server(tmp_path) as idp:
    idp.issuer, idp.client_id, idp.client_secret, idp.users
    await idp.approve_device(pending.complete_url, "alice")
"""

from __future__ import annotations

import abc
import asyncio
import html
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
import yaml

from tests.harness.node import node_modules

OIDC_PROVIDER = Path(__file__).parent / "oidc-provider"


@dataclass(frozen=True)
class Person:
    password: str
    groups: tuple[str, ...] = ()
    email: str = ""


PEOPLE: Mapping[str, Person] = {
    "alice": Person("alice-password", ("engineers", "oncall"), "alice@example.org"),
    "bob": Person("bob-password", ("approvers",), "bob@example.org"),
    "mallory": Person("mallory-password", (), "mallory@example.org"),
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class RunningProvider(abc.ABC):
    """A provider that answers. `stop` and `start` make it go away and come back."""

    issuer: str
    client_id: str
    client_secret: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    users: Mapping[str, Person] = field(default_factory=lambda: PEOPLE)
    program: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.program = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=self.log.parent,
            )
        await self._answers()

    async def _answers(self) -> None:
        url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        assert self.program is not None
        async with asyncio.timeout(30), httpx2.AsyncClient() as browser:
            while True:
                try:
                    if (await browser.get(url)).status_code == 200:
                        return
                except httpx2.HTTPError:
                    pass
                assert self.program.returncode is None, self.log.read_text()
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        if self.program is not None and self.program.returncode is None:
            self.program.terminate()
            try:
                async with asyncio.timeout(5):
                    await self.program.wait()
            except TimeoutError:
                self.program.kill()
                await self.program.wait()
        self.program = None

    async def approve_device(self, complete_url_or_code: str, user: str) -> None:
        """Be `user`, open the verification page and agree."""
        await self._decide_device(complete_url_or_code, user, agree=True)

    async def deny_device(self, complete_url_or_code: str, user: str) -> None:
        """Be `user`, open the verification page and refuse."""
        await self._decide_device(complete_url_or_code, user, agree=False)

    @abc.abstractmethod
    async def _decide_device(self, complete_url_or_code: str, user: str, *, agree: bool) -> None:
        """Decide as `user` at the verification page."""

    @abc.abstractmethod
    async def log_in(self, browser: httpx2.AsyncClient, url: str, user: str) -> httpx2.Response:
        """Open the authorization URL as `user`, agree; gives the redirect back, not followed."""


class Nanoidp(RunningProvider):
    async def _decide_device(self, complete_url_or_code: str, user: str, *, agree: bool) -> None:
        query = parse_qs(urlsplit(complete_url_or_code).query)
        form = {
            "user_code": query.get("user_code", [complete_url_or_code])[0],
            "username": user,
            "password": self.users[user].password,
            "action": "authorize" if agree else "deny",
        }
        async with httpx2.AsyncClient() as browser:
            page = await browser.post(f"{self.issuer}/device", data=form)
        assert ("Device authorized" if agree else "authorization denied") in page.text, page.text

    async def log_in(self, browser: httpx2.AsyncClient, url: str, user: str) -> httpx2.Response:
        page = await browser.get(url)
        assert page.status_code == 200, page.text
        form = {**_hidden(page.text), "username": user, "password": self.users[user].password}
        answer = await browser.post(url.partition("?")[0], data=form)
        assert answer.is_redirect, answer.text
        return answer


def _hidden(page: str) -> dict[str, str]:
    form = re.findall(r"<form.*?</form>", page, re.DOTALL)[0]
    fields = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in fields}


@asynccontextmanager
async def nanoidp_server(
    directory: Path,
    *,
    redirect_uris: tuple[str, ...] = (),
    client_secret: str = "a-client-secret",
    interval: int = 1,
    port: int = 0,
) -> AsyncIterator[Nanoidp]:
    """The PyPI one: device grant and code flow, RS256, users and groups as in PEOPLE."""
    port = port or free_port()
    config = directory / "nanoidp"
    (config / "keys").mkdir(parents=True)
    client = {"client_id": "bastion", "redirect_uris": list(redirect_uris)}
    if client_secret:
        client["client_secret"] = client_secret
    else:
        client["token_endpoint_auth_method"] = "none"
    issuer = f"http://127.0.0.1:{port}"
    settings = {
        "config_version": 1,
        "server": {"host": "127.0.0.1", "port": port},
        "oauth": {"issuer": issuer, "audience": "bastion", "clients": [client]},
        "device_flow": {"polling_interval": interval},
    }
    users = {
        name: {"password": p.password, "email": p.email, "groups": list(p.groups)}
        for name, p in PEOPLE.items()
    }
    (config / "settings.yaml").write_text(yaml.safe_dump(settings))
    (config / "users.yaml").write_text(yaml.safe_dump({"config_version": 1, "users": users}))
    idp = Nanoidp(
        issuer,
        "bastion",
        client_secret,
        [sys.executable, "-m", "nanoidp", "--config", str(config), "--port", str(port)],
        {"PATH": os.environ["PATH"], "HOME": str(directory)},
        directory / "nanoidp.log",
    )
    try:
        await idp.start()
        yield idp
    finally:
        await idp.stop()


class NodeProvider(RunningProvider):
    """Its development pages: a login form, then a consent form, each a POST and a redirect."""

    async def _decide_device(self, complete_url_or_code: str, user: str, *, agree: bool) -> None:
        async with httpx2.AsyncClient(follow_redirects=True) as browser:
            url = complete_url_or_code
            if "://" not in url:
                url = f"{self.issuer}/device?user_code={url}"
            page = await browser.get(url)
            if "user_code" in page.text and 'name="xsrf"' in page.text:
                page = await self._submit(browser, page, {} if agree else {"abort": "yes"})
            page = await self._finish(browser, page, user) if agree else page
        assert page.status_code == 200, page.text

    async def log_in(self, browser: httpx2.AsyncClient, url: str, user: str) -> httpx2.Response:
        page = await self._follow(browser, await browser.get(url))
        return await self._finish(browser, page, user)

    async def _finish(
        self, browser: httpx2.AsyncClient, page: httpx2.Response, user: str
    ) -> httpx2.Response:
        for _ in range(4):
            if "<form" not in page.text:
                break
            extra = {"login": user, "password": "x"} if 'name="login"' in page.text else {}
            page = await self._submit(browser, page, extra)
        return page

    async def _submit(
        self, browser: httpx2.AsyncClient, page: httpx2.Response, extra: Mapping[str, str]
    ) -> httpx2.Response:
        action = re.search(r'<form[^>]*action="([^"]+)"', page.text)
        assert action, page.text
        fields = re.findall(r'<input[^>]*type="hidden"[^>]*>', page.text)
        form = {
            re.findall(r'name="([^"]+)"', f)[0]: re.findall(r'value="([^"]*)"', f)[0]
            for f in fields
        }
        url = urljoin(str(page.url), html.unescape(action[1]))
        return await self._follow(browser, await browser.post(url, data={**form, **extra}))

    async def _follow(
        self, browser: httpx2.AsyncClient, answer: httpx2.Response
    ) -> httpx2.Response:
        """Follow redirects as long as they stay at the provider."""
        while answer.is_redirect:
            there = urljoin(str(answer.url), answer.headers["location"])
            if not there.startswith(self.issuer):
                break
            answer = await browser.get(there)
        return answer


@asynccontextmanager
async def oidc_provider_server(
    directory: Path,
    *,
    redirect_uris: tuple[str, ...] = ("http://127.0.0.1:1/callback",),
    client_secret: str = "a-client-secret",
    algorithm: str = "RS256",
    port: int = 0,
) -> AsyncIterator[NodeProvider]:
    """The certified one, of npm. `algorithm` signs its ID tokens: RS256, PS256, ES256, EdDSA."""
    home = await asyncio.to_thread(node_modules, OIDC_PROVIDER)
    port = port or free_port()
    issuer = f"http://127.0.0.1:{port}"
    server = home / "server.mjs"
    text = (OIDC_PROVIDER / "server.mjs").read_text()
    if not server.exists() or server.read_text() != text:
        server.write_text(text)
    idp = NodeProvider(
        issuer,
        "bastion",
        client_secret,
        ["node", str(server)],
        {
            "PATH": os.environ["PATH"],
            "PORT": str(port),
            "CLIENT_SECRET": client_secret,
            "ALGORITHM": algorithm,
            "REDIRECT_URIS": " ".join(redirect_uris),
        },
        directory / "oidc-provider.log",
    )
    try:
        await idp.start()
        yield idp
    finally:
        await idp.stop()
