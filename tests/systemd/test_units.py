"""The units are well formed, hardened, and say where things are as the configuration does."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "systemd"
EXPOSURE = 1.5
"""systemd's own score, 0 (none) to 10; unprotected services score above 9."""

analyze = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed"
)


def read(name):
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(UNITS / name)
    return unit


@analyze
def test_systemd_understands_every_line(tmp_path):
    program = tmp_path / "bastion"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for name in ("bastion.service", "bastion.socket", "bastion-tidy.service", "bastion-tidy.timer"):
        text = (UNITS / name).read_text().replace("/opt/bastion/bin/bastion", str(program))
        (tmp_path / name).write_text(text)
    run = subprocess.run(
        [
            *("systemd-analyze", "verify", "--man=no"),
            *(tmp_path / "bastion.service", tmp_path / "bastion-tidy.timer"),
        ],
        capture_output=True,
        text=True,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
    )
    complaints = [line for line in run.stderr.splitlines() if "bastion" in line]
    assert complaints == []


@analyze
@pytest.mark.parametrize("name", ["bastion.service", "bastion-tidy.service"])
def test_the_services_are_exposed_to_next_to_nothing(name):
    run = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", UNITS / name],
        capture_output=True,
        text=True,
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", run.stdout)
    assert found, run.stderr
    assert float(found[1]) <= EXPOSURE


def test_the_service_gets_no_privilege():
    service = read("bastion.service")["Service"]
    assert service["User"] == "bastion"
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == ""
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"


def test_state_lies_where_the_account_and_the_folders_say():
    assert read("bastion.service")["Service"]["StateDirectory"] == "bastion"
    assert " /var/lib/bastion " in (UNITS / "bastion.sysusers").read_text()
    assert re.search(
        r"^d /var/lib/bastion +0700 bastion +bastion",
        (UNITS / "bastion.tmpfiles").read_text(),
        re.MULTILINE,
    )
