"""Reading several stretches of a message log side by side: a page takes longer to come than to understand."""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass

from ..clients import LogPage, MessageLogClient


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of the log, by creation of the messages. Times are Unix time."""

    since: float
    until: float
    resume: str | None = None  # the client's bookmark of how far an earlier reading came


def read_windows(
    client: MessageLogClient, windows: Sequence[Window], *, workers: int = 8
) -> Iterator[tuple[Window, LogPage]]:
    """Yield the pages of all windows, as they come; those of one window newest first, ``workers`` windows at a time.

    No more than ``workers`` pages are held at once, however slowly they are taken. The window that comes with a
    page tells how far its reading has come: its ``resume`` goes on behind the page, ``None`` when nothing is left.
    Windows with ``until`` are read by date, so the log may leave out messages that were never sent.

    Raises the first ProviderError of any window, once the pages under way have come.
    """
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="log-window") as pool:

        def fetch(window: Window) -> Future[LogPage]:
            # A copy, so that the deadline around the caller holds in the thread too.
            run = copy_context().run
            return pool.submit(
                run, lambda: client.read_page(since=window.since, until=window.until, resume=window.resume)
            )

        waiting = list(reversed(windows))
        under_way = {fetch(window): window for window in _take(waiting, workers)}
        while under_way:
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                window, page = under_way.pop(future), future.result()
                rest = Window(window.since, window.until, page.resume)
                if _is_left(window, page):
                    under_way[fetch(rest)] = rest
                else:
                    rest = Window(window.since, window.until)
                    under_way.update((fetch(window), window) for window in _take(waiting, 1))
                yield rest, page


def _take(waiting: list[Window], count: int) -> list[Window]:
    return [waiting.pop() for _ in range(min(count, len(waiting)))]


def _is_left(window: Window, page: LogPage) -> bool:
    return page.resume is not None and (page.reached is None or page.reached >= window.since)
