"""Every masking of one bastion: what holds everywhere, and what a policy says for one place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from bastion.model import Secret
from bastion.policy.jsonpath import Paths
from bastion.policy.masking import MaskTerms
from bastion.tap.detect import Detectors, Late
from bastion.tap.known import Known
from bastion.tap.marks import Marks
from bastion.tap.mask import Masking, mask_text

EXACT: Final = frozenset(
    {
        *("session", "channel", "session_id", "channel_id", "approval", "grant", "serial", "id"),
        *("hash", "sha256", "stdin_sha256", "stdout_sha256", "stderr_sha256", "removed_sha256"),
        *("identity", "subject", "approver", "target", "login", "address", "key", "mark", "value"),
    }
)
"""Names of fields that are kept as they are: what is linked by them must stay linked."""

DEEPEST: Final = 8
"""Levels of a value: nothing that is written has more."""


class Masks:
    """All detectors that are known, the key of the marks, and the credentials in use now."""

    def __init__(self, detectors: Detectors, marks: Marks) -> None:
        self.detectors = detectors
        self.marks = marks
        self._made: dict[MaskTerms, Masking] = {}
        self._live: list[tuple[bytes, ...]] = []
        self._known = Known()
        self.everywhere = self.at(MaskTerms())
        """For what belongs to no grant: the audit, the ledger, the log, sentences."""

    def at(self, terms: MaskTerms) -> Masking:
        """What a policy's terms come to. There are as many of these as a policy has grants."""
        made = self._made.get(terms)
        if made is None:
            both = ((one, {one.name, one.kind}) for one in self.detectors.each)
            looking = Detectors(
                one
                for one, names in both
                if (one.always or names & terms.also) and not names & terms.without
            )
            late = None if terms.late is None else Late(terms.late)
            json = Paths(sorted(terms.json)) if terms.json else None
            made = Masking(looking, self.marks, late, terms.keep_width, json)
            self._made[terms] = made
        return made

    def hold(self, secrets: Iterable[Secret]) -> Callable[[], None]:
        """Mask these credentials in whatever the bastion writes, until what is given is called."""
        values = tuple(secret.reveal() for secret in secrets)
        self._live.append(values)
        self._know()

        def drop() -> None:
            if values in self._live:
                self._live.remove(values)
                self._know()

        return drop

    def _know(self) -> None:
        self._known = Known({value for values in self._live for value in values})

    def text(self, text: str) -> str:
        """Mask a text of the bastion's own: `everywhere`, and every credential in use."""
        return mask_text(text, self.everywhere, self._known)[0]

    def fields(self, fields: Mapping[str, object]) -> dict[str, object]:
        """Mask every text in named values, as JSON has them; names and EXACT ones stay."""
        return {
            name: value if _exact(name, value) else self._value(value, DEEPEST)
            for name, value in fields.items()
        }

    def _value(self, value: object, depth: int) -> object:
        if isinstance(value, str):
            return self.text(value)
        if depth and isinstance(value, Mapping):
            return {
                name: one if _exact(name, one) else self._value(one, depth - 1)
                for name, one in value.items()
            }
        if depth and isinstance(value, list | tuple | set | frozenset):
            return [self._value(one, depth - 1) for one in value]
        return value


def _exact(name: str, value: object) -> bool:
    """An id, say; a whole thing under such a name (`grant: {reason: …}`) has texts of its own."""
    return name in EXACT and not isinstance(value, Mapping)


UNMASKED: Final = Masks(Detectors(()), Marks(b""))
"""For stores that are read, or that hold what was masked before."""
