"""Every masking of one bastion: what holds everywhere, and what a policy says for one place."""

from __future__ import annotations

from bastion.policy.masking import MaskTerms
from bastion.tap.detect import Detectors, Late
from bastion.tap.marks import Marks
from bastion.tap.mask import Masking, mask_text


class Masks:
    """All detectors that are known, and the key of the marks."""

    def __init__(self, detectors: Detectors, marks: Marks) -> None:
        self.detectors = detectors
        self._marks = marks
        self._made: dict[MaskTerms, Masking] = {}
        self.everywhere = self.at(MaskTerms())
        """For what belongs to no grant: the audit, the ledger, the log, sentences."""

    def at(self, terms: MaskTerms) -> Masking:
        """What a policy's terms come to. There are as many of these as a policy has grants."""
        made = self._made.get(terms)
        if made is None:
            names = {one.name for one in self.detectors.each if one.always}
            names = (names | terms.also) - terms.without
            late = None if terms.late is None else Late(terms.late)
            detectors = self.detectors.only(names)
            made = Masking(detectors, self._marks, late, terms.keep_width)
            self._made[terms] = made
        return made

    def text(self, text: str) -> str:
        """Mask a text of the bastion's own: `everywhere`, at once."""
        return mask_text(text, self.everywhere)[0]
