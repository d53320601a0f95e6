"""All programs that start other programs, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bastion.policy.shell.launch import script, switch_user, wrapper
from bastion.policy.shell.many import find, xargs
from bastion.policy.shell.parallel import parallel
from bastion.policy.shell.runners import RUNNERS, another_kubectl, kubectl, run, ssh_like
from bastion.policy.shell.state import (
    Call,
    Reader,
)
from bastion.policy.shell.wrappers import WRAPPERS

LAUNCHERS: Final[dict[str, Callable[[Reader, Call], None]]] = {
    **dict.fromkeys(WRAPPERS, wrapper),
    **dict.fromkeys(RUNNERS, run),
    **dict.fromkeys(("k3s", "k0s", "rke2", "microk8s", "minikube"), kubectl),
    **dict.fromkeys(("microk8s.kubectl", "k3s.kubectl", "kubecolor"), another_kubectl),
    **dict.fromkeys(("autossh", "dbclient", "plink"), ssh_like),
    **dict.fromkeys(("su", "runuser", "sg", "newgrp", "ksu"), switch_user),
    **dict.fromkeys(("script", "scriptlive"), script),
    **dict.fromkeys(("find", "gfind"), find),
    "xargs": xargs,
    "parallel": parallel,
}
