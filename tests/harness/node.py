"""Packages of npm that tests run, installed once per machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def node_modules(folder: Path) -> Path:
    """Where the packages of `folder`'s package.json are; skips where there is no node."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip(f"node and npm are not installed, so {folder.name} cannot run")
    package = (folder / "package.json").read_text()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / "bastion-tests" / folder.name
    marker = home / "installed.json"
    if not (marker.exists() and marker.read_text() == package):
        home.mkdir(parents=True, exist_ok=True)
        (home / "package.json").write_text(package)
        subprocess.run(
            ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=home,
            check=True,
            capture_output=True,
            timeout=240,
        )
        marker.write_text(package)
    return home
