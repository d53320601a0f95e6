"""The small web server behind the code flow: `/login/ID` and `/callback`, nothing else."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bastion.errors import ConfigError, Fault, IdentityError
from bastion.identity import pages, web
from bastion.identity.code import CodeFlow, UnknownLogin
from bastion.identity.login import LoginService
from bastion.model import visible

COOKIE: Final = "bastion-login"
SECURE_COOKIE: Final = "__Host-bastion-login"
"""Over https: a name that no sibling host can set for us, or it could choose what we compare."""

MAX_FORM: Final = 4096
_MAX_PARAMETERS: Final = 16
_FORM_TYPE: Final = "application/x-www-form-urlencoded"


class CallbackPage:
    """Serves the pages of a service's code flow on `host`:`port`, in the running loop.

    TLS where both files are given; otherwise plain, for a TLS proxy in front or loopback.
    """

    def __init__(
        self,
        service: LoginService,
        host: str,
        port: int,
        *,
        tls_certificate: str = "",
        tls_key: str = "",
    ) -> None:
        """Nothing is bound before `start`."""
        self._address = (host, port)
        self._server = web.WebServer(
            web_app(service.code_flow), tls_certificate=tls_certificate, tls_key=tls_key
        )
        self.port = port
        """The port bound, which is the one asked for unless that was 0."""

    async def start(self) -> None:
        """Bind and serve; ConfigError when the address cannot be had."""
        host, port = self._address
        try:
            listener = web.bind(host, port)
        except OSError as error:
            fault = f"the login page cannot be served there: {error.strerror}"
            raise ConfigError([Fault(f"{host}:{port}", fault)]) from None
        self.port = listener.getsockname()[1]
        self._server.start(listener)

    async def stop(self) -> None:
        """Stop serving; pages on their way get three seconds."""
        await self._server.stop()


def web_app(code_flow: CodeFlow) -> Starlette:
    """The pages of one CodeFlow as an ASGI application."""

    name = SECURE_COOKIE if code_flow.secure else COOKIE

    def cookie_of(request: Request) -> str:
        return request.cookies.get(name, "")[:128]

    async def login_page(request: Request) -> Response:
        try:
            login = code_flow.find(request.path_params["login_id"])
            cookie = cookie_of(request) or secrets.token_urlsafe(32)
            if request.method == "POST":
                form = await _form(request)
                url = await code_flow.confirm(login, cookie_of(request), form.get("token", ""))
                return _html(pages.forward_page(url))
        except IdentityError as error:
            return _failed(error)
        token = code_flow.form_token(login, cookie)
        page = _html(pages.confirm_page(login.confirmation, visible(login.client_address), token))
        # Lax: sent when the provider sends the browser back, not with a form on another site.
        page.set_cookie(
            name, cookie, max_age=3600, httponly=True, samesite="lax", secure=code_flow.secure
        )
        return page

    async def callback_page(request: Request) -> Response:
        try:
            parameters = _single_values(request.scope["query_string"].decode("latin-1"))
            claims = await code_flow.callback(parameters, cookie_of(request))
        except IdentityError as error:
            return _failed(error)
        return _html(pages.done_page(visible(claims.name, limit=100)))

    async def not_found(_: Request, __: Exception) -> Response:
        return _html(pages.failed_page("There is nothing here."), HTTPStatus.NOT_FOUND)

    async def broken(_: Request, __: Exception) -> Response:
        page = pages.failed_page("Something went wrong on our side; tell the operator.")
        return _html(page, HTTPStatus.INTERNAL_SERVER_ERROR)

    app = Starlette(
        routes=[
            Route("/login/{login_id}", login_page, methods=["GET", "POST"]),
            Route("/callback", callback_page, methods=["GET"]),
        ],
        exception_handlers={404: not_found, 405: not_found, 500: broken},
    )
    app.router.redirect_slashes = False  # it would redirect to whatever host the request names
    return app


async def _form(request: Request) -> dict[str, str]:
    site = request.headers.get("sec-fetch-site", "same-origin")
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if site != "same-origin" or kind != _FORM_TYPE:
        raise IdentityError("The button was not pressed on our page; open the page again.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            raise IdentityError("That form is too long.")
    return _single_values(body.decode("latin-1"))


def _single_values(text: str) -> dict[str, str]:
    """Parameters by name. RFC 6749 §3.1: none may come twice, or two readers see two things."""
    try:
        found = parse_qs(
            text, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS, errors="replace"
        )
    except ValueError:
        raise IdentityError("Too many parameters.") from None
    if any(len(values) > 1 for values in found.values()):
        raise IdentityError("A parameter came twice.")
    return {name: values[0] for name, values in found.items()}


def _failed(error: IdentityError) -> Response:
    status = HTTPStatus.NOT_FOUND if isinstance(error, UnknownLogin) else HTTPStatus.FORBIDDEN
    return _html(pages.failed_page(str(error)), status)


def _html(page: str, status: HTTPStatus = HTTPStatus.OK) -> HTMLResponse:
    return HTMLResponse(page, status, pages.HEADERS)
