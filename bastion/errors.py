"""What can go wrong, and whose fault it is.

BastionError
├── ConfigError          a file that an operator wrote is wrong; carries every fault with its place
│   └── PolicyError
├── IdentityError        who this is could not be established (the message is fit for the user)
│   ├── LoginRefused     the provider, or the person at it, said no
│   ├── LoginExpired     nobody finished the login in time
│   └── ProviderDown     the provider cannot be reached; live sessions are not touched
├── SecretUnavailable    a credential reference did not resolve
├── DialError            the target cannot be reached, or is not what it should be (one sentence)
├── RecordingFailed      the recording cannot be written: the channel ends with 254
├── StoreError           the state directory is unusable, damaged, or too open
├── NotAsked             a question cannot be put to people now (the message says why)
├── AnswerRefused        this answer to an approval does not count (the message says why)
├── ControlError         the control socket cannot be reached, or refused the call
├── CastFault            a file is not the asciicast v2 it should be
└── ProtocolFault        bytes that break a protocol; refused, audited
    ├── ClientFault      sent by the client
    ├── TargetFault      sent by the target
    └── ContentBlocked   no broken protocol, but content that may not pass

Every message is one sentence that a user may read; none holds a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class BastionError(Exception):
    """The root: `str()` of any of these is one sentence fit to be shown."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a file: `place` is `file:line:column`, 1-based, as editors expect it."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class ConfigError(BastionError):
    """A file is wrong. All its faults are told at once, one a line."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class PolicyError(ConfigError):
    """A policy is wrong, or one of its examples does not hold."""


class IdentityError(BastionError):
    """Who this is could not be established."""


class LoginRefused(IdentityError):
    """The provider, or the person in front of it, said no."""


class LoginExpired(IdentityError):
    """Nobody finished the login in time."""


class ProviderDown(IdentityError):
    """The identity provider cannot be reached or answers nonsense."""


class SecretUnavailable(BastionError):
    """A credential reference did not resolve."""


class DialError(BastionError):
    """The target cannot be reached, or is not what it should be. `code`: the SQLSTATE by which a
    database said why."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class RecordingFailed(BastionError):
    """The recording cannot be written; nothing may go on unrecorded."""


class StoreError(BastionError):
    """The state directory is unusable, damaged, or open to others."""


class NotAsked(BastionError):
    """A question cannot be put to people now; the request is denied."""


class AnswerRefused(BastionError):
    """An answer to an approval does not count; the approval is as it was."""


class ControlError(BastionError):
    """The control socket cannot be reached, or refused the call."""


class CastFault(BastionError):
    """A file is not the asciicast v2 it should be."""


class ProtocolFault(BastionError):
    """Bytes that break a protocol."""


class ClientFault(ProtocolFault):
    """The client broke the protocol."""


class TargetFault(ProtocolFault):
    """The target broke the protocol."""


class ContentBlocked(ProtocolFault):
    """A file holds what policy keeps from being copied."""
