"""The rows of a result, for the client and for the record: masked columns, masked secrets.

What goes on the record is what the client gets: a cell is masked before either has it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bastion.errors import TargetFault
from bastion.gate.postgres.cells import Cells, Plan, Shape, plan_of, plan_unknown
from bastion.gate.postgres.flight import Run
from bastion.gate.postgres.long import LongRow
from bastion.gate.postgres.mask import Masks, masked_row
from bastion.gate.postgres.rows import Keeper
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
        hidden = self._hidden(message, run) if self.masks.active else ()
        if _is_long(message) and not hidden:
            return self._piece(message, run, self._plan(run))
        suspect = self.suspect(message.raw)
        if not (hidden or suspect or self.keeper):
            return message.raw
        values = wire.decode_row(message.body)
        if run.columns is not None and len(values) != len(run.columns):
            if self.masks.active:
                raise TargetFault("the database sent a row of another shape than it described.")
            run.columns, run.plan = None, None
        if run.clear:
            return self._shown(message, run, values, hidden)
        changed = self._masked(run, values, hidden, secrets=suspect)
        if self.keeper is not None:
            self.keeper.row(run, values)
        return wire.encode_row(values) if changed else message.raw

    def _shown(
        self, message: Message, run: Run, values: list[bytes | None], hidden: Sequence[int]
    ) -> bytes:
        """A row that people let be shown in clear, which is on record masked all the same."""
        shown = list(values)
        if not run.shows_columns:
            self._masked(run, shown, hidden, secrets=False)
        if self.keeper is not None:
            made = self.masks.made(run.columns or ()) if run.shows_columns else ()
            self._masked(run, values, (*hidden, *made), secrets=self.suspect(message.raw))
            self.keeper.row(run, values)
        return wire.encode_row(shown) if hidden and not run.shows_columns else message.raw

    def _masked(
        self, run: Run, values: list[bytes | None], hidden: Sequence[int], *, secrets: bool
    ) -> bool:
        """Mask in place: columns, and secrets in the others; whether anything was."""
        if hidden and run.columns is not None:
            masked_row(values, run.columns, hidden)
        changed = bool(hidden)
        if secrets and self.cells is not None:
            plan = self._plan(run) if run.columns is not None else plan_unknown(values, run.formats)
            changed = self.cells.row(values, plan) or changed
        return changed

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
            if self.masks.cells is not None and self.cells is not None and not run.clear:
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

    def begin_copy(self, run: Run, said: bytes) -> None:
        """CopyOutResponse: a format, and that of each column."""
        run.copies_binary = said[:1] == b"\x01"
        if self.masks.active and run.touches:
            if run.copy is None:
                raise TargetFault("the database copies out what the gate did not read as a copy.")
            count = int.from_bytes(said[1:3], "big")
            run.copy.begin(self.masks, count, binary=run.copies_binary)

    def end_copy(self, run: Run) -> None:
        """CopyDone."""
        if run.copy is not None and run.copy.masker is not None:
            run.copy.masker.finish()

    def copied(self, message: Message, run: Run) -> bytes:
        """CopyData: a line of the copy, or a piece of one."""
        masker = run.copy.masker if run.copy is not None else None
        body = original = message.body if message.first else message.raw
        if masker is not None:
            body = masker.feed(original)
        if _is_long(message):
            return (
                self._copied_piece(message, run, body)
                if masker
                else self._piece(message, run, None)
            )
        recorded = body
        if self.cells is not None and self.suspect(message.raw):
            recorded = self.cells.copied(body, binary=run.copies_binary)
        if self.keeper is not None:
            self.keeper.row(run, [recorded.rstrip(b"\r\n")])
        shown = (original if run.shows_columns else body) if run.clear else recorded
        return message.raw if shown is original else wire.encode(b"d", shown)

    def _copied_piece(self, message: Message, run: Run, body: bytes) -> bytes:
        """Its length is not known before its end, so each piece is a message of its own: COPY is
        a stream, whose messages mean nothing."""
        if run.shows_columns:
            body = message.body if message.first else message.raw
        head = b"d\0\0\0\0" if message.first else b""
        piece = self._piece(message._replace(raw=head + body), run, None)[len(head) :]
        return wire.encode(b"d", piece) if piece else b""

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
