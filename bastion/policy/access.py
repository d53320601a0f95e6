"""Who may go where, with what: claims → roles, roles → certificate, identity → grants.

All grants that cover an identity on a target apply together. A feature is there if one of them
gives it. Their rules are joined, and where several give the feature that a request needs, the
strictest default counts: one more role never loosens what a grant says about the same feature.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bastion.errors import IdentityError
from bastion.model import Claims, ClaimValue, Granted, Identity, Target
from bastion.policy.actions import Action
from bastion.policy.fields import describe_duration
from bastion.policy.globs import matches_name
from bastion.policy.masking import NO_TERMS, MaskTerms, join_masks
from bastion.policy.rules import Grant, Policy, Role
from bastion.policy.schema import NAME, DatabaseSection, ForwardPattern, ResultsWord, ShellMode

MAX_LIFETIME: Final = 24 * 3600.0
"""Seconds; the configuration sets a lower ceiling. No policy makes a certificate live longer."""

DEFAULT_LIFETIME: Final = 600.0

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_KEPT: Final[tuple[ResultsWord, ...]] = ("none", "counts", "rows")
_CLAIMED_LOGIN: Final = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
_NEVER_CLAIMED: Final = frozenset({"root", "toor", "admin", "daemon", "bin", "sys", "nobody"})
"""Accounts that a policy must name itself: a provider's claim may be the person's own choice."""


@dataclass(frozen=True, slots=True)
class DatabaseTerms:
    """What a session of a database may do beside the rules. Masks of all grants count together."""

    read_only: bool = False
    mask: tuple[str, ...] = ()
    """`table.column` globs."""
    masked_elsewhere: Action = Action.DENY
    unmask_columns: bool = False
    """Only if every grant that masks columns says so."""
    parameters: bool = True
    results: ResultsWord = "counts"
    function_calls: bool = False


@dataclass(frozen=True, slots=True)
class Features:
    """What a session on one target, as one login, may use."""

    exec: bool = False
    shell: ShellMode = ShellMode.NONE
    shell_hardened: bool = False
    """One grant that gives a gated shell is enough."""
    shell_rc: bool = False
    """Only if every grant that gives a shell says so: start-up files change what words mean."""
    shell_idle: float | None = None
    """Seconds, the shortest of all grants."""
    pty: bool = False
    files: bool = False
    subsystems: frozenset[str] = frozenset()
    agent: bool = False
    x11: bool = False
    forwards: tuple[ForwardPattern, ...] = ()
    environment: tuple[str, ...] = ()
    """Name globs."""
    deadline: float | None = None
    """Seconds a session may last, from its beginning."""
    mask: MaskTerms = NO_TERMS
    database: DatabaseTerms = DatabaseTerms()

    def environment_allowed(self, name: str) -> bool:
        """Whether a client may set this environment variable."""
        return any(matches_name(name, glob) for glob in self.environment)


@dataclass(frozen=True, slots=True)
class Access:
    """One target that an identity may reach, for the menu."""

    target: Target
    logins: tuple[str, ...]
    features: Features


@dataclass(frozen=True, slots=True)
class CertificateGrant:
    """What a certificate may carry. `principals` are role names."""

    lifetime_seconds: int
    principals: tuple[str, ...]
    source_addresses: tuple[str, ...] = ()
    extensions: frozenset[str] = frozenset()


# --- roles ------------------------------------------------------------------------------------


def roles_of(policy: Policy, claims: Claims) -> frozenset[str]:
    """The roles that verified claims give."""
    return frozenset(name for name, role in policy.roles.items() if _has_role(role, claims))


def _has_role(role: Role, claims: Claims) -> bool:
    return bool(role.match) and all(
        key in claims and _has_claim(claims[key], wanted) for key, wanted in role.match.items()
    )


def _has_claim(value: ClaimValue, wanted: Iterable[str | int | bool]) -> bool:
    values = value if isinstance(value, tuple) else (value,)
    return any(_is_claim(one, pattern) for one in values for pattern in wanted)


def _is_claim(value: str | int | bool, pattern: str | int | bool) -> bool:
    if isinstance(value, str) and isinstance(pattern, str):
        return matches_name(value, pattern)
    return type(value) is type(pattern) and value == pattern  # True is not 1 here


# --- grants -----------------------------------------------------------------------------------


def covering(policy: Policy, identity: Identity, target: Target, login: str) -> tuple[Grant, ...]:
    """The grants under which this identity may be this login on this target."""
    return tuple(
        grant
        for grant in policy.grants
        if covers_target(grant, identity, target) and login in logins_of(grant, identity)
    )


def roles_on(identity: Identity, target: Target) -> frozenset[str]:
    """The identity's roles on one target: its own, and those granted to it there for a time."""
    if not identity.granted:
        return identity.roles
    granted = (
        one.role
        for one in identity.granted
        if any(matches_name(target.name, glob) for glob in one.targets)
    )
    return identity.roles.union(granted)


def covers_target(grant: Grant, identity: Identity, target: Target) -> bool:
    """Whether the grant is for one of the identity's roles, from where it is, on this target."""
    if not grant.roles & roles_on(identity, target):
        return False
    if not _is_from(grant, identity.source_address):
        return False
    names, labels = grant.targets.names, grant.targets.labels
    if names and not any(matches_name(target.name, name) for name in names):
        return False
    return all(
        key in target.labels and any(matches_name(target.labels[key], one) for one in wanted)
        for key, wanted in labels.items()
    )


def _is_from(grant: Grant, address: str) -> bool:
    networks = _networks(grant)
    if not networks:
        return True
    here = _address(address)
    return here is not None and any(here in network for network in networks)


def logins_of(grant: Grant, identity: Identity) -> tuple[str, ...]:
    """The account names a grant gives; `{claim}` becomes the claim's value where that is safe."""
    found: list[str] = []
    for login in grant.logins:
        if not login.startswith("{"):
            found.append(login)
            continue
        value = identity.claims.get(login[1:-1])
        if (
            isinstance(value, str)
            and _CLAIMED_LOGIN.fullmatch(value)
            and value not in _NEVER_CLAIMED
        ):
            found.append(value)
    return tuple(dict.fromkeys(found))


def grant_for(policy: Policy, identity: Identity, target: Target, login: str) -> Features | None:
    """What a session may use there; None if the identity may not be there at all."""
    grants = covering(policy, identity, target, login)
    return joined(grants) if grants else None


def joined(grants: Sequence[Grant]) -> Features:
    """The features of several grants: any gives, the shortest deadline ends."""
    sessions = [grant.session for grant in grants]
    modes = {session.shell for session in sessions}
    deadlines = [session.deadline for session in sessions if session.deadline is not None]
    shell = next((mode for mode in (ShellMode.GATED, ShellMode.UNGATED) if mode in modes), None)
    shells = [session for session in sessions if session.shell is not ShellMode.NONE]
    idles = [session.shell_idle for session in shells if session.shell_idle is not None]
    return Features(
        exec=any(session.exec for session in sessions),
        shell=shell or ShellMode.NONE,
        shell_hardened=any(session.shell_hardened for session in shells),
        shell_rc=bool(shells) and all(session.shell_rc for session in shells),
        shell_idle=min(idles, default=None),
        pty=any(session.pty for session in sessions),
        files=any(session.files for session in sessions),
        subsystems=frozenset(name for session in sessions for name in session.subsystems),
        agent=any(session.agent for session in sessions),
        x11=any(session.x11 for session in sessions),
        forwards=tuple(pattern for session in sessions for pattern in session.forwards),
        environment=tuple(
            dict.fromkeys(name for session in sessions for name in session.environment)
        ),
        deadline=min(deadlines, default=None),
        mask=join_masks(grant.mask for grant in grants),
        database=_database([session.database for session in sessions]),
    )


def _database(sections: Sequence[DatabaseSection]) -> DatabaseTerms:
    """Writing is a feature that any grant gives; masking is a rule, and all of them count."""
    masking = [one for one in sections if one.mask]
    return DatabaseTerms(
        read_only=all(one.read_only for one in sections),
        mask=tuple(dict.fromkeys(glob for one in masking for glob in one.mask)),
        masked_elsewhere=max(
            (one.masked_elsewhere for one in masking),
            key=[Action.ALLOW, Action.APPROVE, Action.DENY].index,
            default=Action.DENY,
        ),
        unmask_columns=bool(masking) and all(one.unmask_columns for one in masking),
        parameters=all(one.parameters for one in sections),
        results=max(
            (one.results for one in sections if one.results), key=_KEPT.index, default="counts"
        ),
        function_calls=any(one.function_calls for one in sections),
    )


def environment_allowed(
    policy: Policy, identity: Identity, target: Target, login: str, name: str
) -> bool:
    """Whether a client may set this environment variable there."""
    features = grant_for(policy, identity, target, login)
    return features is not None and features.environment_allowed(name)


def reachable(policy: Policy, identity: Identity, targets: Iterable[Target]) -> tuple[Access, ...]:
    """Every target the identity may reach, with logins and what they may use together."""
    found: list[Access] = []
    for target in targets:
        grants = [one for one in policy.grants if covers_target(one, identity, target)]
        logins = dict.fromkeys(login for one in grants for login in logins_of(one, identity))
        if logins:
            found.append(Access(target, tuple(logins), joined(grants)))
    return tuple(found)


# --- certificates -----------------------------------------------------------------------------


def certificate_grant(
    policy: Policy,
    claims: Claims,
    roles: frozenset[str],
    client_address: str,
    *,
    ceiling_seconds: float = MAX_LIFETIME,
    granted: Iterable[Granted] = (),
) -> CertificateGrant:
    """What a certificate for these roles may carry: the strictest of all their grants.

    Roles that are `granted` for a time, everywhere, are among its principals; what they give is
    looked up at use, so that their end does not depend on the certificate's. IdentityError, in one
    sentence, where no certificate may be given.
    """
    lent = {one.role for one in granted if "*" in one.targets and one.role in policy.roles}
    named = (roles_of(policy, claims) & roles) | lent
    principals = sorted(role for role in named if NAME.fullmatch(role))
    if not principals:
        raise IdentityError(
            "None of the policy's roles fits this login, so it gets no certificate;"
            " ask whoever keeps the policy for a role."
        )
    grants = [grant for grant in policy.grants if grant.roles & set(principals)]
    # A role without a grant of its own still needs to be known: approvers have only that.
    lifetime = min((grant.certificate.lifetime for grant in grants), default=DEFAULT_LIFETIME)
    return CertificateGrant(
        lifetime_seconds=int(min(lifetime, ceiling_seconds, MAX_LIFETIME)),
        principals=tuple(principals),
        source_addresses=_sources(grants, client_address),
        extensions=_extensions(joined(grants) if grants else Features(pty=True)),
    )


def _extensions(features: Features) -> frozenset[str]:
    """Port forwarding is always there: `ssh -J` rides on it, and each forward is decided itself."""
    wanted = {
        "permit-pty": features.pty,
        "permit-port-forwarding": True,
        "permit-agent-forwarding": features.agent,
        "permit-X11-forwarding": features.x11,
    }
    return frozenset(name for name, given in wanted.items() if given)


def _sources(grants: Iterable[Grant], client_address: str) -> tuple[str, ...]:
    """Addresses that every grant accepts; IdentityError if the client's is not among them."""
    here = _address(client_address)
    pinned = False
    allowed: list[Network] | None = None
    for grant in grants:
        pinned = pinned or "client" in grant.certificate.source_address
        networks = _networks(grant)
        if networks:
            allowed = networks if allowed is None else _both(allowed, networks)
    if not pinned and allowed is None:
        return ()
    if here is None or (allowed is not None and not any(here in network for network in allowed)):
        raise IdentityError(
            "The policy gives no certificate to the address this login came from;"
            " log in from a network it names."
        )
    return (str(here),) if pinned else tuple(str(network) for network in allowed or ())


def _networks(grant: Grant) -> list[Network]:
    return [
        ipaddress.ip_network(one) for one in grant.certificate.source_address if one != "client"
    ]


def _both(one: Iterable[Network], other: Iterable[Network]) -> list[Network]:
    """The networks that lie in both: of two, the one inside the other."""
    found = (
        max(mine, theirs, key=lambda network: network.prefixlen)
        for mine in one
        for theirs in other
        if mine.version == theirs.version and mine.overlaps(theirs)
    )
    return list(dict.fromkeys(found))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address as the socket tells it: without a zone, and IPv4 where IPv6 only wraps it."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def describe_features(features: Features) -> tuple[str, ...]:
    """What may be used, a few words each, for the menu."""
    words = [
        ("commands", features.exec),
        ("shell", features.shell is ShellMode.GATED),
        ("ungated shell", features.shell is ShellMode.UNGATED),
        ("files", features.files),
        *((name, True) for name in sorted(features.subsystems)),
        ("forwards", bool(features.forwards)),
        ("agent", features.agent),
        ("x11", features.x11),
    ]
    shown = [word for word, given in words if given]
    if features.deadline is not None:
        shown.append(f"up to {describe_duration(features.deadline)}")
    return tuple(shown)
