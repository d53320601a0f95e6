"""Somebody at a browser, for the code flow: cookies, the button, the provider, and back."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape

import httpx2

from bastion.identity.callback import CallbackPage
from bastion.identity.login import LoginService
from tests.harness.idp import RunningProvider
from tests.identity.test_device import settings


@asynccontextmanager
async def code_flow(
    idp: RunningProvider, port: int, **changes: object
) -> AsyncIterator[LoginService]:
    """A service with its page on `port`; `http://127.0.0.1:PORT/callback` must be registered."""
    public = f"http://127.0.0.1:{port}"
    service = LoginService(settings(idp, flow="code", public_url=public, **changes))
    page = CallbackPage(service, "127.0.0.1", port)
    await page.start()
    try:
        yield service
    finally:
        await service.close()
        await page.stop()


async def press(browser: httpx2.AsyncClient, url: str) -> str:
    """Open our page, press the button; gives the provider's URL."""
    page = await browser.get(url)
    assert page.status_code == 200, page.text
    token = re.search(r'name="token" value="([^"]+)"', page.text)
    assert token
    answer = await browser.post(url, data={"token": token[1]})
    assert answer.status_code == 200, answer.text
    forward = re.search(r'id="forward" href="([^"]+)"', answer.text)
    assert forward
    return unescape(forward[1])


async def finish(
    idp: RunningProvider, browser: httpx2.AsyncClient, url: str, user: str
) -> httpx2.Response:
    """The whole way: our page, the provider as `user`, back to our page."""
    back = await idp.log_in(browser, await press(browser, url), user)
    return await browser.get(back.headers["location"])
