"""Where an OpenAI-compatible server may be, and the key that goes there: from the environment, to be shown nowhere."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from airtune.models.types import ModelError

# A shorter key is no secret ("EMPTY" is customary with local servers), and taking it out could maim an answer.
_SECRET_LENGTH = 8


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def checked_url(base_url: str | None, *, allow_network: bool, keyed: bool) -> str:
    """The base URL without a slash at its end.

    Raises:
        ModelError: If there is none, it is no plain http(s) URL, or it leads off this machine without leave.
    """
    example = "http://127.0.0.1:8000/v1"
    if not base_url:
        raise ModelError(
            "backend 'openai' was not told where its server is",
            allowed=f"base_url, for example {example}, or the variable OPENAI_BASE_URL",
            hint=f"--model-setting base_url={example}",
        )
    try:
        url = urlsplit(base_url)
        host, plain = url.hostname or "", not (url.username or url.password or url.query or url.fragment)
        url.port  # noqa: B018 - raises where it is no number
        plain = plain and base_url.isprintable()  # what the shell's variable ends with is not
    except ValueError:
        host, plain, url = "", False, urlsplit("")
    if url.scheme not in ("http", "https") or not host or not plain:
        shown = base_url if plain else "(not shown: it may hold a secret)"
        raise ModelError(
            f"base_url {shown} is not the plain URL of a server",
            allowed=f"http(s)://HOST[:PORT]/PATH without user, query and fragment, for example {example}",
            hint="a key goes into an environment variable, named by api_key_env",
        )
    if is_loopback(host):
        return base_url.rstrip("/")
    if not allow_network:
        raise ModelError(
            f"the server {host} is not this machine, and Airtune stays on it unless told otherwise",
            value=base_url,
            allowed="localhost, 127.0.0.1 or [::1]",
            hint="allow_network=True: prompts, with the task's description and all trials, are sent there",
        )
    if keyed and url.scheme == "http":
        raise ModelError(
            f"the key would travel to {host} unencrypted",
            value=base_url,
            allowed="https, or a loopback URL",
            hint=f"use https, or a tunnel (ssh -L 8000:localhost:8000 {host}) and http://127.0.0.1:8000",
        )
    return base_url.rstrip("/")


def read_key(variable: str | None) -> str | None:
    """The key in an environment variable; None where no variable is named.

    Raises:
        ModelError: If it is not set, or is nothing that a header can carry. The message never has the key.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ModelError(
            f"the environment variable {variable}, which should hold the server's key, is not set",
            value=variable,
            allowed="a variable that is set; api_key_env='' for servers that want none",
            hint=f"export {variable}=... in the shell; keys are never read from anywhere else",
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ModelError(
            f"the environment variable {variable} holds something that cannot be a key",
            value=variable,
            allowed="printable ASCII without blanks",
            hint="copy the key again: a line break or a typographic character has come into it",
        )
    return key


def remover(key: str | None) -> Callable[[str], str]:
    """A function that takes a key, however a server may spell it, out of a text. Its repr does not show the key."""
    if key is None or len(key) < _SECRET_LENGTH:
        return lambda text: text
    encoded = {quote(key, safe=""), json.dumps(key)[1:-1], base64.b64encode(key.encode()).decode()}
    spellings = sorted({key, key[::-1]} | encoded, key=len, reverse=True)

    def remove(text: str) -> str:
        for spelling in spellings:
            text = text.replace(spelling, "[key]")
        return text

    return remove
