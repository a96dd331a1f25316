"""Items made by a thread ahead of their use."""

import threading
from collections.abc import Iterable, Iterator
from queue import Full, Queue
from typing import Any, TypeVar

Item = TypeVar("Item")
END = object()


def ahead(items: Iterable[Item], number: int) -> Iterator[Item]:
    """The items, of which up to `number` wait ready, in their order; an error comes at its place."""
    queue: Queue[Any] = Queue(number)
    given_up = threading.Event()

    def put(item: Any) -> bool:
        while not given_up.is_set():
            try:
                queue.put(item, timeout=0.1)
                return True
            except Full:
                pass
        return False

    def make() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((END, None))
        except Exception as error:
            put((END, error))

    threading.Thread(target=make, name="ahead", daemon=True).start()
    try:
        while True:
            item, error = queue.get()
            if error is not None:
                raise error
            if item is END:
                return
            yield item
    finally:
        given_up.set()
