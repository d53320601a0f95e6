"""Options and operands with which ordinary programs run others, or load code, or wait for keys."""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.facts import Access, OpaqueKind
from bastion.policy.shell import asking
from bastion.policy.shell.options import option_values
from bastion.policy.shell.run_options import read_options
from bastion.policy.shell.single import SINGLE, read_bangs, read_eval_options
from bastion.policy.shell.state import Call, Reader, names, text_of

EDITORS: Final = names(
    """
    vim vi view nvim rvim rview vimdiff gvim evim ex vim.tiny vim.basic nvi elvis emacs
    emacsclient nano pico joe jed mcedit micro kak hx helix ed red ne mg zile crontab-edit vipw
    vigr visudo sudoedit editor sensible-editor select-editor
    """
)
PAGERS: Final = names(
    "less more most pg lv man pinfo info sensible-pager pager zless zmore bzless xzless"
)
_INTERACTIVE: Final = names(
    """
    gdb lldb mc ranger nnn lf vifm ncdu ftp tftp sftp lftp ncftp telnet rlogin rsh mosh minicom
    picocom cu tip mutt mail mailx alpine pine elm irssi weechat w3m lynx links elinks tclsh
    wish dc fzf gnuplot debugfs fdisk gdisk cfdisk parted sfdisk aptitude dselect iftop atop
    htop nmtui whiptail dialog zsh-newuser-install loginctl-attach machinectl virsh msfconsole
    scanmem crash volatility rtorrent mysqlsh pgcli mycli litecli redis-shell ranger byobu login
    su-shell agetty getty openvt ptpython bpython radare2 r2 tshark-shell xdg-user-dir
    run-mailcap see edit compose nsupdate smbclient rpcclient sqlplus gimp scrot zathura slsh
    ginsh ispell aspell talk write-shell expect-shell
    """
)
BUILDERS: Final = names(
    """
    make gmake bmake pmake ninja cmake ctest meson scons waf bazel rake just task tup ant mvn
    gradle gradlew sbt lein tox nox pytest cabal stack mix rebar3 bundler composer vagrant
    packer puppet chef-client chef-solo salt-call ansible-playbook ansible ansible-pull
    ansible-test cloud-init easy_install pipx poetry pipenv npx yarn pnpm bunx latex pdflatex
    xelatex lualatex luatex pdftex tex xetex latexmk run-parts anacron batch atd ssh-copy-id
    mandb msgfilter cpan cpanm gem-exec debuild dpkg-buildpackage rpmbuild rpmspec pre-commit
    husky watchman nodemon supervisord pm2 forever foreman overmind goreman honcho invoke fab
    dbx gtester ghostscript gs pexec pdsh pssh clush salt knife cdist rundeck capistrano cap
    installkernel update-initramfs kernel-install cargo-watch
    """
)


def read(reader: Reader, call: Call) -> None:
    """Judge a program that is no shell, wrapper or interpreter."""
    program = call.program
    own = SINGLE.get(program)
    if asking.only_asks(call):
        return
    if program in EDITORS:
        _editor(reader, call)
    elif program in PAGERS:
        _pager(reader, call)
    elif program in BUILDERS:
        reader.cannot_tell(OpaqueKind.SCRIPT, f"{program} runs what files tell it", program)
        read_eval_options(reader, call)
    elif program in _INTERACTIVE:
        reader.cannot_tell(OpaqueKind.INTERACTIVE, f"{program} reads commands of its own", program)
        for word in call.operands:
            if word.text and re.match(r"[!:]", word.text):
                reader.read_text(word.text.lstrip(":!"), call.place.within(program))
    read_options(reader, call)
    if own is not None:
        own(reader, call)
    if call.place.shown and call.place.terminal:
        _shows(reader, call)


_HARDENED: Final = names(
    "less zless man sensible-pager journalctl systemctl loginctl timedatectl busctl dmesg git apt "
    "apt-get aws gcloud bundle bundler"
)
"""Pagers, and programs that start one, which obey LESSSECURE, PAGER and their kin. Not `more`."""
_KEEP_ENVIRONMENT: Final = names("eval builtin command time nice nohup timeout stdbuf setsid")
"""What starts a program with the shell's own environment: `sudo` and `ssh` do not."""


def _is_hardened(reader: Reader, call: Call) -> bool:
    return (
        reader.prompt is not None
        and reader.prompt.hardened
        and call.program in _HARDENED
        and not call.place.via_other_than(_KEEP_ENVIRONMENT)
    )


def _shows(reader: Reader, call: Call) -> None:
    """Some programs start a pager when nobody else reads their output."""
    texts = [text_of(word) for word in call.operands]
    if "--no-pager" in texts or _is_hardened(reader, call):
        return
    starts = {
        "journalctl": True,
        "busctl": True,
        "systemctl": not texts,
        "dmesg": "-H" in texts or "--human" in texts,
        "loginctl": any(text.endswith("-status") for text in texts),
        "timedatectl": "list-timezones" in texts,
        "top": not any(re.match(r"-[a-zA-Z]*b", text) for text in texts),
        "git": "help" in texts[:2] or "--help" in texts,
        "apt": "changelog" in texts,
        "apt-get": "changelog" in texts,
        "aws": "help" in texts,
        "gcloud": "help" in texts,
        "bundle": "help" in texts,
        "bundler": "help" in texts,
    }.get(call.program, False)
    if starts:
        reader.cannot_tell(OpaqueKind.INTERACTIVE, f"{call.program} starts a pager", call.program)


# --- editors and pagers -----------------------------------------------------------------------


def _editor(reader: Reader, call: Call) -> None:
    reader.cannot_tell(OpaqueKind.INTERACTIVE, f"{call.program} can run commands", call.program)
    if call.place.feed.kind == "text":
        read_bangs(reader, call, call.place.feed.text)
    for word in call.operands:
        read_bangs(reader, call, text_of(word))
        _strings(reader, call, text_of(word))


def _strings(reader: Reader, call: Call, text: str) -> None:
    """Read quoted strings in an editor's command (`:call system("…")`, lisp) as commands."""
    for match in re.finditer(r"['\"]([^'\"]+)['\"]", text):
        reader.read_text(match.group(1), call.place.within(call.program))
        reader.opens_text(match.group(1), Access.READ, call.program)


def _pager(reader: Reader, call: Call) -> None:
    texts = [text_of(word) for word in call.operands]
    if call.program == "man" and any(
        re.fullmatch(r"-[kfwW]|--(where|path|apropos|whatis)", text) for text in texts
    ):
        return
    for text in texts:
        if text.startswith("+"):
            read_bangs(reader, call, text)
    runs = call.place.shown or any(text.startswith("+") for text in texts)
    if runs and not _is_hardened(reader, call):
        reader.cannot_tell(OpaqueKind.INTERACTIVE, f"{call.program} can run commands", call.program)
    for value in (
        option_values(
            call, ("-k", "--lesskey-file", "--lesskey-src", "--lesskey-content", "-o", "-O")
        )
        if call.program == "less"
        else ()
    ):
        reader.opens(value, Access.WRITE, "less")
