"""Options whose value is a command line, or a configuration that may hold one."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from bastion.policy.facts import OpaqueKind
from bastion.policy.shell import shells
from bastion.policy.shell.options import option_values
from bastion.policy.shell.state import Call, Reader, text_of

_RUN_OPTION: Final[dict[str, tuple[str, ...]]] = {
    # Options whose value is a command line.
    "tar": (
        "--to-command",
        "--use-compress-program",
        "--info-script",
        "--new-volume-script",
        "--rsh-command",
        "--rmt-command",
        "-I",
        "-F",
    ),
    "bsdtar": ("--use-compress-program",),
    "cpio": ("--rsh-command", "--rmt-command"),
    "sort": ("--compress-program",),
    "rg": ("--pre", "--hostname-bin"),
    "ag": ("--pager",),
    "man": ("-P", "--pager", "-H", "--html", "-T"),
    "rsync": ("-e", "--rsh", "--rsync-path"),
    "scp": ("-S", "-D"),
    "sftp": ("-S", "-D"),
    "tcpdump": ("-z",),
    "split": ("--filter",),
    "nc": ("-e", "-c", "--exec", "--sh-exec"),
    "ncat": ("-e", "-c", "--exec", "--sh-exec"),
    "netcat": ("-e", "-c"),
    "nc.traditional": ("-e", "-c"),
    "dmsetup": ("--exec",),
    "gcc": ("-wrapper",),
    "cc": ("-wrapper",),
    "g++": ("-wrapper",),
    "c99": ("-wrapper",),
    "c89": ("-wrapper",),
    "zip": ("-TT", "--unzip-command"),
    "wget": ("--use-askpass",),
    "pg_dump": (),
    "nsexec": ("-c",),
    "xterm": ("-e",),
    "uxterm": ("-e",),
    "konsole": ("-e",),
    "gnome-terminal": ("-e",),
    "urxvt": ("-e",),
    "rxvt": ("-e",),
    "x-terminal-emulator": ("-e",),
    "alacritty": ("-e",),
    "kitty": ("-e",),
    "chromium": ("--renderer-cmd-prefix",),
    "svn": ("--diff-cmd", "--diff3-cmd", "--editor-cmd"),
    "cvs": ("-e",),
    **dict.fromkeys(
        ("yt-dlp", "youtube-dl"),
        ("--exec", "--exec-before-download", "--downloader", "--external-downloader"),
    ),
    "aria2c": (
        "--on-download-complete",
        "--on-download-start",
        "--on-download-stop",
        "--on-download-pause",
        "--on-download-error",
        "--on-bt-download-complete",
    ),
    "rclone": ("--password-command", "--sftp-ssh", "--metadata-mapper"),
    "helm": ("--post-renderer",),
    "ack": ("--pager",),
    **dict.fromkeys(
        ("gpg", "gpg2"),
        ("--photo-viewer", "--agent-program", "--dirmngr-program", "--keyboxd-program"),
    ),
    "star": ("-compress-program",),
    "telnetd": ("-l",),
    "nix-shell": ("--run", "--command"),
    "vagrant-ssh": ("-c",),
    "enscript": ("-I",),
    "pandoc": ("-F", "--filter", "-L", "--lua-filter"),
    "openvpn": ("--up", "--down", "--tls-verify", "--ipchange"),
    "sshfs": ("-o",),
    "borg": ("--rsh",),
    "restic": ("--password-command",),
    "pidstat": ("-e",),
    "dpkg": ("--pre-invoke", "--post-invoke", "--status-logger"),
    "pppd": ("connect", "disconnect", "pty", "init"),
    "fd": ("-x", "-X", "--exec", "--exec-batch"),
    "fdfind": ("-x", "-X", "--exec", "--exec-batch"),
    "qemu-system-x86_64": (),
    "fzf": ("--preview", "--bind"),
    "mosh": ("--server", "--client", "--ssh"),
    "sshuttle": ("-e", "--ssh-cmd"),
    "duplicity": ("--ssh-options", "--rsync-options"),
    "rdiff-backup": ("--remote-schema",),
}
_LOADS_OPTION: Final[dict[str, tuple[str, ...]]] = {
    # Options whose value is a configuration or a library that may run anything.
    "apt": ("-o", "--option", "-c", "--config-file"),
    "apt-get": ("-o", "--option", "-c", "--config-file"),
    "aptitude": ("-o",),
    "apt-cache": ("-o", "-c"),
    "curl": ("-K", "--config", "--engine"),
    "wget": ("--config", "-e", "--execute"),
    "openssl": ("-engine", "-provider", "-provider-path", "-config"),
    "mysql": ("--plugin-dir", "--defaults-file", "--init-command"),
    "sqlite3": ("-init", "--init"),
    "nmap": ("--script", "--datadir", "--servicedb"),
    "sysctl": ("-w", "--write", "-p", "--system", "--load"),
    "dnf": ("--setopt", "-c"),
    "yum": ("--setopt", "-c"),
    "java": ("-javaagent", "-agentpath", "-agentlib", "-jar", "-cp", "-classpath"),
    "tmux": ("-f",),
    "screen": ("-c",),
    **dict.fromkeys(("gpg", "gpg2"), ("--options", "--exec-path", "--keyserver-options")),
    "modprobe": ("-C", "--config", "-d", "--dirname"),
    **dict.fromkeys(("tshark", "wireshark"), ("-X",)),
    "ncat": ("--lua-exec",),
    "restic": ("-o", "--option"),
    "groff": ("-U",),
    "pacman": ("--hookdir", "-U", "--upgrade", "--config"),
    "apk": ("--allow-untrusted",),
    "mawk": ("-W",),
    "ldconfig": ("-f", "-C", "-n", "-r"),
    "visudo": ("-f",),
    "sendmail": ("-C", "-be"),
    "exim": ("-C", "-be", "-D"),
    "exim4": ("-C", "-be", "-D"),
    "ssh-keygen": ("-D",),
    "ssh-add": ("-s",),
    "ssh-agent": ("-P",),
    "gdb": ("-x", "-ex"),
    "jq": ("-L",),
    "cargo": ("--config", "-Z"),
    "npm": ("--script-shell",),
    "nginx": ("-c", "-g"),
    "httpd": ("-f", "-c", "-C"),
    "apache2": ("-f", "-c", "-C"),
    "gimp": ("-b",),
    "varnishd": ("-C",),
    "gcc": ("-fplugin", "-B", "-specs"),
    "ld": ("-plugin",),
}


RUNS_BY_OPTION: Final = frozenset(
    program for program, options in (*_RUN_OPTION.items(), *_LOADS_OPTION.items()) if options
)
"""Programs that one of their options makes run or load something."""


def read_options(reader: Reader, call: Call) -> None:
    for value in option_values(call, _RUN_OPTION.get(call.program, ())):
        if value.raw == "" and value.text == "":
            continue
        if call.program == "man" and call.argv[1:2] and text_of(call.argv[1]).startswith("-T"):
            continue
        if call.program == "rsync" and _is_server(call) and _ABILITIES.fullmatch(text_of(value)):
            continue
        shells.run_word(reader, replace(call, program=f"{call.program} option"), value)
    for value in option_values(call, _LOADS_OPTION.get(call.program, ())):
        reader.cannot_tell(
            OpaqueKind.ENVIRONMENT,
            f"an option of {call.program} may run or load anything",
            text_of(value),
        )


_ABILITIES: Final = re.compile(r"[0-9]*\.[0-9]*[A-Za-z]*")
"""What follows `-e` in the options of an rsync server: the client's abilities, not a program."""


def _is_server(call: Call) -> bool:
    return any(word.text == "--server" for word in call.operands)
