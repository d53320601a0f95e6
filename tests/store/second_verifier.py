"""A second verifier of recordings, written from docs/recording-format.md alone.

It shares no code with the product: Ed25519 is RFC 8032's own arithmetic, and keys, JSON and hashes
are read with the standard library. It says `whole`, `unfinished` or `broken`, no more.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import sys
from pathlib import Path

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
LAST = {"end", "failed", "finished"}
LINE = re.compile(rb'(\{.*),"hash":"([0-9a-f]{64})","signature":"([0-9a-f]{128})"\}')


def add(one, other):
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def decompress(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if y >= P or (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def is_signed(key, message, signature):
    public, point = decompress(key), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if public is None or point is None or s >= L:
        return False
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    k = int.from_bytes(digest, "little") % L
    one, other = times(s, BASE), add(point, times(k, public))
    return not (
        (one[0] * other[2] - other[0] * one[2]) % P or (one[1] * other[2] - other[1] * one[2]) % P
    )


def read_key(path):
    blob = base64.b64decode(Path(path).read_text().split()[1])
    (length,) = struct.unpack(">I", blob[:4])
    assert blob[4 : 4 + length] == b"ssh-ed25519"
    return blob[-32:]


def read_seal(path, key):
    """The seal's lines, or None where one does not hold."""
    lines, prev = [], "0" * 64
    for raw in path.read_bytes().split(b"\n")[:-1]:
        found = LINE.fullmatch(raw)
        if found is None:
            return None
        body = found[1] + b"}"
        digest = hashlib.sha256(body).digest()
        message = b"bastion recording seal v1\0" + digest
        if digest.hex().encode() != found[2] or not is_signed(
            key, message, bytes.fromhex(found[3].decode())
        ):
            return None
        line = json.loads(body)
        if (
            line["seq"] != len(lines)
            or line["prev"] != prev
            or (lines and lines[-1]["kind"] in LAST)
        ):
            return None
        prev = digest.hex()
        lines.append(line)
    return lines


def verify(stem, key):
    stem = Path(stem)
    seal = Path(f"{stem}.seal.jsonl")
    lines = read_seal(seal, key) if seal.exists() else None
    if not lines or lines[0]["kind"] != "open":
        return "broken"
    if (lines[0]["session"], lines[0]["channel"]) != (stem.parent.name, stem.name):
        return "broken"
    last = lines[-1]["kind"] in LAST
    if last and not seal.read_bytes().endswith(b"\n"):
        return "broken"
    for name, suffix in (("cast", ".cast"), ("events", ".events.jsonl")):
        path = Path(f"{stem}{suffix}")
        data = path.read_bytes() if path.exists() else b""
        for line in lines:
            extent = line["files"][name]
            part = data[: extent["size"]]
            if len(part) != extent["size"] or hashlib.sha256(part).hexdigest() != extent["sha256"]:
                return "broken"
        if last and len(data) != lines[-1]["files"][name]["size"]:
            return "broken"
    return "whole" if last else "unfinished"


if __name__ == "__main__":
    print(verify(sys.argv[1], read_key(sys.argv[2])))
