"""`bastion policy`: check, test and explain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bastion.cli.policy import policy

REFERENCE = Path(__file__).parents[2] / "policies" / "reference.yaml"


def run(*words: str) -> Result:
    return CliRunner().invoke(policy, list(words))


def explain(*words: str, **options: str) -> Result:
    asked = {
        "policy": str(REFERENCE),
        "claim": "groups=engineers",
        "target": "web1",
        "login": "ops",
    }
    given = [word for key, value in (asked | options).items() for word in (f"--{key}", value)]
    return run("explain", *given, *words)


def test_check_says_what_a_policy_holds():
    result = run("check", str(REFERENCE))
    assert result.exit_code == 0
    assert result.output == f"{REFERENCE}: ok: 2 roles, 20 rules, 1 grant\n"


def test_check_tells_every_fault_of_every_file(tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("version: 1\nroles: {}\nrules: {}\nruels: {}\ngrants: [3]\n")
    two.write_text("version: no\n")
    result = run("check", str(one), str(REFERENCE), str(two))
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0] == f"{one}:4:1: unknown key `ruels`"
    assert lines[1].startswith(f"{one}:5:10: ")
    assert ": ok: " in lines[2]
    assert any(line.startswith(f"{two}:1:10: `no` means different things") for line in lines[3:])


def test_test_counts_examples(tmp_path):
    result = run("test", str(REFERENCE))
    assert result.exit_code == 0
    assert result.output.endswith(" 0 failed\n")
    broken = tmp_path / "broken.yaml"
    broken.write_text(REFERENCE.read_text().replace("- rm -rf /\n", "- rm -rf /srv\n"))
    result = run("test", str(broken))
    assert result.exit_code == 1
    assert "`remove-system-directory`: match does not hold for `rm -rf /srv`" in result.output
    assert result.output.endswith(" 1 failed\n")
    found = json.loads(run("test", "--json", str(broken)).output)
    assert sum(not example["held"] for example in found["examples"]) == 1


@pytest.mark.parametrize(
    ("command", "status", "shown"),
    [
        ("ls -l", 0, ["allow", "default"]),
        ("sudo rm -rf /etc", 4, ["deny", "remove-system-directory", "sudo", "rm -rf /etc"]),
        ("rm -rf $x", 3, ["approve", "opaque", "may be what `remove-system-directory` denies"]),
        ("ls; $x", 3, ["approve", "1 of oncall"]),
    ],
)
def test_explain_shows_parse_rule_and_verdict(command, status, shown):
    result = explain("--", command)
    assert result.exit_code == status
    for words in shown:
        assert words in result.output


def test_explain_joins_words_as_ssh_does():
    assert explain("--", "rm", "-rf", "/etc").exit_code == 4


def test_an_option_of_the_command_is_told_where_to_stand():
    result = explain("rm", "-rf", "/etc")
    assert result.exit_code == 2
    assert "put -- before COMMAND" in result.output


def test_explain_as_json():
    found = json.loads(explain("--json", "--", "rm -rf $x").output)
    assert (found["action"], found["rule"], found["roles"]) == ("approve", "opaque", ["engineer"])
    assert found["approval"]["approvers"] == ["oncall"]
    assert found["parse"][0] == "rm -rf $x"


def test_explain_files_and_forwards():
    assert explain("--sftp", "read", "--", "/etc/shadow").exit_code == 4
    assert explain("--sftp", "read", "--", "/etc/motd").exit_code == 0
    assert explain("--forward", "agent").exit_code == 4
    assert "no-shell" in explain("--shell").output


def test_explain_a_line_at_a_prompt(tmp_path):
    gated = tmp_path / "gated.yaml"
    gated.write_text(REFERENCE.read_text().replace("shell: none", "shell: gated"))
    asked = ("--line", "--cwd", "/etc", "--", "cat shadow")
    assert "no-shell" in explain(*asked).output
    assert "open-shadow" in explain(*asked, policy=str(gated)).output
    line = ("--line", "--json", "--watched", "--", "f() { rm -rf $x; }")
    found = json.loads(explain(*line, policy=str(gated)).output)
    assert found["action"] == "allow"
    assert found["definitions"] == ["function f"]
    assert "remove-system-directory" in found["watch"][0]
    assert "watched" in explain("--line", "--watched", "--", "rm $x", policy=str(gated)).output
    wrong = explain("--cwd", "/etc", "--", "ls")
    assert (wrong.exit_code, "go with --line" in wrong.output) == (2, True)


def test_explain_without_a_grant(tmp_path):
    assert "no-grant" in explain("--", "ls", claim="groups=strangers").output
    claims = tmp_path / "claims.json"
    claims.write_text('{"groups": ["x", "platform-web"], "preferred_username": "ann"}')
    words = ("--identity-claims", str(claims), "--", "ls")
    assert explain(*words, claim="sub=1", login="ann").exit_code == 0
    assert explain(*words, claim="sub=1", login="root").exit_code == 4


@pytest.mark.parametrize(
    "words", [(), ("--sftp", "chew", "--", "/x"), ("--claim", "x", "--", "ls")]
)
def test_a_wrong_question_is_a_usage_error(words):
    assert explain(*words).exit_code == 2


def test_nothing_shown_acts_on_the_terminal():
    assert "\x1b" not in explain("--", "echo \x1b]0;owned\x07").output


def test_sql_is_explained():
    shown = run(
        "explain", "--policy", str(REFERENCE), "--role", "engineer", "--target", "orders-db",
        "--login", "ops", "--sql", "SELECT 1; DELETE FROM orders",
    )  # fmt: skip
    assert shown.exit_code == 3
    assert "sql-every-row" in shown.output
    assert "delete orders, every row" in shown.output
