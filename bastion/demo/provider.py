"""The demo's identity provider: nanoidp on loopback, where a login is a click on a person."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from bastion.demo.child import Child, ChildError, free_port, running
from bastion.errors import BastionError

PORT_ATTEMPTS: Final = 5
CLIENT_ID: Final = "bastion"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can log in at the provider."""

    name: str
    groups: Sequence[str]
    description: str = ""


PEOPLE: Final = (
    Person("alice", ("dev",), "a developer"),
    Person("bob", ("oncall",), "on call: answers what is held"),
)


@dataclass(frozen=True, slots=True)
class Provider:
    """A running provider, and the bastion's account with it."""

    issuer: str
    client_id: str
    client_secret: str
    child: Child


@contextlib.asynccontextmanager
async def provider(directory: Path, people: Sequence[Person] = PEOPLE) -> AsyncIterator[Provider]:
    """Run the provider with its files in `directory`; it knows `people` and the bastion."""
    if importlib.util.find_spec("nanoidp") is None:
        raise BastionError("The demo needs nanoidp: install bastion with its `demo` extra.")
    client_secret = secrets.token_urlsafe()
    for attempt in range(1, PORT_ATTEMPTS + 1):
        port = free_port()
        issuer = f"http://127.0.0.1:{port}"
        config = directory / str(attempt)
        _write(config, _settings(config, issuer, port, client_secret), people)
        arguments = [sys.executable, "-m", "nanoidp", "--config", str(config)]
        env = os.environ | {"PYTHONUNBUFFERED": "1"}
        async with running(arguments, log=config / "log", env=env) as child:
            try:
                await child.wait_for(f"Running on {issuer}")
            except ChildError:
                if attempt < PORT_ATTEMPTS and "in use" in child.said():
                    continue
                raise
            yield Provider(issuer, CLIENT_ID, client_secret, child)
            return


def _write(config: Path, settings: Mapping[str, object], people: Sequence[Person]) -> None:
    config.mkdir(parents=True, mode=0o700)
    users = {
        person.name: {
            "email": f"{person.name}@example.org",
            "groups": list(person.groups),
            "description": person.description,
        }
        for person in people
    }
    (config / "settings.yaml").write_text(yaml.safe_dump(settings))
    (config / "users.yaml").write_text(yaml.safe_dump({"config_version": 1, "users": users}))


def _settings(config: Path, issuer: str, port: int, secret: str) -> dict[str, object]:
    client = {
        "client_id": CLIENT_ID,
        "client_secret": secret,
        "description": "The bastion of this demo",
    }
    return {
        "config_version": 1,
        "server": {"host": "127.0.0.1", "port": port},
        "oauth": {"issuer": issuer, "audience": CLIENT_ID, "clients": [client]},
        "jwt": {"keys_dir": str(config / "keys")},
        "login": {"mode": "persona"},
        "device_flow": {"polling_interval": 1},
        "session": {"secret_key": secrets.token_hex()},
        "logging": {"verbose_logging": False},
    }
