"""Programs that start the program named in their operands: which options they take, and how many.

A table row that lacks an option makes a command with that option opaque, never wrong: the words
after an unknown option are still read as a command, so that a deny can match.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from bastion.policy.facts import Word


@dataclass(frozen=True, slots=True)
class Wrapper:
    """Options of one program, as getopt(3) has them, and what stands before the command.

    `values`/`flags` are letters; `long_values`/`long_flags` are names separated by blanks.
    `bare` says what happens without a command: nothing, or a `shell`.
    """

    values: str = ""
    flags: str = ""
    long_values: str = ""
    long_flags: str = ""
    positionals: int = 0
    assignments: bool = False
    bare: str = ""
    numbers: bool = False
    """`-10` is a value of its own (nice)."""
    plus: bool = False
    """Options may begin with `+`, or the program has single-dash long options."""
    joined: bool = False
    """The operands are joined by blanks and given to a shell."""


@dataclass(slots=True)
class Peeled:
    """A wrapper's options, its leading operands, and the command inside."""

    options: list[tuple[str, Word | None]] = field(default_factory=list)
    positionals: list[Word] = field(default_factory=list)
    assignments: list[tuple[str, Word]] = field(default_factory=list)
    command: list[Word] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def option(self, *names: str) -> Word | None:
        """Give the last value of an option, an empty word for a flag, None where it is absent."""
        found: Word | None = None
        for name, value in self.options:
            if name in names:
                found = value or Word("", "")
        return found


_SUDO: Final = Wrapper(
    "CDghpRrtTUuac",
    "ABbEHnPkSsiKlNveV",
    "close-from chdir group host prompt chroot role type command-timeout other-user user "
    "auth-type login-class",
    "askpass background bell preserve-env set-home no-update non-interactive preserve-groups "
    "reset-timestamp stdin shell login list validate version help edit remove-timestamp",
    assignments=True,
)

WRAPPERS: Final[dict[str, Wrapper]] = {
    "sudo": _SUDO,
    "doas": Wrapper("aCu", "Lns", bare=""),
    "run0": Wrapper(
        "ugDp",
        "",
        "unit property description slice user group nice chdir setenv background machine "
        "shell-prompt-prefix area",
        "no-ask-password slice-inherit pty pipe lightweight via-shell empower same-root-dir",
        bare="shell",
    ),
    "pkexec": Wrapper(
        "u", "", "user", "disable-internal-agent keep-cwd version help", bare="shell"
    ),
    "env": Wrapper(
        "uCSa",
        "i0v",
        "unset chdir split-string argv0",
        "ignore-environment null debug block-signal default-signal ignore-signal "
        "list-signal-handling help version",
        assignments=True,
    ),
    "nohup": Wrapper("", "", "", "help version"),
    "timeout": Wrapper(
        "ks", "pfv", "kill-after signal", "preserve-status foreground verbose help version", 1
    ),
    "nice": Wrapper("n", "", "adjustment", "help version", numbers=True),
    "ionice": Wrapper("cnpPu", "tVh", "class classdata pid pgid uid", "ignore version help"),
    "chrt": Wrapper(
        "TPDp",
        "abdfiormRvVhe",
        "sched-runtime sched-period sched-deadline pid",
        "all-tasks batch deadline ext fifo idle max other reset-on-fork rr verbose help version",
        1,
    ),
    "taskset": Wrapper("p", "acVh", "pid", "all-tasks cpu-list help version", 1),
    "numactl": Wrapper(
        "iwpPNCmlLSfho",
        "HsabkuKnc",
        "interleave weighted-interleave preferred cpunodebind "
        "physcpubind membind length offset shm file",
        "hardware show all balancing localalloc huge touch",
    ),
    "stdbuf": Wrapper("ioe", "", "input output error", "help version"),
    "setsid": Wrapper("", "cfwVh", "", "ctty fork wait version help"),
    "setarch": Wrapper(
        "",
        "BFILRSTXZv3hV",
        "",
        "32bit fdpic-funcptrs short-inode addr-compat-layout "
        "addr-no-randomize whole-seconds sticky-timeouts read-implies-exec mmap-page-zero 3gb 4gb "
        "uname-2.6 verbose help version show",
        1,
        bare="shell",
    ),
    "linux32": Wrapper("", "BFILRSTXZv3hV", bare="shell"),
    "linux64": Wrapper("", "BFILRSTXZv3hV", bare="shell"),
    "i386": Wrapper("", "BFILRSTXZv3hV", bare="shell"),
    "i686": Wrapper("", "BFILRSTXZv3hV", bare="shell"),
    "x86_64": Wrapper("", "BFILRSTXZv3hV", bare="shell"),
    "uname26": Wrapper("", "BFILRSTXZv3hV", bare="shell"),
    "time": Wrapper(
        "fo", "apqvV", "format output", "append portability quiet verbose help version"
    ),
    "command": Wrapper("", "pvV"),
    "builtin": Wrapper(),
    "exec": Wrapper("a", "cl"),
    "coproc": Wrapper(),
    "noglob": Wrapper(),
    "nocorrect": Wrapper(),
    "watch": Wrapper(
        "nqs",
        "bcCdegprtwxhvf",
        "interval equexit shotsdir",
        "beep color no-color differences errexit "
        "chgexit precise no-rerun no-title no-wrap exec follow help version",
        joined=True,
    ),
    "strace": Wrapper(
        "abeEIoOpPsSuUX",
        "AcCdDfFhinkqrtTvVwxyYzZN",
        "trace attach columns const-print-style "
        "env interruptible output summary-sort-by summary-columns string-limit user "
        "trace-path status signal fault inject kvm quiet abbrev verbose raw read write decode-fds "
        "decode-pids argv0 syscall-limit summary-wall-clock",
        "follow-forks daemonize output-append-mode "
        "output-separately summary-only summary no-abbrev strings-in-hex absolute-timestamps "
        "relative-timestamps syscall-times instruction-pointer stack-traces debug help "
        "version tips seccomp-bpf",
    ),
    "ltrace": Wrapper(
        "aAeFlnopsuwxX",
        "bcCfhiLrStTV",
        "align config demangle library output where",
        "no-signals help version",
    ),
    "unbuffer": Wrapper("", "p"),
    "catchsegv": Wrapper(),
    "eatmydata": Wrapper("", "", "", ""),
    "chroot": Wrapper("", "", "userspec groups", "skip-chdir help version", 1, bare="shell"),
    "unshare": Wrapper(
        "SGRwl",
        "imnpuUCTfrcha",
        "mount-proc map-user map-users map-group map-groups propagation "
        "setgroups root wd setuid setgid monotonic boottime load-interp kill-child owner",
        "ipc mount net pid uts user cgroup time fork map-root-user map-current-user map-auto "
        "keep-caps help version",
        bare="shell",
    ),
    "nsenter": Wrapper(
        "tSGNW",
        "amuinpCUTrwFZeckh",
        "target setuid setgid wdns net-socket",
        "all mount uts ipc net pid cgroup user time root wd no-fork follow-context env join-cgroup "
        "preserve-credentials keep-caps user-parent help version",
        bare="shell",
    ),
    "capsh": Wrapper(),
    "setpriv": Wrapper(
        "",
        "dhV",
        "clear-groups ambient-caps inh-caps bounding-set ruid euid rgid egid reuid regid groups "
        "securebits pdeathsig selinux-label apparmor-profile landlock-access "
        "landlock-rule seccomp-filter",
        "clear-groups keep-groups init-groups no-new-privs nnp reset-env dump help "
        "version list-caps",
    ),
    "runcon": Wrapper("trul", "c", "type user role range", "compute help version", 1),
    "aa-exec": Wrapper(
        "pn", "divh", "profile namespace", "debug immediate verbose help", bare="shell"
    ),
    "choom": Wrapper("np", "hV", "adjust pid", "help version"),
    "prlimit": Wrapper(
        "po",
        "vhV",
        "pid output",
        "noheadings raw verbose help version core data nice fsize sigpending "
        "memlock rss nofile msgqueue rtprio stack cpu nproc as locks rttime",
    ),
    "cpulimit": Wrapper(
        "lpePcs",
        "vziqfh",
        "limit pid exe path cpu",
        "verbose lazy include-children foreground help quiet",
    ),
    "systemd-run": Wrapper(
        "uptHMGEd",
        "rSqP",
        "unit property description slice uid gid nice working-directory setenv "
        "host machine on-active on-boot on-startup on-unit-active on-unit-inactive on-calendar "
        "timer-property path-property socket-property service-type background job-mode",
        "user system scope remain-after-exit send-sighup slice-inherit "
        "expand-environment no-block wait "
        "pty pipe quiet collect shell no-ask-password same-dir on-timezone-change on-clock-change "
        "ignore-failure",
        bare="shell",
    ),
    "systemd-inhibit": Wrapper(
        "", "", "what who why mode", "list no-pager no-legend no-ask-password"
    ),
    "systemd-cat": Wrapper(
        "tp", "", "identifier priority stderr-priority level-prefix namespace", ""
    ),
    "flock": Wrapper(
        "wWEc",
        "sxeonFuhvV",
        "wait timeout conflict-exit-code command",
        "shared exclusive unlock nonblock nb close no-fork verbose help version fcntl",
        1,
    ),
    "chronic": Wrapper("", "ev"),
    "ifne": Wrapper("", "n"),
    "cgexec": Wrapper("g", "bh", "", "sticky"),
    "dbus-run-session": Wrapper("", "", "config-file dbus-daemon", "help version"),
    "dbus-launch": Wrapper("", "", "config-file", "auto-syntax sh-syntax exit-with-session"),
    "xvfb-run": Wrapper(
        "efnpsw",
        "alh",
        "error-file auth-file server-num xauth-protocol server-args wait",
        "auto-servernum listen-tcp help",
    ),
    "fakeroot": Wrapper("lfisbp", "uh", "lib faked", "unknown-is-real help version", bare="shell"),
    "fakechroot": Wrapper("dl", "sh", bare="shell"),
    "faketime": Wrapper("p", "mf", "", "exclude-monotonic", 1),
    "firejail": Wrapper("", "", plus=True, bare="shell"),
    "bwrap": Wrapper("", "", plus=True),
    "proot": Wrapper("rbqwvkiR0S", "", bare="shell"),
    "chpst": Wrapper("uUbe/nlLmdofpcrtC", "vP012"),
    "softlimit": Wrapper("mdsalofpcrt", ""),
    "setlock": Wrapper("", "nNxX", positionals=1),
    "setuidgid": Wrapper(positionals=1),
    "envuidgid": Wrapper(positionals=1),
    "envdir": Wrapper(positionals=1),
    "envfile": Wrapper(positionals=1),
    "pgrphack": Wrapper(),
    "gosu": Wrapper(positionals=1),
    "su-exec": Wrapper(positionals=1),
    "tini": Wrapper("e", "vsgwphl"),
    "dumb-init": Wrapper("", "cvhV", "rewrite", "single-child verbose"),
    "trickle": Wrapper("udwtlnLP", "hvVs"),
    "torsocks": Wrapper(
        "uaP", "iqd", "user pass address port", "isolate quiet debug", bare="shell"
    ),
    "torify": Wrapper("", "v"),
    "tsocks": Wrapper(),
    "proxychains": Wrapper("f", "q"),
    "proxychains4": Wrapper("f", "q"),
    "rlwrap": Wrapper("abCdefgHlmMopPqsStwz", "AcEIhiMnNrRuUvW"),
    "sshpass": Wrapper("fdpP", "ehVv"),
    "ssh-agent": Wrapper("aEOPt", "cDdksTu", bare=""),
    "logsave": Wrapper("", "asv", positionals=1),
    "multitime": Wrapper("fInoqrs", "lv"),
    "hyperfine": Wrapper("wmMrspcnStiuDLPN", "iN", plus=True),
    "valgrind": Wrapper("", "qv", plus=True),
    "rr": Wrapper(positionals=1),
    "apptainer": Wrapper(positionals=1, plus=True),
    "pifpaf": Wrapper(positionals=2),
    "schedtool": Wrapper("aMnpe", "NFRBIDv"),
    "daemonize": Wrapper("acEeolpu", "v"),
    "daemon": Wrapper("nUuDFcLlMaAXPoOEf", "gr", plus=True),
    "start-stop-daemon": Wrapper(
        "xpnugcrdNPIkasRt",
        "KSTHbCmoqv1",
        "exec startas pidfile ppid name user group chuid chroot chdir "
        "nicelevel procsched iosched umask signal retry output notify-timeout",
        "start stop status test oknodo quiet background make-pidfile remove-pidfile "
        "verbose no-close "
        "notify-await",
    ),
    "busybox": Wrapper("", "", "", "list list-full help install"),
    "toybox": Wrapper("", "", "", "long help version"),
    "sem": Wrapper("jP", "", "id semaphorename jobs", "fg bg wait", joined=True),
    "dotenv": Wrapper("fe", "", "file", "override no-override"),
    "newrelic-admin": Wrapper(positionals=1),
    "ddtrace-run": Wrapper(),
    "opentelemetry-instrument": Wrapper(plus=True),
    "jobs": Wrapper("x", "lnprs"),
    "xdotool": Wrapper(plus=True),
    "nsjail": Wrapper(plus=True),
    "vglrun": Wrapper("", "", plus=True),
    "primusrun": Wrapper(),
    "optirun": Wrapper(plus=True),
    "gamemoderun": Wrapper(),
    "with-contenv": Wrapper(),
    "s6-setuidgid": Wrapper(positionals=1),
    "s6-envdir": Wrapper("", "Ifn", positionals=1),
    "s6-softlimit": Wrapper("acdflmnoprstv", "hH"),
    "lxc-execute": Wrapper("nlofPs", "", plus=True),
    "cset": Wrapper(plus=True),
    "ccache": Wrapper(),
    "distcc": Wrapper(),
    "icecc": Wrapper(),
    "entr": Wrapper("", "acdnprsxz"),
    "ld.so": Wrapper(
        "",
        "",
        "library-path preload audit argv0 inhibit-rpath glibc-hwcaps-prepend glibc-hwcaps-mask",
        "list verify inhibit-cache help version",
    ),
}


def peel(wrapper: Wrapper, operands: list[Word]) -> Peeled:
    """Split a wrapper's operands into options, positionals and the command inside."""
    peeled = Peeled()
    index = 0
    positionals = wrapper.positionals
    while index < len(operands):
        word = operands[index]
        text = word.text
        if text is None:
            if peeled.command or positionals == 0:
                # It may be an option, the command, or nothing at all.
                break
            positionals -= 1
            peeled.positionals.append(word)
            index += 1
            continue
        if text == "--":
            index += 1
            index = _take_positionals(peeled, operands, index, positionals)
            positionals = 0
            break
        if text.startswith("-") and len(text) > 1 and (text[1:2] != "-" or len(text) > 2):
            index = _option(wrapper, peeled, operands, index)
        elif wrapper.plus and text.startswith("+"):
            peeled.unknown.append(text)
            index += 1
        elif text == "-" and wrapper.assignments:
            peeled.options.append(("i", None))
            index += 1
        elif wrapper.assignments and "=" in text:
            name, _, value = text.partition("=")
            peeled.assignments.append((name, Word(value, value)))
            index += 1
        elif positionals:
            positionals -= 1
            peeled.positionals.append(word)
            index += 1
        else:
            break
    index = _assignments(wrapper, peeled, operands, index)
    peeled.command = operands[index:]
    return peeled


def _take_positionals(peeled: Peeled, operands: list[Word], index: int, count: int) -> int:
    peeled.positionals.extend(operands[index : index + count])
    return index + count


def _assignments(wrapper: Wrapper, peeled: Peeled, operands: list[Word], index: int) -> int:
    """Take `NAME=value` words, dynamic ones too, in front of the command."""
    while wrapper.assignments and index < len(operands):
        word = operands[index]
        tilde = word.dynamic == "tilde"
        known = word.raw if tilde else word.text if word.text is not None else word.prefix
        name, equals, value = known.partition("=")
        if not equals or not name or ("/" in name and not tilde):
            break
        dynamic = word.text is None
        peeled.assignments.append(
            (name, Word(None, word.raw, word.dynamic, value) if dynamic else Word(value, value))
        )
        index += 1
    return index


def _option(wrapper: Wrapper, peeled: Peeled, operands: list[Word], index: int) -> int:
    text = operands[index].text or ""
    if text.startswith("--"):
        return _long(wrapper, peeled, operands, index, text[2:])
    if wrapper.numbers and re.fullmatch(r"--?\d+|-\+?-?\d+", text):
        peeled.options.append(("n", operands[index]))
        return index + 1
    for at, letter in enumerate(text[1:], 1):
        if letter in wrapper.values:
            if at + 1 < len(text):
                peeled.options.append((letter, Word(text[at + 1 :], text[at + 1 :])))
                return index + 1
            value = operands[index + 1] if index + 1 < len(operands) else None
            peeled.options.append((letter, value))
            return index + 2
        if letter not in wrapper.flags:
            peeled.unknown.append(text)
            peeled.options.append((letter, None))
            break
        peeled.options.append((letter, None))
    return index + 1


def _long(wrapper: Wrapper, peeled: Peeled, operands: list[Word], index: int, text: str) -> int:
    name, equals, value = text.partition("=")
    values = wrapper.long_values.split()
    flags = wrapper.long_flags.split()
    known = [each for each in values + flags if each.startswith(name)]
    exact = name if name in values or name in flags else known[0] if len(known) == 1 else ""
    if not exact:
        peeled.unknown.append("--" + name)
        peeled.options.append((name, Word(value, value) if equals else None))
        return index + 1
    if equals:
        peeled.options.append((exact, Word(value, value)))
        return index + 1
    if exact in values and index + 1 < len(operands):
        peeled.options.append((exact, operands[index + 1]))
        return index + 2
    peeled.options.append((exact, None))
    return index + 1
