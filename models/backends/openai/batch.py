"""Several requests to a server at a time: in order, and without losing what was answered when one fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

from airtune.models.types import Completion, ModelError, Request, TextRequest

_AskT = TypeVar("_AskT", Request, TextRequest)


def ask_all(
    requests: Sequence[_AskT], ask: Callable[[_AskT], Completion], concurrency: int
) -> list[Completion]:
    """Every request's completion, in order.

    Args:
        requests: What to ask.
        ask: Asks one; called in several threads at a time.
        concurrency: In how many. One request, or one at a time, is asked in this thread: Ctrl-C stops it.

    Raises:
        ModelError: The first one that `ask` raised; what was answered by then is in its `answered`.
    """
    if len(requests) <= 1 or concurrency == 1:
        done: list[Completion] = []
        for request in requests:
            try:
                done.append(ask(request))
            except ModelError as error:
                error.answered = list(zip(requests, done, strict=False))
                raise
        return done
    pool = ThreadPoolExecutor(min(concurrency, len(requests)), thread_name_prefix="airtune-openai")
    try:
        futures = [pool.submit(ask, request) for request in requests]
        wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:  # after a failure nothing more is begun; what is under way is paid for
            future.cancel()
        wait(futures)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    ended = [
        (request, future) for request, future in zip(requests, futures, strict=True) if not future.cancelled()
    ]
    errors = [found for _, future in ended if (found := future.exception()) is not None]
    if not errors:
        return [future.result() for future in futures]
    first = errors[0]
    if isinstance(first, ModelError):
        first.answered = [(r, future.result()) for r, future in ended if future.exception() is None]
    raise first
