"""Where recordings come from: a folder of files here; a bastion's control socket elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from bastion.errors import CastFault
from bastion.wire import asciicast
from bastion.wire.encrypted import OpenKey
from bastion.wire.packed import FORMS, form_of, no_key, unpacked
from replay.castfile import CastFile
from replay.happenings import HappeningsFile
from replay.spool import check_regular, plain_file
from replay.tape import MAX_TRACKS, Tape, Track

EVENTS_SUFFIX: Final = ".events.jsonl"

MAX_ENTRIES: Final = 5000
"""Sessions that are listed: more than that is for a search."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A session that can be played. `key` names it to its catalogue."""

    key: str
    began: float
    who: str
    target: str
    title: str
    live: bool = False
    channels: int = 1
    names: tuple[str, ...] = ()
    """Of the channels, where the catalogue needs them."""


class Catalogue(Protocol):
    """A list of recordings. Both methods wait, so they are not called from a screen's own loop."""

    def find(self, text: str) -> Sequence[Entry]:
        """Sessions whose names, commands or screens hold the text, newest first; all for ""."""

    def open(self, entry: Entry) -> Tape:
        """What is to be played; CastFault where it cannot be."""


class Folder:
    """Casts below a folder: each folder that holds some is a session."""

    def __init__(self, path: Path, open_key: OpenKey = no_key) -> None:
        self._path = path
        self._open_key = open_key

    def find(self, text: str) -> Sequence[Entry]:
        """Look into headers and events; screens are not searched without an index."""
        wanted = text.casefold()
        found = [entry for entry in self._entries() if wanted in self._words(entry, bool(wanted))]
        return sorted(found, key=lambda entry: -entry.began)

    def open(self, entry: Entry) -> Tape:
        """All casts of that folder."""
        return open_tape(casts_in(Path(entry.key)), open_key=self._open_key)

    def _entries(self) -> Iterator[Entry]:
        paths = sorted(self._path.rglob("*.cast*"))
        folders = dict.fromkeys(path.parent for path in paths if _is_cast(path))
        for folder in list(folders)[:MAX_ENTRIES]:
            casts = casts_in(folder)
            headers = (_header(path, self._open_key) for path in casts)
            header = next((one for one in headers if one is not None), None)
            if header is not None:
                facts = {name: str(value) for name, value in header.bastion.items()}
                login, target = facts.get("login", ""), facts.get("target", "")
                yield Entry(
                    str(folder),
                    header.timestamp,
                    facts.get("identity", ""),
                    f"{login}@{target}" if login else target,
                    facts.get("request", "") or header.title or casts[0].name,
                    channels=len(casts),
                )

    def _words(self, entry: Entry, deep: bool) -> str:
        said = [entry.who, entry.target, entry.title, entry.key]
        if deep:
            for path in Path(entry.key).glob(f"*{EVENTS_SUFFIX}*"):
                said += [
                    one.title for one in HappeningsFile(plain_file(path, self._open_key)).read_new()
                ]
        return "\n".join(said).casefold()


def open_tape(paths: Sequence[Path], *, live: bool = False, open_key: OpenKey = no_key) -> Tape:
    """A tape of casts, each with the events file that lies beside it; nothing is indexed yet."""
    tracks: list[Track] = []
    try:
        for path in paths[:MAX_TRACKS]:
            name = path.name.removesuffix(f".{form_of(path.name)}").removesuffix(".cast")
            cast = CastFile(plain_file(path, open_key), live=live, whole=False, name=path.name)
            events = (
                HappeningsFile(_events_beside(path, name, open_key)) if name != path.name else None
            )
            tracks.append(Track(name, cast, events))
    except CastFault:
        for track in tracks:
            track.cast.close()
        raise
    return Tape(tracks)


def casts_in(folder: Path) -> list[Path]:
    """The casts that lie in a folder, plain or packed."""
    return sorted(path for path in folder.glob("*.cast*") if _is_cast(path))


def _is_cast(path: Path) -> bool:
    return path.name.endswith(tuple(f".cast{'.' if form else ''}{form}" for form in FORMS))


def _events_beside(cast: Path, name: str, open_key: OpenKey) -> Path:
    """The events file of a cast, unpacked where it is packed; it need not be there."""
    for form in FORMS:
        path = cast.with_name(f"{name}{EVENTS_SUFFIX}{'.' if form else ''}{form}")
        if path.exists():
            return plain_file(path, open_key)
    return cast.with_name(f"{name}{EVENTS_SUFFIX}")


def _header(path: Path, open_key: OpenKey) -> asciicast.Header | None:
    try:
        check_regular(path)
        with path.open("rb") as file:
            line = unpacked(file, form_of(path.name), open_key).readline(asciicast.MAX_LINE)
            return asciicast.decode_header(line)
    except (OSError, CastFault):
        return None
