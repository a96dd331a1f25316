"""Messages on their way to a receiver that may be slow, hang or die."""

import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
END: Any = object()
QUEUED = 32     # messages that may wait; of more, those that may be lost are


class Outbox(Generic[T]):
    """A thread of its own delivers the messages in order; `put` returns at once, whatever the receiver does.

    deliver: called on the thread; an error of its ends the thread. The program does not wait for the thread.
    """

    def __init__(self, name: str, deliver: Callable[[T], None]):
        self._deliver = deliver
        self._over = False
        self._messages: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, message: T, may_be_lost: bool = False) -> None:
        """may_be_lost: where QUEUED others wait."""
        if self._thread.is_alive() and not (may_be_lost and self._messages.qsize() >= QUEUED):
            self._messages.put(message)

    def close(self, seconds: float) -> bool:
        """Whether the thread ended, all delivered or an error met, within so many seconds.

        If not, it delivers no more after the message under way: a program that ends while it computes may be
        aborted. Call again to wait for that message.
        """
        self._messages.put(END)
        self._thread.join(seconds)
        self._over = True
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (message := self._messages.get()) is not END and not self._over:
            self._deliver(message)
