"""Files that an option names, or that another file or the input names: by program, in tables."""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.facts import Access, Word
from bastion.policy.shell.options import attached_values, option_values
from bastion.policy.shell.state import Call, Feed, Reader, literal, text_of

_READS: Final[dict[str, str]] = {
    # A `?` behind an option: its value must be attached.
    "parallel": "-a --arg-file --transferfile --tf --basefile --bf --sshloginfile --slf",
    "ip": "-batch --batch -b",
    "bridge": "-batch --batch -b",
    "tc": "-batch --batch -b",
    "ss": "-F --filter",
    "du": "-X --exclude-from",
    "sshpass": "-f",
    "rsync": "--exclude-from --include-from --password-file --files-from --early-input",
    "git": "-F --file -t --template --contents --pathspec-from-file -X --exclude-from",
    "logger": "-f --file",
    "at": "-f",
    "batch": "-f",
    "date": "-f --file",
    "file": "-f --files-from -m --magic-file",
    "ansible": "-i --inventory --vault-password-file --private-key --key-file",
    "mail": "-a --attach -A",
    "mailx": "-a --attach -A",
    "mutt": "-a -i -F -H",
    "nmap": "-iL --excludefile",
    "sendmail": "-C",
}
_WRITES: Final[dict[str, str]] = {
    "parallel": "--joblog --results --tmpdir --tempdir",
    **dict.fromkeys(
        ("gawk", "awk"),
        "-o? -p? -d? -D? --profile? --pretty-print? --dump-variables? --debug?",
    ),
    "time": "-o --output",
    "unzip": "-d",
    **dict.fromkeys(("7z", "7za", "7zr"), "-o?"),
    "rsync": "--log-file --write-batch --only-write-batch --backup-dir --partial-dir --temp-dir -T",
    "aria2c": "-d --dir -o --out",
    "tcpdump": "-w",
    "strace": "-o --output",
    "perf": "-o --output",
    "nmap": "-oN -oX -oG -oA -oS",
    "logrotate": "-s --state -l --log",
    "mysqldump": "--tab -T",
    "pg_basebackup": "-D --pgdata",
    "pg_dump": "-f --file",
    "shuf": "-o --output",
    "journalctl": "--cursor-file",
    "ssh-keygen": "-f",
    "openssl": "-out -writerand",
    "gpg": "-o --output --status-file --logger-file --attribute-file",
}
_NAMED_IN: Final[dict[str, str]] = {
    # The value is a file that holds the names of the files to read; `-` is the input.
    **dict.fromkeys(("du", "wc", "sort"), "--files0-from"),
    **dict.fromkeys(("tar", "gtar", "bsdtar"), "-T --files-from"),
    "rsync": "--files-from",
    "file": "-f --files-from",
    "wget": "-i --input-file",
    "git": "--pathspec-from-file",
}
_MERGES: Final = re.compile(r"\s*(?:[.:]|merge|dir-merge)[^ _]*[ _](.*)", re.DOTALL)
"""A filter of rsync that is read from a file."""
_STANDARD_INPUT: Final = frozenset({"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})
_FROM_INPUT: Final[dict[str, re.Pattern[str]]] = {
    # A word by which the program reads names of files from its input.
    "cpio": re.compile(r"-[a-zA-Z0]*[op][a-zA-Z0]*|--create|--pass-through"),
    "zip": re.compile(r"-[a-zA-Z]*@[a-zA-Z]*|--names-stdin"),
    "pax": re.compile(r"-[a-zA-Z]*w[a-zA-Z]*"),
    "git": re.compile(r"--stdin-paths"),
    "star": re.compile(r"(-?)list=-"),
    "dar": re.compile(r"-\["),
}
_UNPACKS: Final[dict[str, re.Pattern[str]]] = {
    # A word by which what is unpacked may go anywhere, by names that the archive brings.
    "cpio": re.compile(r"-[a-zA-Z]*i[a-zA-Z]*|--extract"),
    **dict.fromkeys(
        ("tar", "gtar", "bsdtar"),
        re.compile(r"-?(?=[a-zA-Z]*x)[a-zA-Z]*P[a-zA-Z]*|--absolute-n\w*|--absolute-paths"),
    ),
    "unzip": re.compile(r"-[a-zA-Z]*:"),
}


def list_named(reader: Reader, call: Call) -> None:
    """List the files that a table above knows a program to open."""
    for table, access in ((_READS, Access.READ), (_WRITES, Access.WRITE)):
        for value in _values(call, table.get(call.program, "")):
            reader.opens(value, access, call.program)
    for value in _values(call, _NAMED_IN.get(call.program, "")):
        if value.text in _STANDARD_INPUT:
            named_by(reader, call, call.place.feed)
        else:
            reader.opens(value, Access.READ, call.program)
    if call.program == "rsync":
        for value in option_values(call, ("-f", "--filter")):
            merged = _MERGES.match(text_of(value))
            if merged:
                reader.opens_text(merged.group(1), Access.READ, "rsync")
    asks = _FROM_INPUT.get(call.program)
    if asks is not None and any(asks.fullmatch(text_of(word)) for word in call.operands):
        named_by(reader, call, call.place.feed)
    unpacks = _UNPACKS.get(call.program)
    if unpacks is not None and any(unpacks.fullmatch(text_of(word)) for word in call.operands):
        reader.opens(Word(None, "", "input"), Access.WRITE, call.program)


def _values(call: Call, table: str) -> list[Word]:
    options = table.split()
    apart = tuple(option for option in options if not option.endswith("?"))
    attached = tuple(option[:-1] for option in options if option.endswith("?"))
    return [
        value
        for value in (*option_values(call, apart), *attached_values(call, attached))
        if value.text != "" or value.prefix
    ]


def named_by(reader: Reader, call: Call, feed: Feed) -> None:
    """List the files whose names arrive on standard input."""
    if feed.kind == "text":
        for name in filter(None, re.split(r"[\n\0]", feed.text)):
            reader.opens(literal(name), Access.READ, call.program)
    elif feed.kind == "found":
        reader.opens(Word(None, "{}", "found", feed.text), Access.READ, call.program)
    else:
        reader.opens(Word(None, "", "input"), Access.READ, call.program)
