"""A real headless Chromium, driven by chromedriver over plain WebDriver (W3C)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.harness.idp import free_port

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


@dataclass
class Browser:
    http: httpx2.AsyncClient
    session: str

    async def _call(self, method: str, path: str, **body: object) -> Any:
        url = f"{self.session}/{path}"
        answer = await self.http.request(method, url, json=body if method == "POST" else None)
        value = answer.json()["value"]
        assert answer.status_code == 200, value
        return value

    async def open(self, url: str) -> None:
        await self._call("POST", "url", url=url)

    async def url(self) -> str:
        return str(await self._call("GET", "url"))

    async def source(self) -> str:
        return str(await self._call("GET", "source"))

    async def script(self, text: str) -> Any:
        """Run script as a debugger would; the page's own policy does not apply to it."""
        return await self._call("POST", "execute/sync", script=text, args=[])

    async def text(self, css: str) -> str:
        return str(await self._call("GET", f"element/{await self._find(css)}/text"))

    async def click(self, css: str) -> None:
        await self._call("POST", f"element/{await self._find(css)}/click")

    async def type(self, css: str, text: str) -> None:
        await self._call("POST", f"element/{await self._find(css)}/value", text=text)

    async def has(self, css: str) -> bool:
        return bool(await self._call("POST", "elements", using="css selector", value=css))

    async def wait_for(self, css: str) -> None:
        async with asyncio.timeout(20):
            while not await self.has(css):
                await asyncio.sleep(0.05)

    async def screenshot(self, path: Path) -> None:
        import base64

        path.write_bytes(base64.b64decode(await self._call("GET", "screenshot")))

    async def _find(self, css: str) -> str:
        found = await self._call("POST", "element", using="css selector", value=css)
        return str(found[_ELEMENT])


@asynccontextmanager
async def chromium(directory: Path) -> AsyncIterator[Browser]:
    """A fresh profile; skips where Chromium is not installed."""
    driver, browser = shutil.which("chromedriver"), shutil.which("chromium")
    if not (driver and browser):
        pytest.skip("chromium and chromium-driver are not installed")
    port = free_port()
    program = await asyncio.create_subprocess_exec(
        driver, f"--port={port}", "--log-level=OFF",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    arguments = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--disable-background-networking", "--window-size=900,800",
        f"--user-data-dir={directory / 'chromium'}",
    ]  # fmt: skip
    wanted = {
        "capabilities": {
            "alwaysMatch": {"goog:chromeOptions": {"binary": browser, "args": arguments}}
        }
    }
    base = f"http://127.0.0.1:{port}"
    try:
        async with httpx2.AsyncClient(timeout=40) as http:
            async with asyncio.timeout(20):
                while True:
                    try:
                        await http.get(f"{base}/status")
                        break
                    except httpx2.ConnectError:
                        await asyncio.sleep(0.05)
            answer = (await http.post(f"{base}/session", json=wanted)).json()["value"]
            assert "sessionId" in answer, answer
            session = f"{base}/session/{answer['sessionId']}"
            try:
                yield Browser(http, session)
            finally:
                await http.delete(session)
    finally:
        program.terminate()
        await program.wait()
