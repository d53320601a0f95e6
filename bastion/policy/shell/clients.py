"""Clients of services: their words are names of things elsewhere, but for those that are files.

A word that is not literal is taken for such a name, except where an option or a verb wants a file.
"""

from __future__ import annotations

import re
from typing import Final

from bastion.policy.facts import Access, Word
from bastion.policy.shell.options import option_values
from bastion.policy.shell.state import Call, Reader, names, text_of

CLIENTS: Final = names(
    """
    helm terraform tofu aws gcloud gsutil az psql mysql mariadb redis-cli mongosh mongo svn hg gh
    glab pg_dump pg_dumpall mysqldump mariadb-dump mysqladmin clickhouse-client flyctl fly heroku
    vault consul nomad etcdctl argocd flux istioctl
    """
)
_FILES: Final[dict[str, tuple[str, ...]]] = {
    "kubectl": ("-f", "--filename", "--from-file", "--from-env-file", "--kubeconfig", "-k"),
    "oc": ("-f", "--filename", "--from-file", "--from-env-file", "--kubeconfig"),
    "docker": ("--env-file", "--cidfile", "--label-file", "--config", "--iidfile"),
    "helm": ("-f", "--values", "--kubeconfig"),
    "psql": ("-f", "--file", "-o", "--output", "-L", "--log-file"),
    "pg_dump": ("-f", "--file"),
    "mysqldump": ("-r", "--result-file", "-T", "--tab"),
    "aws": ("--body", "--cli-input-json"),
}
_COPYING: Final = names("cp sync mv scp upload")


def client_files(reader: Reader, call: Call, words: list[Word]) -> None:
    """List the files among the words of a client, as far as they are written out."""
    copying = any(word.text in _COPYING for word in words)
    for word in words:
        text = word.text
        if text is None:
            if copying and not word.prefix.startswith("-") and ":" not in word.raw:
                _both(reader, word, call.program)
            continue
        if not text.startswith("-"):
            _both(reader, Word(text.rstrip(), text), call.program)
        local = re.match(r"(?:fileb?|file):/*(/.*)", text)
        if local:
            _both(reader, Word(local.group(1), text), call.program)
        for piece in re.split(r"[=:@,]", text)[int(not text.startswith("-")) :]:
            if piece.startswith(("/", "~", "./", "../")) and not re.search(r"\s", piece):
                _both(reader, Word(piece, piece), call.program)
        if re.match(r"-[A-Za-z][/~.]", text):
            _both(reader, Word(text[2:], text), call.program)
    for value in option_values(call, _FILES.get(call.program, ())):
        _both(reader, value, call.program)


def _both(reader: Reader, word: Word, program: str) -> None:
    reader.opens(word, Access.READ, program)
    if word.text is not None:
        reader.opens(word, Access.WRITE, program)


_VOLUME: Final = re.compile(r"(?:-v|--volume)(?:=(.*))?", re.DOTALL)


def container_files(reader: Reader, call: Call, words: list[Word]) -> None:
    """List the files that a container engine opens, or mounts with all that is below them."""
    plain: list[Word] = []
    skip = False
    for word, following in zip(words, [*words[1:], None], strict=False):
        if skip:
            skip = False
            continue
        known = word.text if word.text is not None else word.prefix
        volume = _VOLUME.fullmatch(known) if call.program != "kubectl" else None
        if volume and volume.group(1) is None and following is not None:
            _mounts(reader, call, following)
            skip = True
        elif volume and volume.group(1) is not None:
            _mounts(reader, call, Word(volume.group(1), known))
        elif known.startswith("-v") and call.program != "kubectl" and len(known) > 2:
            _mounts(reader, call, Word(known[2:], known))
        elif "source=" in known or "src=" in known:
            for source in re.findall(r"(?:^|[,=])(?:source|src)=([^,]*)", known):
                _mounts(reader, call, Word(source, source))
        else:
            plain.append(word)
    client_files(reader, call, plain)


def _mounts(reader: Reader, call: Call, word: Word) -> None:
    """A mount gives what lies below a directory to whatever runs in the container."""
    source = text_of(word).partition(":")[0]
    if source.startswith(("/", "~", ".")):
        reader.opens_text(source, Access.READ, f"{call.program} -r")
