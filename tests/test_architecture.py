"""What the import contracts and the linters cannot say: sizes, names, and what must not be here."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from pathlib import Path

import click
import pytest

from bastion.cli.main import COMMANDS, LazyGroup

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*ROOT.glob("bastion/**/*.py"), *ROOT.glob("replay/**/*.py")])

LINES = 400
LONGER = {
    "bastion/gate/postgres/server.py": 430,
    # A guide, not a law. One machine stays in one file, and so does one table of programs; these
    # may be as long as they are, and no longer.
    "bastion/events.py": 520,
    "bastion/gate/sftp.py": 450,
    "bastion/gate/shell/gate.py": 475,
    "bastion/ssh/drive.py": 420,
    "bastion/model.py": 445,
}

BANNED_WORDS = {"util", "utils", "helper", "helpers", "common", "manager", "info", "process", "do"}

PRIVATE_ASYNCSSH: set[str] = set()
"""Files that may touch names of asyncssh that begin with an underscore; each says why."""


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_file_is_excused_that_is_small():
    for name in LONGER:
        assert len((ROOT / name).read_text().splitlines()) > LINES, f"{name} needs no excuse"


def tracked() -> list[Path]:
    """What git would hand to a stranger, without the vectors: they are data of every kind."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    names = [name for name in listing.stdout.split("\0") if name]
    return [ROOT / name for name in names if not name.startswith("tests/vectors/")]


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_files_are_small(path):
    lines = len(path.read_text().splitlines())
    assert lines <= LONGER.get(shown(path), LINES)


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_names_say_what_a_thing_is(path):
    assert set(path.stem.split("_")) & BANNED_WORDS == set()
    for node in ast.walk(ast.parse(path.read_text())):
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        # Private names may be those of asyncssh, or bash's (process substitution).
        if isinstance(node, kinds) and not node.name.startswith("_"):
            words = re.findall(r"[A-Z]?[a-z]+", node.name)
            assert {word.lower() for word in words} & BANNED_WORDS == set(), node.name


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_public_things_have_a_docstring(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef):
            public = not getattr(node, "name", "").startswith("_")
            empty = isinstance(node, ast.Module) and not node.body
            assert not public or empty or ast.get_docstring(node), getattr(node, "name", "module")


@pytest.mark.parametrize("path", sorted(ROOT.glob("bastion/**/__init__.py")), ids=shown)
def test_rooms_are_not_imported_through(path):
    assignments_at_most = ast.parse(path.read_text()).body
    assert not [n for n in assignments_at_most if isinstance(n, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_asyncssh_is_used_by_its_public_names(path):
    tree = ast.parse(path.read_text())
    private = [
        f"{node.module}.{name.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("asyncssh")
        for name in node.names
        if name.name.startswith("_")
    ]
    assert not private or shown(path) in PRIVATE_ASYNCSSH


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    context = click.Context(LazyGroup(name="bastion"))
    command = LazyGroup(name="bastion").get_command(context, name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str()
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name}"


def test_help_is_quick():
    """`bastion --help` names every command and loads none of the heavy libraries."""
    program = (
        "import sys; from click.testing import CliRunner; from bastion.cli.main import bastion;"
        "sys.stderr.write(str(sorted({'asyncssh', 'textual'} & set(sys.modules))))"
    )
    run = subprocess.run(
        [os.fspath(Path(os.sys.executable)), "-c", program], capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "[]")


# --- what must not be in the tree -----------------------------------------------------------------
# The patterns are written so that this file does not match them.

REGISTRY = re.compile(r'"resolved": *"http|registry *= *"http|https?://[^ "]+/(simple|packages)/')
UNFINISHED = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "Not" + "ImplementedError"]))
SLEEPS = re.compile(r"\b(time\s*\.\s*sleep\(|asyncio\s*\.\s*sleep\([1-9])")
HOME = os.path.expanduser("~")
# `/root` is the same on every machine, and stands in tests as a path like any other.
MACHINE = [f"{place}/" for place in (os.fspath(ROOT), HOME) if place not in {"/", "/root"}]


def lines_with(pattern, paths):
    for path in paths:
        try:
            text = path.read_text()
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                yield f"{shown(path)}:{number}: {line.strip()[:100]}"


def test_no_place_to_fetch_packages_from_is_named():
    paths = [path for path in tracked() if path.suffix != ".md"]
    assert list(lines_with(REGISTRY, paths)) == []


def test_the_locks_hold_versions_and_hashes_alone():
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            assert re.fullmatch(
                r"[a-z0-9.-]+==[^ ]+( ; [^\\]+)? \\| +--hash=sha256:[0-9a-f]{64}( \\)?|#.*|", line
            ), line


def test_no_path_of_a_machine_is_in_the_tree():
    pattern = re.compile("|".join(map(re.escape, MACHINE)))
    assert list(lines_with(pattern, tracked())) == []


def test_nothing_is_left_for_later():
    assert list(lines_with(UNFINISHED, [p for p in tracked() if p.suffix == ".py"])) == []


def test_tests_wait_for_events_and_do_not_sleep():
    paths = [p for p in tracked() if p.is_relative_to(ROOT / "tests") and p.suffix == ".py"]
    assert list(lines_with(SLEEPS, paths)) == []
