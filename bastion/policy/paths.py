"""Paths as text: made absolute and normalised without asking any file system.

Symbolic links are not followed, for they stand on the target: `/srv/link/../x` is read as `/srv/x`
whatever `link` is, and a link that leads out of a directory leads out of that directory's rules.
"""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.globs import normalise

LONGEST: Final = 4096
"""Characters: no system opens a longer path, and a deep tree of long names fills the memory."""

_SECOND_NAME: Final = re.compile(
    r"/(?:proc/(?:self|thread-self|[0-9]+)(?:/task/[0-9]+)?/(?:root|cwd|fd|map_files)|dev/fd)(?:/|$)"
)


def absolute(path: str, base: str) -> str:
    """`path`, seen from the directory `base`: no `.`, no `..`, no doubled or trailing slash.

    `base` is absolute, or begins with `~` where the home directory is unknown; a path that climbs
    out of `~` stays visible as `~/../x`. An empty path means the directory itself.
    """
    if path.startswith("/"):
        return normalise(path)
    if base.startswith("/"):
        return normalise(f"{base}/{path}")
    inside = normalise(f".{base[1:]}/{path}")
    return "~" if inside == "." else f"~/{inside}"


def parent(path: str) -> str:
    """The directory that holds `path`, which `absolute` made."""
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else "~")


def obstacle(path: str) -> str:
    """Why a path that `absolute` made cannot be told by its text; empty where it can."""
    if "\0" in path:
        return "a path holds a zero byte"
    if len(path) > LONGEST:
        return f"a path is longer than {LONGEST} characters"
    if _SECOND_NAME.match(path):
        return "a path leads through /proc, where every file has a second name"
    return ""
