"""The login page as a person meets it: a real Chromium, a real provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import httpx2
import pytest

from bastion.errors import LoginRefused
from bastion.identity.login import LoginService
from tests.harness.chromium import Browser, chromium
from tests.harness.idp import Nanoidp, free_port, nanoidp_server
from tests.identity.browser import code_flow, press

pytestmark = pytest.mark.story

EVIL = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">'\"</p>"
)


@asynccontextmanager
async def stage(tmp_path: Path) -> AsyncIterator[tuple[Nanoidp, LoginService, Browser, str]]:
    port = free_port()
    callback = f"http://127.0.0.1:{port}/callback"
    async with (
        nanoidp_server(tmp_path, redirect_uris=(callback,)) as idp,
        code_flow(idp, port) as service,
        chromium(tmp_path) as browser,
    ):
        yield idp, service, browser, callback


async def log_in_at_provider(browser: Browser, idp: Nanoidp, user: str) -> None:
    await browser.wait_for("#username")
    await browser.type("#username", user)
    await browser.type("#password", idp.users[user].password)
    await browser.script("document.querySelector('#password').form.submit()")


async def test_a_person_logs_in_with_a_browser(tmp_path: Path) -> None:
    async with stage(tmp_path) as (idp, service, browser, callback):
        pending = await service.start("192.0.2.9")
        waiting = asyncio.create_task(pending.wait())
        await browser.open(pending.url)
        assert await browser.text("#code") == pending.code
        assert "192.0.2.9" in await browser.text("main")
        # the style applies, so the policy's hash is the style's
        assert await browser.script("return getComputedStyle(document.body).display") == "grid"
        await browser.click("#confirm")
        await log_in_at_provider(browser, idp, "alice")
        await browser.wait_for("h1.good")
        assert "You are alice" in await browser.text("main")
        assert (await browser.url()).startswith(callback)
        assert (await waiting).subject == "alice"
        # going back and pressing again finds nothing to finish
        await browser.open(pending.url)
        assert "over or was never begun" in await browser.text("main")


async def test_nothing_that_comes_in_an_address_becomes_markup(tmp_path: Path) -> None:
    async with stage(tmp_path) as (_, service, browser, callback):
        for query in (
            urlencode({"state": EVIL}),
            urlencode({"state": "x", "error": EVIL, "error_description": EVIL}),
            urlencode({"error": EVIL}),
            f"state=%3Cscript%3E&{EVIL.replace(' ', '+')}=1",
        ):
            await browser.open(f"{callback}?{query}")
            await expect_harmless(browser)
        await browser.open(callback.replace("/callback", f"/login/{quote(EVIL, safe='')}"))
        await expect_harmless(browser)
        # and where the state is right, so that the provider's words are shown
        pending = await service.start(EVIL)
        waiting = asyncio.create_task(pending.wait())
        await browser.open(pending.url)
        await expect_harmless(browser)
        assert EVIL in await browser.text("main")
        await browser.click("#confirm")
        await browser.wait_for("#username")
        state = parse_qs(urlsplit(await browser.url()).query)["state"][0]
        query = urlencode({"state": state, "error": "x", "error_description": EVIL})
        await browser.open(f"{callback}?{query}")
        await expect_harmless(browser)
        assert "document.title='owned'" in await browser.text("main")
        with pytest.raises(LoginRefused):
            await waiting


async def expect_harmless(browser: Browser) -> None:
    assert not await browser.has("script, img")
    assert await browser.script("return document.title") != "owned"
    assert await browser.script("return document.querySelectorAll('main').length") == 1


async def test_the_policy_stops_script_even_if_some_got_in(tmp_path: Path) -> None:
    async with stage(tmp_path) as (_, service, browser, _):
        pending = await service.start("192.0.2.9")
        await browser.open(pending.url)
        await browser.script(
            "document.querySelector('main').innerHTML += "
            '\'<img src="data:,x" onerror="document.title=`owned`">\';'
            "var s = document.createElement('script'); s.text = 'document.title=`owned`';"
            "document.body.append(s);"
        )
        await asyncio.sleep(0.3)
        assert await browser.script("return document.title") != "owned"


async def test_another_site_can_neither_frame_nor_press(tmp_path: Path) -> None:
    async with stage(tmp_path) as (_, service, browser, _):
        pending = await service.start("192.0.2.66")
        async with httpx2.AsyncClient() as attacker:
            page = await attacker.get(pending.url)
        token = page.text.split('name="token" value="')[1].split('"')[0]
        # localhost and 127.0.0.1 are different sites; the bastion's page is at the latter
        evil = tmp_path / "evil.html"
        evil.write_text(
            f"<iframe src='{pending.url}'></iframe><form id=f method=post action='{pending.url}'>"
            f"<input name=token value='{token}'></form>"
        )
        await browser.open(pending.url)  # the victim has a cookie of ours
        await browser.open(evil.as_uri())
        await browser.script("document.getElementById('f').submit()")
        await browser.wait_for("h1.bad")
        assert "not pressed on our page" in await browser.text("main")
        pending.cancel()


async def test_the_providers_address_in_another_browser_is_refused(tmp_path: Path) -> None:
    async with stage(tmp_path) as (idp, service, browser, _):
        pending = await service.start("192.0.2.66")
        waiting = asyncio.create_task(pending.wait())
        async with httpx2.AsyncClient() as attacker:
            url = await press(attacker, pending.url)
        await browser.open(url)  # the victim follows the link that the attacker sent
        await log_in_at_provider(browser, idp, "alice")
        await browser.wait_for("h1.bad")
        assert "somebody wanted to log in as you" in await browser.text("main")
        with pytest.raises(LoginRefused, match="another browser"):
            await waiting
