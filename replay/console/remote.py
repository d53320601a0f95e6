"""The console as the bastion starts it on an SSH channel: its connection was handed over."""

from __future__ import annotations

import sys

from replay.console.app import ConsoleApp
from replay.console.link import by_descriptor
from replay.handed import take_terminal


def main() -> None:
    """Run on the descriptor that `--control-fd=N` names."""
    descriptor = take_terminal(sys.argv)
    said = ConsoleApp(by_descriptor(descriptor), again=False).run()
    if said:
        sys.stderr.write(f"bastion: {said}\n")


if __name__ == "__main__":
    main()
