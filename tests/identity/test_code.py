"""The code flow with PKCE against two real providers, and what people try with it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from bastion.errors import IdentityError, LoginExpired, LoginRefused, ProviderDown
from bastion.identity import code, web
from bastion.identity.callback import COOKIE
from tests.harness.idp import free_port, nanoidp_server, oidc_provider_server
from tests.identity.browser import code_flow, finish, press
from tests.identity.test_device import PROVIDERS

pytestmark = pytest.mark.story


def back(port: int) -> tuple[str, ...]:
    return (f"http://127.0.0.1:{port}/callback",)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_person_logs_in(tmp_path: Path, provider: str) -> None:
    port = free_port()
    async with (
        PROVIDERS[provider](tmp_path, redirect_uris=back(port)) as idp,
        code_flow(idp, port) as service,
        httpx2.AsyncClient() as browser,
    ):
        pending = await service.start("192.0.2.9")
        assert pending.flow == "code"
        assert pending.url.startswith(f"http://127.0.0.1:{port}/login/")
        waiting = asyncio.create_task(pending.wait())
        page = await browser.get(pending.url)
        assert pending.code in page.text
        assert "192.0.2.9" in page.text
        done = await finish(idp, browser, pending.url, "bob")
        assert "You are logged in" in done.text
        assert "<strong>bob</strong>" in done.text
        claims = await waiting
        assert (claims.issuer, claims.subject) == (idp.issuer, "bob")
        assert claims.claims["groups"] == ("approvers",)
        assert (await browser.get(pending.url)).status_code == 404  # single use


@pytest.mark.parametrize("algorithm", ["PS256", "ES256", "EdDSA", "Ed25519"])
async def test_other_signatures_and_a_rotated_key(tmp_path: Path, algorithm: str) -> None:
    port = free_port()
    async with (
        oidc_provider_server(tmp_path, redirect_uris=back(port), algorithm=algorithm) as idp,
        code_flow(idp, port) as service,
    ):
        for _ in range(2):
            async with httpx2.AsyncClient() as browser:
                pending = await service.start("127.0.0.1")
                waiting = asyncio.create_task(pending.wait())
                await finish(idp, browser, pending.url, "alice")
                assert (await waiting).subject == "alice"
            await idp.stop()
            await idp.start()  # with new keys
            service._client.provider._keys_at = -1e9  # as if the refetch pause were over


async def test_the_request_carries_pkce_state_and_nonce(tmp_path: Path) -> None:
    port = free_port()
    async with (
        nanoidp_server(tmp_path, redirect_uris=back(port)) as idp,
        code_flow(idp, port) as service,
        httpx2.AsyncClient() as browser,
    ):
        pending = await service.start("127.0.0.1")
        first = parse_qs(urlsplit(await press(browser, pending.url)).query)
        second = parse_qs(urlsplit(await press(browser, pending.url)).query)
        assert first["code_challenge_method"] == ["S256"]
        assert first["redirect_uri"] == [f"http://127.0.0.1:{port}/callback"]
        for name in ("state", "nonce", "code_challenge"):
            assert len(first[name][0]) >= 43
            assert first[name] != second[name]
        # the first press is void
        page = await browser.get(f"{back(port)[0]}?{urlencode({'state': first['state'][0]})}")
        assert page.status_code == 404


async def test_another_browser_cannot_finish(tmp_path: Path) -> None:
    """Somebody begins, presses the button, and sends the provider's URL to a victim."""
    port = free_port()
    async with (
        nanoidp_server(tmp_path, redirect_uris=back(port)) as idp,
        code_flow(idp, port) as service,
        httpx2.AsyncClient() as attacker,
        httpx2.AsyncClient() as victim,
    ):
        pending = await service.start("192.0.2.66")
        waiting = asyncio.create_task(pending.wait())
        url = await press(attacker, pending.url)
        answer = await idp.log_in(victim, url, "alice")
        page = await victim.get(answer.headers["location"])
        assert page.status_code == 403
        assert "somebody wanted to log in as you" in page.text
        with pytest.raises(LoginRefused, match="another browser"):
            await waiting
        # nor can the attacker use what the victim brought back
        again = await attacker.get(answer.headers["location"])
        assert again.status_code == 404


async def test_the_button_works_from_our_page_alone(tmp_path: Path) -> None:
    port = free_port()
    async with (
        nanoidp_server(tmp_path, redirect_uris=back(port)) as idp,
        code_flow(idp, port) as service,
        httpx2.AsyncClient() as attacker,
        httpx2.AsyncClient() as victim,
    ):
        pending = await service.start("192.0.2.66")
        page = await attacker.get(pending.url)
        token = page.text.split('name="token" value="')[1].split('"')[0]
        form = {"token": token}
        # a form on another site brings no cookie (SameSite=Lax), or the victim's own
        for headers, data in (
            ({}, form),
            ({"cookie": f"{COOKIE}=something"}, form),
            ({"sec-fetch-site": "cross-site", "cookie": page.headers["set-cookie"]}, form),
            ({"content-type": "text/plain"}, form),
            ({}, {}),
            ({}, {"token": "x" * 5000}),
            ({}, {"token": "\u00e4"}),
        ):
            answer = await victim.post(pending.url, data=data, headers=headers)
            assert answer.status_code == 403, headers
            victim.cookies.clear()
        await press(attacker, pending.url)
        refused = await victim.get(pending.url)
        token = refused.text.split('name="token" value="')[1].split('"')[0]
        answer = await victim.post(pending.url, data={"token": token})
        assert "Another browser is at this login" in answer.text


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_issuer_that_comes_back_must_be_the_right_one(
    tmp_path: Path, provider: str
) -> None:
    port = free_port()
    async with (
        PROVIDERS[provider](tmp_path, redirect_uris=back(port)) as idp,
        code_flow(idp, port) as service,
        httpx2.AsyncClient() as browser,
    ):
        pending = await service.start("127.0.0.1")
        waiting = asyncio.create_task(pending.wait())
        answer = await idp.log_in(browser, await press(browser, pending.url), "alice")
        query = {n: v[0] for n, v in parse_qs(urlsplit(answer.headers["location"]).query).items()}
        query["iss"] = "https://evil.example"
        page = await browser.get(f"{back(port)[0]}?{urlencode(query)}")
        assert page.status_code == 403
        with pytest.raises(LoginRefused, match="another identity provider"):
            await waiting
        if provider == "oidc-provider":  # it says that it always sends iss, so a missing one counts
            pending = await service.start("127.0.0.1")
            waiting = asyncio.create_task(pending.wait())
            answer = await idp.log_in(browser, await press(browser, pending.url), "alice")
            query = {
                name: values[0]
                for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()
            }
            del query["iss"]
            await browser.get(f"{back(port)[0]}?{urlencode(query)}")
            with pytest.raises(LoginRefused, match="another identity provider"):
                await waiting


async def test_callbacks_that_belong_to_no_login(tmp_path: Path) -> None:
    port = free_port()
    async with (
        nanoidp_server(tmp_path, redirect_uris=back(port)) as idp,
        code_flow(idp, port) as service,
        httpx2.AsyncClient() as browser,
    ):
        pending = await service.start("127.0.0.1")
        for query in (
            "",
            "code=x",
            "state=",
            "state=x&code=y",
            "state=%00&code=%ff",
            "error=access_denied",
            "&".join(f"p{n}=1" for n in range(40)),
            "state=a&state=b",
        ):
            page = await browser.get(f"{back(port)[0]}?{query}")
            assert page.status_code in (403, 404), query
        assert (await browser.get(pending.url)).status_code == 200  # unharmed


async def test_what_the_provider_says_is_shown_without_effect(tmp_path: Path) -> None:
    port = free_port()
    async with (
        nanoidp_server(tmp_path, redirect_uris=back(port)) as idp,
        code_flow(idp, port) as service,
        httpx2.AsyncClient() as browser,
    ):
        pending = await service.start("127.0.0.1")
        waiting = asyncio.create_task(pending.wait())
        url = await press(browser, pending.url)
        state = parse_qs(urlsplit(url).query)["state"][0]
        said = "<script>alert(1)</script>\x1b[2J\u202e" + "x" * 900
        query = urlencode({"state": state, "error": "access_denied", "error_description": said})
        page = await browser.get(f"{back(port)[0]}?{query}")
        assert page.status_code == 403
        assert "<script" not in page.text
        assert "&lt;script&gt;alert(1)" in page.text
        assert "\x1b" not in page.text
        assert "\u202e" not in page.text
        with pytest.raises(LoginRefused) as refused:
            await waiting
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 400


async def test_a_code_is_no_use_twice(tmp_path: Path) -> None:
    port = free_port()
    async with (
        nanoidp_server(tmp_path, redirect_uris=back(port)) as idp,
        code_flow(idp, port) as service,
        httpx2.AsyncClient() as browser,
    ):
        pending = await service.start("127.0.0.1")
        waiting = asyncio.create_task(pending.wait())
        answer = await idp.log_in(browser, await press(browser, pending.url), "alice")
        used = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
        await browser.get(answer.headers["location"])
        assert (await waiting).subject == "alice"
        pending = await service.start("127.0.0.1")
        waiting = asyncio.create_task(pending.wait())
        state = parse_qs(urlsplit(await press(browser, pending.url)).query)["state"][0]
        await browser.get(f"{back(port)[0]}?{urlencode({'state': state, 'code': used})}")
        with pytest.raises(LoginRefused, match=r"refuses the code \(invalid_grant\)"):
            await waiting


async def test_a_code_of_another_login_is_refused(tmp_path: Path) -> None:
    """Code injection: PKCE and nonce bind a code to the login it was made for."""
    port = free_port()
    async with (
        nanoidp_server(tmp_path, redirect_uris=back(port)) as idp,
        code_flow(idp, port) as service,
        httpx2.AsyncClient() as victim,
        httpx2.AsyncClient() as attacker,
    ):
        stolen = await service.start("192.0.2.1")
        answer = await idp.log_in(victim, await press(victim, stolen.url), "alice")
        code_of_victim = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
        own = await service.start("192.0.2.66")
        waiting = asyncio.create_task(own.wait())
        state = parse_qs(urlsplit(await press(attacker, own.url)).query)["state"][0]
        query = urlencode({"state": state, "code": code_of_victim})
        await attacker.get(f"{back(port)[0]}?{query}")
        with pytest.raises(LoginRefused):
            await waiting


async def test_the_provider_goes_down_before_the_code_is_exchanged(tmp_path: Path) -> None:
    port = free_port()
    async with (
        nanoidp_server(tmp_path, redirect_uris=back(port)) as idp,
        code_flow(idp, port) as service,
        httpx2.AsyncClient() as browser,
    ):
        pending = await service.start("127.0.0.1")
        waiting = asyncio.create_task(pending.wait())
        answer = await idp.log_in(browser, await press(browser, pending.url), "alice")
        await idp.stop()
        page = await browser.get(answer.headers["location"])
        assert "cannot be reached" in page.text
        with pytest.raises(ProviderDown):
            await waiting


async def test_a_login_that_was_given_up_or_is_over_has_no_page(tmp_path: Path) -> None:
    port = free_port()
    async with (
        nanoidp_server(tmp_path, redirect_uris=back(port)) as idp,
        code_flow(idp, port, login_seconds=1) as service,
        httpx2.AsyncClient() as browser,
    ):
        pending = await service.start("127.0.0.1")
        pending.cancel()
        assert (await browser.get(pending.url)).status_code == 404
        pending = await service.start("127.0.0.1")
        with pytest.raises(LoginExpired):
            await pending.wait()
        assert (await browser.get(pending.url)).status_code == 404
        assert service.code_flow._by_id == {}
        assert service.code_flow._by_state == {}


async def test_pages_cannot_be_framed_cached_or_scripted(tmp_path: Path) -> None:
    port = free_port()
    async with (
        nanoidp_server(tmp_path, redirect_uris=back(port)) as idp,
        code_flow(idp, port) as service,
        httpx2.AsyncClient() as browser,
    ):
        pending = await service.start("127.0.0.1")
        for url in (pending.url, f"{back(port)[0]}?state=x", f"http://127.0.0.1:{port}/nothing"):
            headers = (await browser.get(url)).headers
            policy = headers["content-security-policy"]
            for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
                assert part in policy
            assert "unsafe" not in policy
            assert "script-src" not in policy
            assert headers["cache-control"] == "no-store"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["x-content-type-options"] == "nosniff"
            assert "server" not in headers
        cookie = (await browser.get(pending.url)).headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert (await browser.put(pending.url)).status_code == 404
        answer = await browser.get(f"{pending.url}/", headers={"host": "evil.example"})
        assert answer.status_code == 404
        assert "location" not in answer.headers


async def test_slow_connections_are_bounded_and_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "MAX_CONNECTIONS", 5)
    monkeypatch.setattr(web, "CONNECTION_SECONDS", 0.5)
    port = free_port()
    async with (
        nanoidp_server(tmp_path, redirect_uris=back(port)) as idp,
        code_flow(idp, port) as service,
    ):
        pending = await service.start("127.0.0.1")
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
        async with asyncio.timeout(10):
            for reader, writer in held:
                writer.write(b"GET / HTTP/1.1\r\n")
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()
        async with httpx2.AsyncClient() as browser:
            assert (await browser.get(pending.url)).status_code == 200


async def test_an_address_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    port = free_port()
    async with nanoidp_server(tmp_path, redirect_uris=back(port)) as idp, code_flow(idp, port):
        with pytest.raises(Exception, match="cannot be served there"):
            async with code_flow(idp, port):
                pass


def test_confirmation_codes_have_no_look_alikes() -> None:
    assert not set(code._ALPHABET) & set("AEIOUY0125")
    assert issubclass(code.UnknownLogin, IdentityError)
