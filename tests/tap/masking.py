"""What the masking tests share: the shipped detectors, a fixed key, and secrets of every kind."""

from __future__ import annotations

from bastion.config import load_detectors
from bastion.tap.detect import Detectors
from bastion.tap.marks import Marks
from bastion.tap.mask import Masking

ALL = load_detectors()
MARKS = Marks(b"k" * 32)
DEFAULT = Masking(Detectors(one for one in ALL.each if one.always), MARKS)
EVERY = Masking(ALL, MARKS)
NOTHING = Masking(Detectors(()), MARKS)

BODY = "MIIEowIBAAKCAQEAxwcqoR3a1vXkNd2gKLHRS5mYb64b64b64b64b64b64b64b64"
PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + f"{BODY}\n" * 8 + "-----END RSA PRIVATE KEY-----"

SECRETS = {
    "private-key": PEM,
    "aws-key": "AKIAIOSFODNN7EXAMPLE",
    "aws-secret": "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "gcp-key": "AIzaSyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe",
    "azure-key": "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZ"
    "FPTOtr/KBHBeksoGMGw==",
    "github-token": "ghp_1A2b3C4d5E6f7G8h9I0jK1l2M3n4O5p6Q7r8",
    "gitlab-token": "glpat-1a2B3c4D5e6F7g8H9i0J",
    "slack-token": "xoxb-2444333222111-2444333222112-AbCdEfGhIjKlMnOpQrStUvWx",
    "stripe-key": "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "openai-key": "sk-proj-1A2b3C4d5E6f7G8h9I0jK1l2",
    "anthropic-key": "sk-ant-api03-1A2b3C4d5E6f7G8h9I0jK1l2M3n4",
    "npm-token": "npm_1A2b3C4d5E6f7G8h9I0jK1l2M3n4O5p6Q7r8",
    "pypi-token": "pypi-AgEIcHlwaS5vcmcCJDAwMDAwMDAwLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAwMAACKlsz",
    "jwt": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0"
    ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "url-password": "postgresql://app:s3cr3t!x@db:5432/shop",
    "password": "DB_PASSWORD=hunter2-x",
    "authorization": "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ1",
    "password-hash": "root:$6$mWq1.CzQ$Zv0FQ1r1Wq8hS9k3bC5y0uK7dE2fA4gH6jL8nM0pR2tV4xZ6:19000:0:",
    "card": "4012888888881881",
    "iban": "DE89 3704 0044 0532 0130 00",
    "id-br": "529.982.247-25",
    "id-fr": "255081416802538",
    "id-it": "RSSMRA85T10A562S",
    "id-cn": "11010519491231002X",
}
"""A line or block of each kind that always looks."""


def core(kind: str) -> bytes:
    """What of it is secret, as the detector says."""
    text = SECRETS[kind].encode()
    [detector] = [one for one in ALL.each if one.name == kind]
    [found] = detector.find(text)
    return text[found.start : found.end]
