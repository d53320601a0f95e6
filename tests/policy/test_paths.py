"""Paths made absolute as text."""

from __future__ import annotations

import pytest

from bastion.policy.paths import absolute, parent


@pytest.mark.parametrize(
    ("path", "base", "whole"),
    [
        ("//etc/./shadow", "/home/me", "/etc/shadow"),
        ("/../../etc//shadow/", "/home/me", "/etc/shadow"),
        ("../../etc/shadow", "/home/me", "/etc/shadow"),
        ("a/../b", "/home/me", "/home/me/b"),
        ("", "/home/me", "/home/me"),
        (".", "/", "/"),
        ("..", "/", "/"),
        ("a", "~", "~/a"),
        (".", "~", "~"),
        ("../x", "~", "~/../x"),
        ("../../x", "~/a", "~/../x"),
        ("..", "~/a", "~"),
        ("~/a", "~", "~/~/a"),
        ("...", "/", "/..."),
        ("a\udcff", "/", "/a\udcff"),
    ],
)
def test_absolute(path: str, base: str, whole: str) -> None:
    assert absolute(path, base) == whole


@pytest.mark.parametrize(
    ("path", "above"), [("/a/b", "/a"), ("/a", "/"), ("/", "/"), ("~/a", "~"), ("~", "~")]
)
def test_parent(path: str, above: str) -> None:
    assert parent(path) == above
