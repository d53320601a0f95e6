"""Paths as text: made absolute and normalised without asking any file system.

Symbolic links are not followed, for they stand on the target: `/srv/link/../x` is read as `/srv/x`
whatever `link` is, and a link that leads out of a directory leads out of that directory's rules.
"""

from __future__ import annotations


def absolute(path: str, base: str) -> str:
    """`path`, seen from the directory `base`: no `.`, no `..`, no doubled or trailing slash.

    `base` is absolute, or begins with `~` where the home directory is unknown; a path that climbs
    out of `~` stays visible as `~/../x`. An empty path means the directory itself.
    """
    start = "/" if path.startswith("/") else base
    root, rest = ("/", start) if start.startswith("/") else ("~", start[1:])
    parts: list[str] = []
    for part in (*rest.split("/"), *path.split("/")):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in {"", ".", ".."} or (part == ".." and root == "~"):
            parts.append(part)
    return "/" + "/".join(parts) if root == "/" else "/".join(["~", *parts])


def parent(path: str) -> str:
    """The directory that holds `path`, which `absolute` made."""
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else "~")
