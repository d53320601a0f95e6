import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bastion.errors import StoreError
from bastion.store.state import StateDirectory


def test_it_makes_its_folders_for_nobody_else(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "a" / "state")
    folders = [state.path, state.ca, state.audit, state.recordings]
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}
    assert (state.database.name, state.control_socket.name) == ("bastion.db", "control.sock")
    assert StateDirectory(state.path, create=False).path == state.path


@pytest.mark.parametrize("folder", [".", "audit", "recordings", "ca"])
def test_an_open_folder_is_refused_with_the_mend(tmp_path: Path, folder: str) -> None:
    path = StateDirectory(tmp_path / "state").path / folder
    path.chmod(0o750)
    with pytest.raises(StoreError, match="chmod 700"):
        StateDirectory(tmp_path / "state")


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        StateDirectory(tmp_path / "none", create=False)
    (tmp_path / "file").touch(mode=0o600)
    with pytest.raises(StoreError):
        StateDirectory(tmp_path / "file")
    state = StateDirectory(tmp_path / "state")
    state.audit.rmdir()
    state.audit.symlink_to(tmp_path)
    with pytest.raises(StoreError, match="not a directory"):
        StateDirectory(state.path)


def test_the_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "private")
    (tmp_path / "link").symlink_to(state.path)
    assert StateDirectory(tmp_path / "link").path == state.path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_folder_of_another_user_is_refused() -> None:
    look = """
import os, sys
from pathlib import Path
from bastion.store.state import StateDirectory
os.setuid(65534)
StateDirectory(Path(sys.argv[1]), create=False)
"""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        state = StateDirectory(Path(folder) / "state")
        words = [sys.executable, "-c", look, str(state.path)]
        ran = subprocess.run(words, capture_output=True, text=True)
    assert "belongs to another user" in ran.stderr


def test_one_bastion_a_directory_until_it_is_gone(tmp_path: Path) -> None:
    first, second = StateDirectory(tmp_path / "s"), StateDirectory(tmp_path / "s")
    first.acquire()
    with pytest.raises(StoreError, match="Another bastion"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()
