"""The few pages a browser sees: plain, accessible, without script. All text is escaped here."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Final
from urllib.parse import urlsplit

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #fff; --back: #eef1f5;
  --soft: #566275; --accent: #0b5fce; --good: #117a3d; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf2; --paper: #1b2129; --back: #11151a;
  --soft: #9fabbd; --accent: #6aa8ff; --good: #57c785; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem;
  background: var(--back); color: var(--ink); font: 1.0625rem/1.55 system-ui, sans-serif; }
main { width: 100%; max-width: 30rem; padding: 2.25rem; background: var(--paper);
  border-radius: 1rem; box-shadow: 0 .5rem 2rem rgb(0 0 0 / .12); }
h1 { margin: 0 0 1rem; font-size: 1.5rem; line-height: 1.25; }
h1.good { color: var(--good); } h1.bad { color: var(--bad); }
p { margin: 0 0 1rem; overflow-wrap: anywhere; }
.code { display: block; margin: 1.25rem 0; padding: .75rem; text-align: center;
  border: 2px dashed var(--soft); border-radius: .5rem;
  font: 700 1.9rem/1.2 ui-monospace, monospace; letter-spacing: .12em; }
.soft { color: var(--soft); font-size: .95rem; }
button, .button { display: block; width: 100%; padding: .8rem; border: 0; border-radius: .5rem;
  background: var(--accent); color: var(--paper); font: inherit; font-weight: 600;
  text-align: center; text-decoration: none; cursor: pointer; }
button:focus-visible, a:focus-visible { outline: 3px solid var(--ink); outline-offset: 3px; }
"""

_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Final = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",  # the address holds the login's id, or code and state
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "x-robots-tag": "noindex, nofollow",
}


def confirm_page(confirmation: str, client_address: str, token: str) -> str:
    """Ask whether the code is the one in the person's own terminal."""
    return _page(
        "Log in to the bastion",
        f"""<h1>Log in to the bastion</h1>
<p>A login was asked for from <strong>{escape(client_address)}</strong>.
Does your terminal show this code?</p>
<strong class="code" id="code">{escape(confirmation)}</strong>
<form method="post">
<input type="hidden" name="token" value="{escape(token)}">
<button id="confirm">Yes, it is my terminal: go on</button>
</form>
<p class="soft"><br>If somebody sent you this page, or you see another code, close it:
going on would let them log in as you.</p>""",
    )


def forward_page(url: str) -> str:
    """Send the browser on to the provider. `url` was checked to be http(s).

    A page and not a redirect: browsers apply `form-action` to every redirect after a form, and
    where the provider redirects to is not ours to list.
    """
    place = escape(urlsplit(url).hostname or "")
    return _page(
        "To the identity provider",
        f"""<h1>To the identity provider</h1>
<p>You are being sent to <strong>{place}</strong> …</p>
<p><a class="button" id="forward" href="{escape(url)}" rel="noreferrer">Go on</a></p>""",
        head=f'<meta http-equiv="refresh" content="0;url={escape(url)}">',
    )


def done_page(name: str) -> str:
    """It worked."""
    return _page(
        "Logged in",
        f"""<h1 class="good" role="status">You are logged in</h1>
<p>You are <strong>{escape(name)}</strong>. Go back to your terminal; this page can be closed.</p>
""",
    )


def failed_page(reason: str) -> str:
    """It did not."""
    return _page(
        "Not logged in",
        f"""<h1 class="bad" role="alert">You are not logged in</h1>
<p>{escape(reason)}</p>
<p class="soft">Go back to your terminal to try again; this page can be closed.</p>""",
    )


def _page(title: str, body: str, *, head: str = "") -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
{head}<style>{_STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
