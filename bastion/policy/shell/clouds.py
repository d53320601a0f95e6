"""Command lines of clouds: where they start a shell or a command on a machine of theirs."""

from __future__ import annotations

from typing import Final

from bastion.policy.facts import OpaqueKind
from bastion.policy.shell import launch, shells
from bastion.policy.shell.options import option_values
from bastion.policy.shell.state import Call, Reader, literal, names, text_of

_REACHES: Final = names(
    """
    ssh start-session execute-command send-command run-command start-interactive-session
    cloud-shell invoke-command remote-debug
    """
)
"""Verbs that lead onto a machine, or make one run something."""
_TEXTS: Final = ("--command", "--exec-command", "--scripts", "--cmd")


def cloud(reader: Reader, call: Call) -> None:
    """Read `gcloud compute ssh`, `aws ssm`, `az vm run-command`, …: what is run, if it is told."""
    texts = [text_of(word) for word in call.operands]
    if not _REACHES & set(texts):
        return
    told = option_values(call, _TEXTS)
    for value in told:
        shells.run_word(reader, call, value)
    if "--" in texts:
        behind = call.operands[texts.index("--") + 1 :]
        launch.start(reader, call, [literal("ssh"), literal(call.program), *behind])
        told = told or behind
    if not told:
        reader.cannot_tell(
            OpaqueKind.INTERACTIVE, f"{call.program} runs something elsewhere", " ".join(texts[:3])
        )
    for value in option_values(call, ("--ssh-flag", "--scp-flag", "--parameters", "--document")):
        reader.cannot_tell(
            OpaqueKind.CODE, f"{call.program} hands on what may run anything", text_of(value)
        )
