"""curl and wget: which files they read, send and write."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final
from urllib.parse import unquote

from bastion.policy.facts import Access, Word
from bastion.policy.shell.peeling import Wrapper, spread
from bastion.policy.shell.state import Call, Reader, names, text_of

_CURL: Final = Wrapper(
    "AbcCdDeEFHKmoPQrtTuUwxXyYz",
    "0123456789aBfgGhiIjJklLMnNOpqRsSvVZ:#",
    """
    abstract-unix-socket alt-svc aws-sigv4 cacert capath cert cert-type ciphers config
    connect-timeout connect-to continue-at cookie cookie-jar create-file-mode crlfile curves data
    data-ascii data-binary data-raw data-urlencode delegation dns-interface dns-ipv4-addr
    dns-ipv6-addr dns-servers doh-url dump-header ech egd-file engine etag-compare etag-save
    expect100-timeout form form-string ftp-account ftp-alternative-to-user ftp-method ftp-port
    ftp-ssl-ccc-mode happy-eyeballs-timeout-ms haproxy-clientip header hostpubmd5 hostpubsha256
    hsts interface ip-tos ipfs-gateway json keepalive-cnt keepalive-time key key-type krb libcurl
    limit-rate local-port login-options mail-auth mail-from mail-rcpt max-filesize max-redirs
    max-time netrc-file noproxy oauth2-bearer output output-dir parallel-max pass pinnedpubkey
    preproxy proto proto-default proto-redir proxy proxy-cacert proxy-capath proxy-cert
    proxy-cert-type proxy-ciphers proxy-crlfile proxy-header proxy-key proxy-key-type proxy-pass
    proxy-pinnedpubkey proxy-service-name proxy-tls13-ciphers proxy-tlsauthtype proxy-tlspassword
    proxy-tlsuser proxy-user proxy1.0 pubkey quote random-file range rate referer request
    request-target resolve retry retry-delay retry-max-time sasl-authzid service-name socks4
    socks4a socks5 socks5-gssapi-service socks5-hostname speed-limit speed-time stderr
    telnet-option tftp-blksize time-cond tls-max tls13-ciphers tlsauthtype tlspassword tlsuser
    trace trace-ascii trace-config unix-socket upload-file url url-query user user-agent variable
    vlan-priority write-out expand-data expand-header expand-url expand-output expand-form
    """,
    "remote-name remote-name-all remote-header-name globoff next",
)
_CURL_READS: Final = names(
    """
    T upload-file K config b cookie E cert key cacert capath netrc-file crlfile egd-file
    proxy-cacert proxy-capath proxy-cert proxy-crlfile proxy-key pubkey random-file etag-compare
    hsts alt-svc unix-socket pinnedpubkey proxy-pinnedpubkey
    """
)
_CURL_WRITES: Final = names(
    """
    o output D dump-header c cookie-jar trace trace-ascii stderr libcurl etag-save hsts alt-svc
    expand-output
    """
)
_CURL_DATA: Final = names(
    """
    d data data-ascii data-binary json H header proxy-header w write-out url data-urlencode
    url-query F form variable expand-data expand-header expand-form
    """
)
"""Options whose value names a file behind an `@`, or in a form behind a `<`."""
_FILE_IN_DATA: Final = {
    **dict.fromkeys(names("F form expand-form"), re.compile(r"(?:^|[=;,])\s*[@<](.*)", re.DOTALL)),
    **dict.fromkeys(
        names("data-urlencode url-query variable"), re.compile(r"^[^@=]*@(.*)", re.DOTALL)
    ),
}
_AT_FRONT: Final = re.compile(r"^@(.*)", re.DOTALL)
_LOCAL_URL: Final = re.compile(
    r"file:(?://(?:localhost|127\.0\.0\.1)?(?=/))?(/.*)", re.IGNORECASE | re.DOTALL
)


def curl(reader: Reader, call: Call) -> None:
    """List the files of curl."""
    options, operands = spread(_CURL, call.operands)
    options = [(name.removeprefix("expand-"), value) for name, value in options]
    given = {name for name, _ in options}
    folders = [text_of(value) for name, value in options if name == "output-dir" and value]
    urls = [value for name, value in options if name == "url" and value] + operands
    for name, value in options:
        if value is not None:
            _option(reader, name, value, folders)
    named = bool(given & {"O", "remote-name", "remote-name-all"})
    for url in urls:
        _url(reader, url)
        if named:
            _remote_name(reader, url, folders, "curl")
    if "proto-default" in given:
        for url in urls:
            reader.opens(url, Access.READ, "curl")
    if named and given & {"J", "remote-header-name"}:
        for folder in folders:
            reader.opens(Word(None, folder, "input", folder + "/"), Access.WRITE, "curl")


def _option(reader: Reader, name: str, value: Word, folders: list[str]) -> None:
    if name in _CURL_READS and not (name in ("b", "cookie") and "=" in text_of(value)):
        _braced(reader, value, Access.READ)
    if name in _CURL_WRITES:
        _written(reader, value, folders if name in ("o", "output") else [], "curl")
    if name in _CURL_DATA:
        _data(reader, name, value)


def _known(word: Word) -> str:
    return word.text if word.text is not None else word.prefix


def _like(word: Word, text: str) -> Word:
    """Give the part `text` of what is known of a word."""
    return Word(text, text) if word.text is not None else replace(word, prefix=text)


def _data(reader: Reader, name: str, value: Word) -> None:
    known = _known(value)
    found = _FILE_IN_DATA.get(name, _AT_FRONT).search(known)
    if found:
        path = found.group(1)
        for piece in re.split(r"[;,]", path) if name in ("F", "form") else [path]:
            reader.opens(_like(value, piece.strip("\"'@<")), Access.READ, "curl")
    for written in (
        re.findall(r"%output\{(?:>>)?([^}]*)", known) if name in ("w", "write-out") else []
    ):
        reader.opens_text(written, Access.WRITE, "curl")


def _braced(reader: Reader, value: Word, access: Access) -> None:
    """curl expands `{a,b}` and `[1-9]` in what it uploads and fetches by itself."""
    known = _known(value)
    start = re.split(r"[{\[]", known, maxsplit=1)[0]
    if start != known:
        reader.opens(Word(None, value.raw, "input", start), access, "curl")
    else:
        reader.opens(value, access, "curl")


def _url(reader: Reader, url: Word) -> None:
    local = _LOCAL_URL.match(_known(url))
    if local:
        _braced(reader, _like(url, unquote(local.group(1))), Access.READ)


def _written(reader: Reader, value: Word, folders: list[str], program: str) -> None:
    known = _known(value)
    if program == "curl" and "#" in known:
        value = Word(None, value.raw, "input", known.partition("#")[0])
    reader.opens(value, Access.WRITE, program)
    for folder in folders:
        if value.text is not None:
            reader.opens_text(f"{folder}/{value.text}", Access.WRITE, program)


def _remote_name(reader: Reader, url: Word, folders: list[str], program: str) -> None:
    """Without a name of its own, a download has the last one of its address."""
    if url.text is None:
        return
    name = re.split(r"[?#]", url.text, maxsplit=1)[0].rstrip("/").rpartition("/")[2]
    for folder in folders or ["."]:
        reader.opens_text(f"{folder}/{name}", Access.WRITE, program)


# --- wget -------------------------------------------------------------------------------------

_WGET: Final = Wrapper(
    "eoaiBtOTwQPUlARDIX",
    "VhbdqvFcNSxEnrkKmpHL46",
    """
    execute output-file append-output report-speed input-file base config rejected-log tries
    retry-on-http-error output-document start-pos progress timeout dns-timeout connect-timeout
    read-timeout wait waitretry quota bind-address limit-rate restrict-file-names prefer-family
    user password use-askpass local-encoding remote-encoding directory-prefix cut-dirs http-user
    http-password default-page header compression proxy-user proxy-password referer user-agent
    load-cookies save-cookies post-data post-file method body-data body-file secure-protocol
    certificate certificate-type private-key private-key-type ca-certificate ca-directory crl-file
    pinnedpubkey ciphers ftp-user ftp-password warc-file warc-header warc-max-size warc-dedup
    warc-tempdir level backups accept reject accept-regex reject-regex regex-type domains
    exclude-domains follow-tags ignore-tags include-directories exclude-directories
    """,
    "spider",
)
_WGET_READS: Final = names(
    """
    i input-file config load-cookies post-file body-file certificate private-key ca-certificate
    ca-directory crl-file pinnedpubkey warc-dedup
    """
)
_WGET_WRITES: Final = names(
    "o output-file a append-output O output-document rejected-log save-cookies warc-file"
)


def wget(reader: Reader, call: Call) -> None:
    """List the files of wget."""
    options, operands = spread(_WGET, call.operands)
    given = {name for name, _ in options}
    folders = [
        text_of(value) for name, value in options if name in ("P", "directory-prefix") and value
    ]
    for name, value in options:
        if value is not None and name in _WGET_READS:
            reader.opens(value, Access.READ, "wget")
        if value is not None and name in _WGET_WRITES:
            _written(reader, value, [], "wget")
    if not given & {"O", "output-document", "spider"}:
        for url in operands:
            _remote_name(reader, url, folders, "wget")
