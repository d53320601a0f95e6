"""What bastion.yaml says about recordings."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from bastion.policy.document import Section
from bastion.policy.fields import Duration, OneOrMany, Size
from bastion.store.encrypting import parse_recipient


def _recipient(text: str) -> str:
    parse_recipient(text)
    return text


Recipient = Annotated[str, AfterValidator(_recipient)]


class RecordingsEntry(Section):
    """What becomes of recordings after they have ended."""

    pack_after: Duration = 3600.0
    """Then they are compressed."""
    encrypt_to: OneOrMany[Recipient] = ()
    """age recipients; what is recorded from then on only they can read."""
    keep: Duration | None = None
    """Then they are deleted; never, if left out."""
    keep_size: Size | None = None
    """Beyond this the oldest are deleted."""
