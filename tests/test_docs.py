"""What README shows is what there is: help texts as printed, commands as the demo prints them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import typing
from pathlib import Path

import click
import pytest

from bastion.cli.main import bastion
from bastion.config import ConfigFile
from bastion.demo.scene import Scene
from bastion.demo.steps import every_step
from bastion.policy.document import Section, load_document

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md")])
MARKED = re.findall(r"<!-- help: (.+?) -->\n```[a-z]*\n(.*?)```", README, re.DOTALL)

DEMO = Scene(Path("/tmp/bastion-demo"), 2222, login="me")
"""README writes `/tmp/bastion-demo` and `me` for a reader's directory and account."""

MAKE = re.compile(r"make ([a-z]+)(?: [A-Z]+=\S+)*")


def section(title):
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)
    assert found, f"README has no section {title!r}"
    return found[1]


def commands(text):
    return re.findall(r"^\$ (.+)$", text, re.MULTILINE)


@pytest.mark.parametrize(("command", "shown"), MARKED, ids=[command for command, _ in MARKED])
def test_help_is_as_printed(command, shown):
    words = shlex.split(command)
    assert words[0] == "bastion"
    # Its own process: click keeps what the first caller of a command in this one asked for.
    program = [sys.executable, "-m", *words, "--help"]
    wide = {**os.environ, "COLUMNS": "80"}
    real = subprocess.run(program, capture_output=True, text=True, check=True, env=wide)
    assert shown.strip() == real.stdout.strip()


def test_the_quick_start_shows_what_the_demo_prints():
    printed = {c for step in every_step(DEMO) for c in step.commands}
    targets = set(re.findall(r"^([a-z0-9.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = commands(section("Quick start"))
    assert shown
    for command in shown:
        made = MAKE.fullmatch(command)
        command = command.replace("DIR/", f"{DEMO.directory}/")
        assert (made and made[1] in targets) or command in printed, command


def test_every_command_that_pages_name_exists():
    known = set(bastion.list_commands(click.Context(bastion)))
    for page in PAGES:
        for name in re.findall(r"`bastion ([a-z]+)", page.read_text()):
            assert name in known, f"{page.name}: bastion {name}"


def test_links_between_the_pages_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_configuration_in_readme_loads_and_names_every_setting():
    sample = re.search(r"```yaml\n(listen:.*?)```", README, re.DOTALL)
    assert sample
    load_document(sample[1], "README.md", ConfigFile)
    for name in settings(ConfigFile):
        assert re.search(rf"\b{name}\b", sample[1]), name


def settings(model):
    """Every key that a file may hold, of all sections below as well."""
    for name, field in model.model_fields.items():
        yield name
        for part in typing.get_args(field.annotation) or (field.annotation,):
            if isinstance(part, type) and issubclass(part, Section):
                yield from settings(part)
