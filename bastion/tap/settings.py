"""What bastion.yaml says about secrets in what targets send."""

from __future__ import annotations

from bastion.policy.document import Section


class MaskEntry(Section):
    """Secrets in what targets send."""

    detectors: str = ""
    """A file of own detectors, in the form of the shipped one."""
