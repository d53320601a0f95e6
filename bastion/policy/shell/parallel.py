"""GNU parallel: a template that a shell runs once for each value of its sources."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from bastion.policy.facts import Access, OpaqueKind, Word
from bastion.policy.shell import shells
from bastion.policy.shell.peeling import Peeled, Wrapper, peel
from bastion.policy.shell.state import UNKNOWN, Call, Reader, literal, text_of

_PARALLEL: Final = Wrapper(
    "aBCdDEHIjJLnNPsSUW",
    "0gkmMopqrtTuvVXxh",
    """
    arg-file argfile arg-file-sep argfilesep arg-sep argsep basefile bf basenamereplace bnr
    basenameextensionreplace bner colsep col-sep compress-program use-compress-program
    decompress-program use-decompress-program ctag-string ctagstring debug delay delimiter
    dirnamereplace dnr env extensionreplace er filter halt id semaphorename semaphore-name
    semaphoretimeout semaphore-timeout st jobs joblog jl limit linkinputsource xapplyinputsource
    load max-args maxargs max-chars maxchars max-procs maxprocs max-replace-args maxreplaceargs
    memfree memsuspend nice parens process-slot-var processslotvar profile recend recstart
    results result res retries return rpl rsync-opts rsyncopts seqreplace slotreplace sql
    sql-master sqlmaster sql-worker sqlworker sql-and-worker sqlandworker ssh ssh-delay sshdelay
    sshlogin sshloginfile slf tag-string tagstring template tmpl term-seq termseq timeout tmpdir
    tempdir total-jobs totaljobs total transfer-file transferfile transfer-files transferfiles tf
    trc trim work-dir workdir wd hostgroup-sep
    """,
    """
    xargs silent keep-order keeporder no-keep-order group ungroup latest-line line-buffer lb
    line-buffered linebuffer tmux tmux-pane fg bg null quote plus noswap number-of-cpus
    number-of-cores number-of-threads shell-quote shellquote tag ctag color colour color-failed
    onall nonall filter-hosts controlmaster transfer cleanup ctrl-c no-ctrl-c compress open-tty tty
    dry-run dryrun progress eta bar shuf recordenv record-env tollef gnu link xapply will-cite
    willcite citation no-notice no-run-if-empty interactive verbose version show-limits exit
    semaphore sem pipe spreadstdin pipe-part pipepart round-robin keep cat fifo csv header
    skip-first-line resume resume-failed retry-failed files block regexp remove-rec-sep help
    replace eof max-lines minversion hostgroups wait bin group-by plain unsafe hgrp
    """,
)
_RUNS: Final = (
    "ssh",
    "limit",
    "filter",
    "compress-program",
    "use-compress-program",
    "decompress-program",
    "use-decompress-program",
)
_LOADS: Final = ("J", "profile", "rpl", "sql", "sqlmaster", "sql-master", "rsync-opts", "parens")


def parallel(reader: Reader, call: Call) -> None:
    """Read a template, and the values or files that fill it."""
    own, sources = _split(call.operands)
    files = _source_files(sources)
    for word in files:
        reader.opens(word, Access.READ, "parallel")
    peeled = peel(_PARALLEL, own)
    _options(reader, call, peeled)
    words = peeled.command
    if not words:
        reader.cannot_tell(OpaqueKind.CODE, "parallel runs the lines of its input", "parallel")
        for word in call.operands:
            if word.text and not word.text.startswith((":", "-")):
                reader.read_text(word.text, call.place.within("parallel"))
        return
    if _told(reader, call, peeled, sources):
        return
    extra = replace(call.place.within("parallel"), extra_operands=True, feed=UNKNOWN)
    template = " ".join(text_of(word) for word in words)
    reader.read_text(template, extra)
    values = [word for word in sources if word.text and not word.text.startswith(":")]
    reader.run([*words, *values], extra)
    if any(word.text is None for word in words):
        reader.cannot_tell(OpaqueKind.CODE, "parallel runs text that is not literal", "")
    if "{=" in template:
        reader.cannot_tell(OpaqueKind.CODE, "parallel runs perl between {= and =}", template)


MAX_VALUES: Final = 20
"""Values with which a template is read, one after the other."""


def _told(reader: Reader, call: Call, peeled: Peeled, sources: list[Word]) -> bool:
    """Read the command for each value, where the line holds them: `parallel gzip ::: *.log`."""
    words, values = peeled.command, sources[1:]
    texts = [text_of(word) for word in words]
    plain = all(word.text is not None for word in words) and all(
        word.text is not None or word.dynamic == "glob" for word in values
    )
    named = {name for name, _ in peeled.options} - {"j", "jobs", "k", "keep-order", "bar", "eta"}
    if not plain or named or peeled.unknown or not 0 < len(values) <= MAX_VALUES:
        return False
    if text_of(sources[0]) != ":::" or any(text.startswith(":::") for text in map(text_of, values)):
        return False
    if any(re.search(r"[{}\s'\"$`\\;&|<>()*?~#]", text.replace("{}", "")) for text in texts):
        return False
    within = replace(call.place.within("parallel"), feed=UNKNOWN)
    for value in values:
        if value.text is not None and re.search(r"[^\w@%+=:,./-]", value.text):
            return False
        if any("{}" in text and text != "{}" for text in texts) and value.text is None:
            return False
    for value in values:
        filled = [
            value if text == "{}" else literal(text.replace("{}", value.text or ""))
            for text in texts
        ]
        reader.run(filled if "{}" in " ".join(texts) else [*filled, value], within)
    return True


def _split(operands: list[Word]) -> tuple[list[Word], list[Word]]:
    for index, word in enumerate(operands):
        if re.match(r":::+", text_of(word)):
            return operands[:index], operands[index:]
    return operands, []


def _source_files(sources: list[Word]) -> list[Word]:
    """What follows `::::` names files whose lines are values."""
    found: list[Word] = []
    named = False
    for word in sources:
        mark = re.fullmatch(r"(:::+)\+?", text_of(word))
        if mark:
            named = len(mark.group(1)) > 3
        elif named and word.text != "-":
            found.append(word)
    return found


def _options(reader: Reader, call: Call, peeled: Peeled) -> None:
    for option in peeled.unknown:
        reader.cannot_tell(OpaqueKind.COMMAND, "an option of parallel is not known", option)
    for value in peeled.values(*_RUNS):
        shells.run_word(reader, call, value)
    for value in peeled.values(*_LOADS):
        reader.cannot_tell(OpaqueKind.CODE, "an option of parallel may run anything", value.raw)
    for value in peeled.values("S", "sshlogin"):
        # `ssh command/login@host`: what stands in front of the login is run.
        for login in re.split(r",", text_of(value)):
            if " " in login:
                reader.read_text(login, call.place.within("parallel -S"))
    if peeled.option("tag-string", "tagstring") is not None:
        text = text_of(peeled.option("tag-string", "tagstring") or literal(""))
        if "{=" in text:
            reader.cannot_tell(OpaqueKind.CODE, "parallel runs perl between {= and =}", text)
