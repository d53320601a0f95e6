"""In which encoding a session's texts come, which its client may change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bastion.errors import ClientFault, TargetFault
from bastion.model import SqlReading, visible
from bastion.policy.sql import encodings

_CHANGING: Final = frozenset({"set", "reset"})


@dataclass(slots=True)
class Texts:
    """Reads the client's texts and names as the server will.

    Which of the readable encodings it is changes no quote and no semicolon, but names: a prepared
    statement must be known again by its name.
    """

    client: str = encodings.UTF8
    """client_encoding, by the server's own name."""
    database: str = encodings.UTF8
    """server_encoding."""
    changes: bool = False
    """It was changed, or something that changes it was sent: what is not ASCII waits for that."""

    @property
    def encoding(self) -> str:
        """What a text is read in. Where the database is SQL_ASCII the server converts nothing."""
        if self.database == encodings.SQL_ASCII:
            return encodings.UTF8
        return self.database if self.client == encodings.SQL_ASCII else self.client

    @property
    def codec(self) -> str:
        """Python's name of it."""
        return encodings.CODECS[self.encoding]

    def text(self, raw: bytes) -> str | None:
        """SQL; None where it is none in this encoding."""
        return encodings.text_of(raw, self.encoding)

    def name(self, name: str) -> str:
        """The name of a statement or portal, as `wire` gives it."""
        if name.isascii() or self.encoding == encodings.UTF8:
            return name
        found = self.text(name.encode("utf-8", "surrogateescape"))
        if found is None:
            raise ClientFault(f"a name that is not {self.encoding}.")
        return found

    def sent(self, reading: SqlReading) -> None:
        """This runs now."""
        if not self.changes:
            self.changes = any(
                use.setting == "client_encoding" and use.kind in _CHANGING
                for one in reading.statements
                for use in one.uses
            )

    def reported(self, setting: str, value: str, *, begun: bool) -> None:
        """ParameterStatus of either encoding; TargetFault where texts could not be read."""
        name = encodings.encoding_named(value)
        if setting == "client_encoding":
            self.changes = self.changes or (begun and name != self.client)
            self.client = name
        else:
            self.database = name or value
        if self.encoding not in encodings.CODECS:
            raise TargetFault(
                f"{setting} is {visible(value, limit=40)}, in which the gate cannot read SQL."
            )
