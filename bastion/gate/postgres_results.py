"""The rows of a result, for the client and for the record: masked columns, masked secrets.

What goes on the record is what the client gets: a cell is masked before either has it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bastion.errors import TargetFault
from bastion.gate.postgres_cells import Cells, Plan, Shape, plan_of, plan_unknown
from bastion.gate.postgres_flight import Run
from bastion.gate.postgres_long import LongRow
from bastion.gate.postgres_mask import Masks, masked_row
from bastion.gate.postgres_rows import Keeper
from bastion.wire import postgres as wire
from bastion.wire.postgres import Message
from bastion.wire.postgres_frames import PIECE


class Results:
    """Takes what the server sends of rows and copies; gives what the client gets."""

    def __init__(self, masks: Masks, keeper: Keeper | None = None) -> None:
        self.masks = masks
        self.cells = None if masks.cells is None else Cells(masks.cells)
        self.keeper = keeper
        """Keeps rows for the record, where the policy says so."""
        self.clean = True
        """What has arrived goes on as it is, but for rows that come in pieces."""
        self._signs = self._in_data = False
        self._long: LongRow | None = None

    @property
    def described(self) -> bool:
        """Whether the columns of a row have to be known before it is shown."""
        return self.masks.active or self.cells is not None or self.keeper is not None

    def arrived(self, data: bytes, *, begun: bool) -> None:
        """Bytes of the server are about to be taken; `begun`: the first message began before them.

        One look at them all answers for each: there are thousands of rows a second.
        """
        self._in_data = self.masks.cells is not None and self.masks.cells.may(data)
        self._expect(signs=self._in_data or (begun and self.masks.cells is not None))

    @property
    def passes(self) -> bool:
        """Whether what lies in the arrived data as a whole goes on as it is."""
        return not (self._in_data or self.masks.active or self.keeper)

    def first_taken(self) -> None:
        """The message that had begun before is taken: what follows lies in the data as a whole."""
        self._expect(signs=self._in_data)

    def _expect(self, *, signs: bool) -> None:
        self._signs = signs
        self.clean = not (signs or self.masks.active or self.keeper)

    def suspect(self, raw: bytes) -> bool:
        """Whether a whole message may hold a secret."""
        return self._signs and self.masks.cells is not None and self.masks.cells.may(raw)

    # --- rows -----------------------------------------------------------------------------------

    def row(self, message: Message, run: Run) -> bytes:
        """A DataRow, or a piece of one."""
        hidden: Sequence[int] = ()
        if self.masks.active:
            hidden = self._hidden(message, run)
        if _is_long(message) and not hidden:
            return self._piece(message, run, self._plan(run))
        suspect = self.suspect(message.raw)
        if not (hidden or suspect or self.keeper):
            return message.raw
        values = wire.decode_row(message.body)
        changed = False
        if run.columns is not None and len(values) != len(run.columns):
            if self.masks.active:
                raise TargetFault("the database sent a row of another shape than it described.")
            run.columns, run.plan = None, None
        if hidden and run.columns is not None:
            masked_row(values, run.columns, run.formats, hidden)
            changed = True
        if suspect and self.cells is not None:
            plan = self._plan(run) if run.columns is not None else plan_unknown(values, run.formats)
            changed = self.cells.row(values, plan) or changed
        if self.keeper is not None:
            self.keeper.row(run, values)
        return wire.encode_row(values) if changed else message.raw

    def _hidden(self, message: Message, run: Run) -> Sequence[int]:
        if run.columns is None:
            raise TargetFault("the database sent rows that it did not describe; they are masked.")
        hidden = self.masks.hidden(run.columns)
        if hidden and not (message.first and message.last):
            raise TargetFault("a row that is masked is too long.")
        return hidden

    def _plan(self, run: Run) -> Plan:
        if run.plan is None:
            run.plan = plan_of(run.columns or (), run.formats)
        return run.plan

    def _piece(self, message: Message, run: Run, plan: Plan | None) -> bytes:
        """Of what is too long to be kept whole."""
        if message.first:
            self._fits(plan)
            if self.keeper is not None:
                self.keeper.long(run)
            self._long = None
            if self.masks.cells is not None and self.cells is not None:
                self._long = LongRow(self.masks.cells, self.cells.found, plan)
        if self._long is None:
            return message.raw
        return self._long.feed(message.raw, last=message.last)

    def _fits(self, plan: Plan | None) -> None:
        """In pieces no path of JSON can be followed to a value of the same length."""
        has_json = any(shape in (Shape.JSON, Shape.JSONB) for _, shape in plan or ())
        if has_json and self.masks.cells is not None and self.masks.cells.paths:
            raise TargetFault(
                "a row whose JSON is masked is too long; ask for its other columns, or for fewer"
                " members of it."
            )

    # --- copies, and what else the server says --------------------------------------------------

    def copied(self, message: Message, run: Run) -> bytes:
        """CopyData: a line of the copy, or a piece of one. Its columns were decided before."""
        if _is_long(message):
            return self._piece(message, run, None)
        body = message.body
        if self.cells is not None and self.suspect(message.raw):
            body = self.cells.copied(body, binary=run.copies_binary)
        if self.keeper is not None:
            self.keeper.row(run, [body.rstrip(b"\r\n")])
        return message.raw if body is message.body else wire.encode(b"d", body)

    def value(self, value: bytes) -> bytes:
        """What a function gives that was called by its number."""
        return value if self.cells is None else self.cells.cell(value, Shape.BYTES) or b""

    def text(self, text: str) -> str:
        """A sentence, a payload, a setting of the server."""
        return text if self.cells is None else self.cells.text(text)

    def found(self) -> dict[str, int]:
        """What was masked since the last call, by detector."""
        if self.cells is None or not self.cells.found:
            return {}
        found = dict(self.cells.found)
        self.cells.found.clear()  # which a long row still counts in
        return found


def _is_long(message: Message) -> bool:
    return not (message.first and message.last) or len(message.raw) > PIECE
