"""Programs that start the program named in their operands: which options they take, and how many.

A table row that lacks an option makes a command with that option opaque, never wrong: the words
after an unknown option are still read as a command, so that a deny can match.
"""

from __future__ import annotations

from typing import Final

from bastion.policy.shell.peeling import Wrapper

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
        "TPD",
        "abdfiormRvVhep",
        "sched-runtime sched-period sched-deadline",
        "pid all-tasks batch deadline ext fifo idle max other reset-on-fork rr verbose help "
        "version",
        1,
    ),
    "taskset": Wrapper("", "acpVh", "", "pid all-tasks cpu-list help version", 1),
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
    **dict.fromkeys(
        ("linux32", "linux64", "i386", "i586", "i686", "x86_64", "uname26"),
        Wrapper("", "BFILRSTXZv3hV", bare="shell"),
    ),
    "time": Wrapper(
        "fo", "apqvV", "format output", "append portability quiet verbose help version"
    ),
    "command": Wrapper("", "pvV"),
    "builtin": Wrapper(),
    "exec": Wrapper("a", "cl"),
    "coproc": Wrapper(),
    "-": Wrapper(),  # zsh: the same as noglob and nocorrect, to the program's name alone
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
        "trace-path status signal fault inject kvm abbrev verbose raw read write argv0 "
        "syscall-limit",
        "quiet decode-fds decode-pids summary-wall-clock follow-forks daemonize output-append-mode "
        "output-separately summary-only summary no-abbrev strings-in-hex absolute-timestamps "
        "relative-timestamps syscall-times instruction-pointer stack-traces debug help "
        "version tips seccomp-bpf",
    ),
    "ltrace": Wrapper(
        "aAeFlnopsuwxX",
        "bcCfhiLrStTV",
        "align config debug indent library output where",
        "demangle no-signals help version",
    ),
    "unbuffer": Wrapper("", "p"),
    "catchsegv": Wrapper(),
    "eatmydata": Wrapper("", "", "", ""),
    "chroot": Wrapper("", "", "userspec groups", "skip-chdir help version", 1, bare="shell"),
    "unshare": Wrapper(
        "SGRwl",
        "imnpuUCTfrcha",
        "map-user map-users map-group map-groups propagation "
        "setgroups root wd setuid setgid monotonic boottime load-interp owner",
        "mount-proc mount-binfmt kill-child ipc mount net pid uts user cgroup time fork "
        "map-root-user map-current-user map-auto "
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
        "ambient-caps inh-caps bounding-set ruid euid rgid egid reuid regid groups "
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
        "upHME",
        "rSqPtGd",
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
    "ts": Wrapper("", "rism"),
    "mispipe": Wrapper(joined=True),
    "tsp": Wrapper("LNESDW", "nfmBbduglht"),
    "nq": Wrapper("", "cqw"),
    "with-lock-ex": Wrapper("", "wqft", positionals=1),
    **dict.fromkeys(
        (
            "run-one",
            "run-this-one",
            "run-one-constantly",
            "run-one-until-success",
            "run-one-until-failure",
            "keep-one-running",
        ),
        Wrapper(),
    ),
    "retry": Wrapper("dtum", "v", "delay times until message", "verbose", joined=False),
    "aoss": Wrapper(),
    "padsp": Wrapper("snmMASVRd", ""),
    "gpg-agent": Wrapper(
        "",
        "vqs",
        "homedir options log-file debug-level pinentry-program",
        "daemon server verbose quiet sh csh enable-ssh-support no-detach use-standard-socket",
    ),
    "systemd-nspawn": Wrapper(
        "DMiupSxZLnl",
        "baqtU",
        "directory template image oci-bundle root-hash machine user network-namespace-path "
        "network-interface network-zone network-bridge port capability drop-capability bind "
        "bind-ro tmpfs overlay setenv chdir console kill-signal link-journal personality register "
        "timezone resolv-conf settings uuid slice property uid rlimit system-call-filter",
        "boot as-pid2 ephemeral quiet private-users private-network network-veth read-only "
        "volatile keep-unit no-pager pipe",
        bare="shell",
    ),
    **dict.fromkeys(("xtables-multi", "xtables-nft-multi", "xtables-legacy-multi"), Wrapper()),
    "dtach": Wrapper("aAcnNper", "Ez"),
    "abduco": Wrapper("aAcnep", "flqrv"),
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
        "xpnugcrdNPIkasRO",
        "KSTHbCmoqvt1",
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
