"""What bastion.yaml says about recordings."""

from __future__ import annotations

from bastion.policy.document import Section
from bastion.policy.fields import Duration, Size


class RecordingsEntry(Section):
    """What becomes of recordings after they have ended."""

    pack_after: Duration = 3600.0
    """Then they are compressed."""
    keep: Duration | None = None
    """Then they are deleted; never, if left out."""
    keep_size: Size | None = None
    """Beyond this the oldest are deleted."""
