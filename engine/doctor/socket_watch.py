"""Writes down every use of the network that Python makes in a process and in those it starts: put in as sitecustomize.

Python tells its audit hooks (PEP 578) of sockets and of look-ups of names. Native code that calls the system by itself
is not seen here; `strace` sees it, and an empty network namespace stops it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

LOG_VARIABLE = "AIRTUNE_SOCKET_LOG"  # the file that attempts are appended to
_UNIX = 1  # socket.AF_UNIX; importing socket here would be an import in every process
_LOOKED_UP = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")
_USED = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg")


def _attempt(event: str, args: tuple[Any, ...]) -> str | None:
    """What an event says that the process tries beyond Unix sockets, or None."""
    if event == "socket.__new__" and args[1] != _UNIX:
        return f"socket of family {int(args[1])}"
    if event in _USED and args[0].family != _UNIX:
        return f"{event.removeprefix('socket.')} {args[-1]!r}"
    if event in _LOOKED_UP:
        return f"{event.removeprefix('socket.')} {args[0]!r}"
    return None


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event.startswith("socket.") and (tried := _attempt(event, args)):
        with open(os.environ[LOG_VARIABLE], "a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"{os.path.basename(sys.argv[0] if hasattr(sys, 'argv') else '?')}: {tried}\n")


if __name__ == "sitecustomize":
    sys.addaudithook(_hook)
