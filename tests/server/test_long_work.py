from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from bsv_store.errors import BusyError
from bsv_store.server.long_work import LongWork


def _endless(has_begun: threading.Event, clean: Callable[[], object]) -> Callable[[], None]:
    def work() -> None:
        try:
            has_begun.set()
            while True:
                time.sleep(0.001)
        finally:
            clean()

    return work


def test_operations_that_are_stopped_clean_up_while_others_end() -> None:
    work, is_cleaning, other_has_ended, cleaned = LongWork(), threading.Event(), threading.Event(), []
    begun = [threading.Event(), threading.Event()]

    def clean() -> None:
        is_cleaning.set()
        assert other_has_ended.wait(10)
        for _ in range(50):
            time.sleep(0.001)
        cleaned.append(True)

    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(work.run, _endless(begun[0], clean))
        fast = pool.submit(work.run, _endless(begun[1], lambda: is_cleaning.wait(10)))
        fast.add_done_callback(lambda _: other_has_ended.set())
        assert all(each.wait(10) for each in begun)
        work.stop()
        for each in (slow, fast):
            with pytest.raises(BusyError, match="shutting down"):
                each.result(10)
    assert cleaned
    assert work.run(lambda: 1) == 1


def test_stopping_without_operations_returns_at_once() -> None:
    began = time.monotonic()
    LongWork().stop()
    assert time.monotonic() - began < 1
