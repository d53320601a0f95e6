"""Tab in a gated shell: the shell on the target says what there is."""

from __future__ import annotations

import pytest

from tests.harness.running import bastion
from tests.harness.terminal import at_terminal

pytestmark = pytest.mark.story

SESSION = "{shell: gated, pty: true}"


@pytest.mark.parametrize("dialect", ["bash", "zsh"])
async def test_words_are_completed_by_the_shell_of_the_target(tmp_path, dialect):
    (tmp_path / "with blank").mkdir()
    (tmp_path / "with blank" / "file").touch()
    extra = f"\n    dialect: {dialect}"
    async with (
        bastion(tmp_path, session=SESSION, target_extra=extra) as running,
        at_terminal(running) as person,
    ):
        await person.prompt("#")
        for typed, shown in [
            ("cat /et\t", "cat /etc/"),
            (f"\x15ls {tmp_path}/wi\t", f"ls {tmp_path}/with\\ blank/"),
            ("f\t", f"ls {tmp_path}/with\\ blank/file"),
            ("\x15cd /et\t", "cd /etc/"),
            ("\x15mkfi\t", "mkfifo"),
            ("\x15echo $PW\t", "echo $PWD"),
            ("\x15ls ~roo\t", "ls ~root/"),
        ]:
            person.type(typed)
            await person.until(lambda screen, shown=shown: shown in screen.replace("\n", ""))
