"""The tests' targets are real: the demo's launcher of sshd, and accounts beside one's own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import uuid
from collections.abc import Iterator

from bastion.demo.sshd import Sshd, SshdOptions, sshd

__all__ = ["Sshd", "SshdOptions", "account", "sshd"]


@contextlib.contextmanager
def account(*, password: str = "", shell: str = "/bin/bash") -> Iterator[str]:
    """A new account of this machine, gone afterwards: the login's name. Only root can."""
    assert os.geteuid() == 0, "only root makes accounts"
    login = f"t{uuid.uuid4().hex[:12]}"
    # `*` is no password and no lock: sshd refuses whoever is locked, keys or not.
    subprocess.run(["useradd", "-m", "-p", "*", "-s", shell, login], check=True)
    try:
        if password:
            subprocess.run(["chpasswd"], input=f"{login}:{password}", text=True, check=True)
        yield login
    finally:
        subprocess.run(["userdel", "-r", login], check=True, stderr=subprocess.DEVNULL)
