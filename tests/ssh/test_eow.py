"""`ssh … | head`: a client whose output nobody reads ends the program, as plain ssh does."""

from __future__ import annotations

import pytest

from tests.harness.running import bastion

pytestmark = pytest.mark.story


@pytest.mark.parametrize("via", ["direct", "jump"])
async def test_a_closed_pipe_let_the_target_write_for_ever(tmp_path, via):
    async with bastion(tmp_path, opaque="allow") as running:
        target = " ".join(running.to_target(via))
        ssh = f"ssh -F {running.ssh_config} -n {target} yes"
        ran = await running.run("bash", "-c", f"{ssh} | head -2", wait=20)
        assert (ran.status, ran.stdout) == (0, b"y\ny\n")
        assert running.casts()[-1].stat().st_size < 50_000_000
