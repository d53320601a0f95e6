"""What the operator says about the identity provider."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from bastion.model import Secret

SIGNATURE_ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)
"""All asymmetric. `none` is no signature, and HS* would let anyone who knows the public key, or
the client secret, write tokens."""


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One OpenID Connect provider, and this bastion as its client."""

    issuer: str
    """Exactly as the provider writes it, with or without the last slash."""
    client_id: str
    client_secret: Secret | None = None
    """None for a public client."""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    flow: Literal["auto", "device", "code"] = "auto"
    """`auto`: the device grant where the provider has it, else the code flow."""
    public_url: str = ""
    """Where browsers reach our own pages (`https://bastion.example`); the code flow needs it, and
    `PUBLIC_URL/callback` registered with the provider as the redirect URI."""
    name_claims: tuple[str, ...] = ("preferred_username", "email", "name")
    """The first one present is what people read; never what is decided on."""
    kept_claims: tuple[str, ...] = ("email", "groups")
    """Claims that go on into certificates and role mapping; `a.b` reaches into objects."""
    unverified_email: bool = False
    """Keep `email` even where the provider does not say `email_verified`. Anybody can enter
    anybody's address at some providers."""
    algorithms: tuple[str, ...] = field(default=SIGNATURE_ALGORITHMS)
    clock_skew_seconds: int = 60
    ca_file: str = ""
    """PEM file of the CA that signed the provider's TLS certificate; empty for the system's."""
    login_seconds: int = 600
    """How long a person may take, unless the provider says less."""
