"""Fuzzed lines redirect into anything: run by hand, they find everything read-only but /tmp."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Final

_APART: Final = "BASTION_FUZZ_APART"
_SCRIPT: Final = 'mount -o remount,bind,ro / && mount -t tmpfs tmpfs /tmp && cd "$0" && exec "$@"'


def apart(module: str) -> None:
    """Run `python -m module` again where only its own /tmp can be written. Root only: others write
    no farther than they may anyway."""
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or unshare is None or _APART in os.environ:
        return
    spaces = ("--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
    again = (sys.executable, "-m", module, *sys.argv[1:])
    os.execve(
        unshare,
        ["unshare", *spaces, "sh", "-c", _SCRIPT, os.getcwd(), *again],
        {**os.environ, _APART: "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
