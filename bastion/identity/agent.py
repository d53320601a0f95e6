"""The person's running ssh-agent: key and certificate go in, with the certificate's lifetime."""

from __future__ import annotations

import os

import asyncssh

from bastion.errors import IdentityError
from bastion.identity.enrol import Enrolment


async def _connect() -> asyncssh.SSHAgentClient:
    path = os.environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise IdentityError(
            "No ssh-agent is running (SSH_AUTH_SOCK is not set); start one with "
            '`eval "$(ssh-agent)"`, or use --out DIR to write the key to files.'
        )
    try:
        return await asyncssh.connect_agent(path)
    except (OSError, asyncssh.Error) as error:
        raise IdentityError(
            f"The ssh-agent at {path} does not answer ({error}); use --out DIR instead."
        ) from None


async def check_agent() -> None:
    """IdentityError when there is no agent; asked before a person logs in for nothing."""
    async with await _connect():
        pass


async def load_into_agent(enrolment: Enrolment, comment: str, *, seconds: int) -> None:
    """Add the key with its certificate for `seconds`, in place of one with the same comment.

    The agent forgets it by itself then. IdentityError when there is no agent, or it refuses.
    """
    async with await _connect() as agent:
        try:
            keys = await agent.get_keys()
            mark = comment.encode()  # others' comments need not be text
            await agent.remove_keys([key for key in keys if key.get_comment_bytes() == mark])
            # The bare key opens nothing, and each key in an agent costs one of the few tries
            # that servers allow.
            pairs = asyncssh.load_keypairs([(enrolment.key, enrolment.certificate)])
            certified = [pair for pair in pairs if pair.has_cert]
            for pair in certified:
                pair.set_comment(comment)
            await agent.add_keys(certified, lifetime=seconds)
        except (ValueError, OSError, asyncssh.Error) as error:
            raise IdentityError(f"The ssh-agent refused the key: {error}.") from None
