"""Key echo, colours and memory of the line editor: `python -m tests.bench.bench_editor`."""

from __future__ import annotations

import asyncio
import resource
import time
from typing import Final

from bastion.editor.colour import paint
from bastion.editor.editor import LineEditor
from bastion.editor.history import HistoryFile
from bastion.editor.values import Outlook, Prompt
from bastion.policy.actions import Action
from bastion.policy.shell.reading import is_complete

COMMAND: Final = "kubectl get pods -n shop | grep -v Running && systemctl status 'my app' > /tmp/x "
LONG: Final = ("for f in *.log; do echo \"$f\" | sed 's/a/b/' >> out.txt; done; " * 80)[:4096]
PROMPT: Final = Prompt("deploy", "web1", "/srv/app")
TOGETHER: Final = 50
PACE: Final = 0.05
"""Seconds between two keys in a long line, as fast as people type: see REST of the editor."""


def editor(written: list[float]) -> LineEditor:
    """An editor that notes when it wrote."""

    async def complete(asked: object) -> list[str]:
        return []

    return LineEditor(
        write=lambda data: written.append(time.perf_counter()),
        term="xterm-256color",
        columns=120,
        rows=40,
        outlook=lambda text: Outlook(Action.ALLOW),
        complete=complete,
        history=HistoryFile(None, str),
        is_complete=is_complete,
    )


async def typed(text: str, before: str = "") -> list[float]:
    """Milliseconds from the arrival of each key to the echo of it."""
    written: list[float] = []
    one = editor(written)
    reading = asyncio.ensure_future(one.read_line(PROMPT, before))
    await asyncio.sleep(0)
    echoes = []
    for character in text:
        arrived = time.perf_counter()
        one.feed(character.encode())
        while written[-1] < arrived:
            await asyncio.sleep(0)
        echoes.append((written[-1] - arrived) * 1e3)
        await asyncio.sleep(PACE if before else 0)
    reading.cancel()
    one.close()
    return echoes


async def together(count: int, text: str) -> list[float]:
    """The same for `count` editors whose keys arrive at the same instant: the worst case."""
    written: list[list[float]] = [[] for _ in range(count)]
    editors = [editor(each) for each in written]
    readings = [asyncio.ensure_future(one.read_line(PROMPT)) for one in editors]
    await asyncio.sleep(0)
    echoes = []
    for character in text:
        arrived = time.perf_counter()
        for one in editors:
            asyncio.get_running_loop().call_soon(one.feed, character.encode())
        while any(each[-1] < arrived for each in written):
            await asyncio.sleep(0)
        echoes += [(each[-1] - arrived) * 1e3 for each in written]
    for reading in readings:
        reading.cancel()
    return echoes


async def lines(count: int) -> list[float]:
    """Milliseconds for a prompt, `ls` and Enter."""
    written: list[float] = []
    one = editor(written)
    took = []
    for _ in range(count):
        began = time.perf_counter()
        reading = asyncio.ensure_future(one.read_line(PROMPT))
        await asyncio.sleep(0)
        one.feed(b"ls\r")
        await reading
        took.append((time.perf_counter() - began) * 1e3)
    return took


def colours(text: str, rounds: int = 50) -> list[float]:
    """Milliseconds to colour one text."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        paint(text)
        took.append((time.perf_counter() - began) * 1e3)
    return took


def kib_each(count: int = 200) -> float:
    """KiB that an editor at its prompt holds."""

    async def hold() -> float:
        before = resident()
        editors = [editor([]) for _ in range(count)]
        readings = [asyncio.ensure_future(one.read_line(PROMPT)) for one in editors]
        await asyncio.sleep(0)
        for one in editors:
            one.feed(COMMAND.encode())
        held = resident() - before
        for reading in readings:
            reading.cancel()
        return held / count

    return asyncio.run(hold())


def resident() -> float:
    """KiB of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 1024


def row(title: str, found: list[float]) -> str:
    """p50 and p99, in milliseconds."""
    ordered = sorted(found)
    half, most = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    return f"{title:44} p50 {half:7.2f} ms   p99 {most:7.2f} ms"


def main() -> None:
    """Print a line a measurement."""
    asyncio.run(typed(COMMAND))
    print(row("key echo, a line of 80", asyncio.run(typed(COMMAND * 5))[:400]))
    print(row("key echo, at the end of a line of 1 KB", asyncio.run(typed(COMMAND, LONG[:1024]))))
    print(row("key echo, at the end of a line of 4 KB", asyncio.run(typed(COMMAND, LONG))))
    print(
        row(f"key echo, {TOGETHER} keys at one instant", asyncio.run(together(TOGETHER, COMMAND)))
    )
    print(row("prompt, `ls`, Enter", asyncio.run(lines(200))))
    print(row("colours of 80 characters", colours(COMMAND)))
    print(row("colours of 4 KB", colours(LONG)))
    print(f"memory of an editor at its prompt: {kib_each():.0f} KiB")


if __name__ == "__main__":
    main()
