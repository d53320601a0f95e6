"""git: settings, transports, hooks and options with which it runs other programs."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from bastion.policy.facts import Access, OpaqueKind, Word
from bastion.policy.shell import launch, shells
from bastion.policy.shell.options import attached_values, option_values
from bastion.policy.shell.peeling import Wrapper, peel
from bastion.policy.shell.state import Call, Reader, names, text_of

_GIT: Final = Wrapper(
    "cC",
    "pPhv",
    "git-dir work-tree namespace super-prefix config-env exec-path attr-source list-cmds",
    "version help html-path man-path info-path paginate no-pager bare no-replace-objects "
    "literal-pathspecs "
    "glob-pathspecs noglob-pathspecs icase-pathspecs no-optional-locks no-advice no-lazy-fetch",
)
_GIT_PLAIN: Final = names(
    """
    add am apply archive blame branch bundle cat-file check-ignore checkout cherry cherry-pick
    clean clone commit commit-tree count-objects describe diff diff-tree fetch format-patch fsck
    gc grep hash-object help init log ls-files ls-remote ls-tree merge merge-base mv name-rev
    notes prune pull push range-diff reflog remote repack reset restore rev-list rev-parse
    revert rm shortlog show show-branch show-ref sparse-checkout stash status switch
    symbolic-ref tag update-index update-ref verify-commit verify-tag version whatchanged
    worktree write-tree upload-pack receive-pack upload-archive lfs config rebase submodule
    bisect difftool mergetool filter-branch filter-repo instaweb send-email credential daemon
    """
)
_GIT_SETTING: Final = re.compile(
    r"(user\.(name|email|signingkey)|color\..*|commit\.gpgsign|tag\.gpgsign"
    r"|core\.(quotepath|autocrlf|filemode|ignorecase|longpaths|"
    r"abbrev|precomposeunicode|compression)|advice\..*|http\.(postbuffer|lowspeed\w*"
    r"|extraheader)|pull\.(rebase|ff)|push\.default|"
    r"init\.defaultbranch|gc\.auto|protocol\.version|safe\.directory|log\.\w+"
    r"|diff\.(renames|noprefix|algorithm|mnemonicprefix)|status\.\w+|fetch\.\w+|"
    r"merge\.(ff|conflictstyle)|rebase\.\w+|grep\.\w+|format\.pretty|branch\..*"
    r"|remote\.\w+\.url|core\.pager=(cat)?$)",
    re.IGNORECASE,
)


def git(reader: Reader, call: Call) -> None:
    peeled = peel(_GIT, call.operands)
    for name, value in peeled.options:
        if name in ("c", "config-env") and value is not None:
            _git_setting(reader, call, value)
        elif name in ("exec-path", "git-dir", "work-tree") and value is not None:
            reader.cannot_tell(
                OpaqueKind.ENVIRONMENT, f"git --{name} may run other programs", text_of(value)
            )
        elif name == "C" and value is not None:
            launch.moved(reader, value)
        elif name in ("p", "paginate") and call.place.shown:
            reader.cannot_tell(OpaqueKind.INTERACTIVE, "git starts a pager", "git -p")
    for option in peeled.unknown:
        reader.cannot_tell(OpaqueKind.COMMAND, "an option of git is not known", option)
    if not peeled.command:
        return
    verb, rest = peeled.command[0], peeled.command[1:]
    if verb.text is None or verb.text not in _GIT_PLAIN:
        reader.cannot_tell(
            OpaqueKind.COMMAND, "git may know this word as an alias or a program", text_of(verb)
        )
    _git_verb(reader, call, verb.text or "", rest)


def _git_setting(reader: Reader, call: Call, value: Word) -> None:
    text = text_of(value)
    if value.text is not None and _GIT_SETTING.match(text):
        return
    setting = text.partition("=")[2]
    reader.cannot_tell(OpaqueKind.ENVIRONMENT, "a git setting may run anything", text)
    if setting:
        reader.read_text(setting.lstrip("!"), call.place.within("git -c"))


def _git_verb(reader: Reader, call: Call, verb: str, rest: list[Word]) -> None:
    texts = [text_of(word) for word in rest]
    named = replace(call, program=f"git {verb}")
    inner = replace(call, argv=[call.argv[0], *rest])
    for word in rest:
        transport = re.match(r"(?:--[a-z-]+=)?(?:ext|fd)::(.*)", word.text or "", re.DOTALL)
        if transport:
            reader.cannot_tell(OpaqueKind.CODE, "git runs a program as a transport", word.raw)
            reader.read_text(transport.group(1).replace("%S", ""), call.place.within("git ext::"))
    options: dict[str, tuple[str, ...]] = {
        "rebase": ("-x", "--exec"),
        "clone": ("-u", "--upload-pack"),
        "fetch": ("--upload-pack",),
        "pull": ("--upload-pack",),
        "ls-remote": ("--upload-pack", "--exec"),
        "push": ("--receive-pack", "--exec"),
        "archive": ("--exec",),
        "difftool": ("-x", "--extcmd"),
        "send-email": ("--smtp-server", "--to-cmd", "--cc-cmd"),
        "filter-branch": (
            "--tree-filter",
            "--index-filter",
            "--env-filter",
            "--msg-filter",
            "--commit-filter",
            "--parent-filter",
            "--tag-name-filter",
            "--setup",
        ),
        "instaweb": ("-d", "-b", "--httpd", "--browser"),
    }
    for value in option_values(inner, options.get(verb, ())):
        shells.run_word(reader, named, value)
    _git_optional(reader, named, inner, verb)
    if verb in ("clone", "init"):
        for value in option_values(inner, ("-c", "--config", "--template")):
            _git_setting(reader, call, value)
    if verb == "bisect" and texts[:1] == ["run"]:
        launch.start(reader, replace(call, program="git bisect run"), rest[1:])
    elif verb == "submodule" and "foreach" in texts:
        command = [
            word
            for word in rest[texts.index("foreach") + 1 :]
            if text_of(word) not in ("--recursive", "-q")
        ]
        launch.start(reader, replace(call, program="git submodule foreach"), command, join=True)
    if {"--ext-diff", "--textconv", "--filters"} & set(texts):
        reader.cannot_tell(OpaqueKind.ENVIRONMENT, "git runs what its settings name", verb)
    _git_asks(reader, verb, texts)


_STRATEGIES: Final = names("resolve recursive ort octopus ours subtree")


def _git_optional(reader: Reader, named: Call, inner: Call, verb: str) -> None:
    """`grep -O[pager]`, strategies of a merge, files that are written."""
    texts = [text_of(word) for word in inner.operands]
    if verb == "grep" and any(
        re.match(r"-[a-zA-Z]*O|--open[-a-z]*", text) for text in texts if text[:2] != "-e"
    ):
        reader.cannot_tell(OpaqueKind.INTERACTIVE, "git grep -O starts a pager", verb)
        for value in attached_values(inner, ("-O", "--open-files-in-pager", "--open")):
            shells.run_word(reader, named, value)
    if verb in ("merge", "pull", "rebase", "cherry-pick", "revert"):
        for value in option_values(inner, ("-s", "--strategy")):
            if value.text not in _STRATEGIES and value.text:
                reader.cannot_tell(OpaqueKind.CODE, "git runs a strategy by its name", value.raw)
    written = _WRITES.get(verb, ())
    for value in option_values(inner, ("--output", *written)):
        reader.opens(value, Access.WRITE, "git")
    if verb in ("worktree", "clone", "init", "bundle"):
        for word in inner.operands:
            if text_of(word)[:1] in ("/", "~", "."):
                reader.opens(word, Access.WRITE, "git")


_WRITES: Final = {
    "archive": ("-o",),
    "format-patch": ("-o", "--output-directory"),
    "bugreport": ("-o", "--output-directory"),
    "diagnose": ("-o", "--output-directory"),
}


def _sets(texts: list[str], joined: str) -> bool:
    """Tell whether `git config` sets what may run something, or starts an editor."""
    if re.search(r"(^| )(-e|--edit|edit)( |$)", joined):
        return True
    if re.search(r"--(get|list|show)|(^| )(-l|list|get)\b", joined):
        return False
    return len(texts) > 1 and not _GIT_SETTING.match(texts[-2])


def _git_asks(reader: Reader, verb: str, texts: list[str]) -> None:
    """Say where git runs an editor, a tool, or what a file or setting tells."""
    joined = " ".join(texts)
    asks = {
        "commit": not re.search(
            r"(^| )(-[a-zA-Z]*[mFC]|--(message|file|no-edit|reuse-message|fixup|dry-run))", joined
        )
        or re.search(r"(^| )(-e|--edit|-[a-z]*p\b|--patch|--interactive)( |$)", joined) is not None,
        "rebase": re.search(r"(^| )(-[a-z]*i|--interactive|--edit-todo)", joined) is not None,
        "mergetool": True,
        "difftool": True,
        "instaweb": True,
        "send-email": True,
        "daemon": True,
        "credential": True,
        "filter-branch": True,
        "filter-repo": True,
        "add": re.search(r"(^| )(-[a-z]*[iep]\b|--(patch|interactive|edit))", joined) is not None,
        "tag": re.search(r"(^| )-[as]\b", joined) is not None
        and not re.search(r"-[a-z]*m|--message", joined),
        "branch": "--edit-description" in texts,
        "notes": bool({"edit", "add"} & set(texts)) and "-m" not in texts,
        **dict.fromkeys(
            ("stash", "checkout", "reset", "restore", "switch"),
            re.search(r"(^| )(-p|--patch)( |$)", joined) is not None,
        ),
        "config": bool(texts) and _sets(texts, joined),
    }.get(verb, False)
    if asks:
        reader.cannot_tell(
            OpaqueKind.INTERACTIVE if verb != "config" else OpaqueKind.ENVIRONMENT,
            f"git {verb} may run an editor, a tool or what a setting says",
            verb,
        )
