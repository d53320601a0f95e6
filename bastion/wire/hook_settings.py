"""The configuration's `webhooks`: whom to tell of what."""

from __future__ import annotations

import urllib.parse
from typing import Annotated

from pydantic import AfterValidator

from bastion.policy.document import Section
from bastion.policy.fields import OneOrMany
from bastion.policy.values import Reference
from bastion.wire.control_shown import Event


def _hook_url(text: str) -> str:
    url = urllib.parse.urlsplit(text)
    near = url.hostname in {"localhost", "127.0.0.1", "::1"}
    if url.scheme not in {"http", "https"} or not url.hostname or url.username:
        raise ValueError("must be an https URL without a user in it")
    if url.scheme == "http" and not near:
        raise ValueError("must be https: events name people and what they do")
    return text


class WebhookEntry(Section):
    """Whoever is told what happens, by a signed POST; `bastion.control.webhooks` has the format."""

    url: Annotated[str, AfterValidator(_hook_url)]
    secret: Reference
    """The key of the HMAC."""
    events: OneOrMany[Event] = ()
    """Which; all of them where it is left out."""
    ca_file: str = ""
