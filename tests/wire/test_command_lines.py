"""Commands on stdin: whole commands, whatever the cut of the stream."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.errors import ClientFault
from bastion.wire.command_lines import MAX_COMMAND, CommandReader

SCRIPT = """\
echo one; echo two

# a comment
for i in 1 2; do
  ((x=1<<2))
  echo "a
b" 'c
d' $i
done
cat <<EOF && cat <<-'X Y'
for i in 1; do
EOF
\techo x
\tX Y
echo a \\
  b
f() {
  cat <<E
}
E
}
if true; then echo $(cat <<Z
)
Z
); fi"""

COMMANDS = [
    "echo one; echo two",
    "# a comment",
    "for i in 1 2; do\n  ((x=1<<2))\n  echo \"a\nb\" 'c\nd' $i\ndone",
    "cat <<EOF && cat <<-'X Y'\nfor i in 1; do\nEOF\n\techo x\n\tX Y",
    "echo a \\\n  b",
    "f() {\n  cat <<E\n}\nE\n}",
    "if true; then echo $(cat <<Z\n)\nZ\n); fi",
]


def read(chunks, ended=True):
    """All commands, and the fault that ended it, if any."""
    reader, commands = CommandReader(), []
    try:
        for last, chunk in [*((False, each) for each in chunks), (ended, b"")]:
            reader.feed(chunk)
            while (command := reader.take(ended=last)) is not None:
                commands.append(command)
    except ClientFault as fault:
        return commands, str(fault)
    return commands, ""


def cut(data: bytes, places):
    ends = sorted({min(place, len(data)) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def test_a_script_is_read_as_a_shell_reads_it():
    assert read([SCRIPT.encode()]) == (COMMANDS, "")
    for command in COMMANDS:
        assert subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0


@given(st.lists(st.integers(0, len(SCRIPT)), max_size=30))
def test_any_cut_gives_the_same_commands(places):
    assert read(cut(SCRIPT.encode(), places)) == (COMMANDS, "")


PIECES = ["echo a\n", "'", '"', "<<E\n", "E\n", "\n", "\\\n", "$(", ")", "\0", "é\n", "{ ", "}\n"]


@given(
    st.lists(st.sampled_from(PIECES), max_size=25).map(lambda pieces: "".join(pieces).encode()),
    st.lists(st.integers(0, 200), max_size=20),
)
def test_any_cut_of_anything_gives_the_same(data, places):
    whole = read([data])
    assert read(cut(data, places)) == whole
    if not whole[1]:
        assert "".join("".join(whole[0]).split()) == "".join(data.decode().split())


def test_bytes_that_are_no_text_are_kept():
    assert read([b"echo \xff\n"]) == (["echo \udcff"], "")


def test_a_nul_is_refused_for_a_shell_would_drop_it():
    assert read([b"ls\nreb\0oot\nls\n"]) == (["ls"], "A command on stdin holds a NUL byte.")


@pytest.mark.parametrize("text", ["echo 'a\n", "cat <<EOF\nx", "for i in 1; do echo $i\n", "ls |"])
def test_half_a_command_is_not_run(text):
    commands, fault = read([b"ls\n", text.encode()])
    assert commands == ["ls"]
    assert "in the middle of a command" in fault


def test_a_last_line_needs_no_newline():
    assert read([b"ls"]) == (["ls"], "")


def test_a_long_here_document_is_one_command():
    text = "cat > f <<EOF\n" + "some line of a file\n" * 3000 + "EOF"
    assert read([text.encode() + b"\nls\n"]) == ([text, "ls"], "")


@pytest.mark.parametrize(
    "data",
    [
        b"x" * (MAX_COMMAND + 1),
        b"cat <<EOF\n" + b"x\n" * MAX_COMMAND,
        b"echo '" + b"x\n" * MAX_COMMAND,
        b'"' + b"$(ls)\n" * MAX_COMMAND,
    ],
)
def test_input_without_end_is_refused_and_nothing_of_it_is_run(data):
    commands, fault = read([data], ended=False)
    assert commands == []
    assert fault
