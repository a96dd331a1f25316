"""A connection of rank 0 with every other rank, by which each learns at once how another one ends.

A collective operation with a rank that has ended waits, on some devices until its timeout. These connections
break when a process ends, however that happens, and carry its last words before.
"""

import json
import os
import socket
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from util.console import say
from util.distributed.place import Place

GRACE_SECONDS = 10.0    # for the main thread to end by itself once another rank has ended
HOST = "host"           # what a rank says of itself first, beside its number and the token


class End(NamedTuple):
    """How a rank ended. line: why, for the user; "" where rank 0 says it. code: the exit code of all."""

    rank: int
    code: int
    line: str


class Lifeline:
    """The connections of this rank: on rank 0 with all others, on another one with rank 0.

    here: what each rank told rank 0 of itself at the start. go: whether rank 0 has let all begin.
    end: how the first rank ended that did so with an error; None as long as none did.
    """

    def __init__(self, place: Place):
        self.place = place
        self.here: dict[int, Mapping[str, Any]] = {}
        self.go = False
        self.end: End | None = None
        self.remedy: Callable[[], str] = str    # what follows the line about a rank that is gone
        self._leaving = False
        self._links: dict[int, socket.socket] = {}
        self._names: dict[int, str] = {}
        self._changed = threading.Condition()
        os.register_at_fork(after_in_child=self._forget)    # else a data worker would hold them open

    # ---- connecting

    def listen(self) -> str:
        """On rank 0: take the others' connections. Returns what `connect` needs."""
        token = uuid.uuid4().hex
        everywhere = self.place.address not in ("127.0.0.1", "localhost")
        both = everywhere and socket.has_dualstack_ipv6()
        listener = socket.create_server(("" if everywhere else "127.0.0.1", 0), dualstack_ipv6=both,
                                        family=socket.AF_INET6 if both else socket.AF_INET,
                                        backlog=self.place.world_size)
        self._links[0] = listener
        self._thread(self._accept, listener, token)
        return f"{listener.getsockname()[1]} {token}"

    def connect(self, contact: str, timeout: float) -> None:
        """On another rank: connect to rank 0. timeout: seconds. Raises OSError."""
        port, token = contact.split()
        link = socket.create_connection((self.place.address, int(port)), timeout)
        self._keep(0, link)
        self._tell(0, {"token": token, "rank": self.place.rank, HOST: _name()})
        self._thread(self._follow, 0, link)

    def _accept(self, listener: socket.socket, token: str) -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:             # closed
                return
            self._thread(self._greet, link, token)

    def _greet(self, link: socket.socket, token: str) -> None:
        """Take the first message of a connection, by which it shows to be of a rank."""
        lines = link.makefile("r", encoding="utf-8")
        try:
            hello = json.loads(lines.readline())
            known = hello["token"] == token
        except (OSError, ValueError, KeyError, TypeError):
            known = False
        if not known:
            link.close()
            return
        rank = int(hello["rank"])
        with self._changed:
            taken = rank in self._names
            self._names.setdefault(rank, str(hello[HOST]))
        if taken:
            self._refuse(rank, link, lines)
            return
        self._keep(rank, link)
        self._follow(rank, link, lines)

    def _refuse(self, rank: int, link: socket.socket, lines: Any) -> None:
        """Send away a process that says to be a rank that is here: one of a second training at this port."""
        line = (f"the training that meets at {self.place.address}:{self.place.port} has a rank {rank} "
                "already: give each training a MASTER_PORT of its own")
        with suppress(OSError), link:
            link.sendall((json.dumps({"end": End(0, 1, line)}) + "\n").encode())
            deque(lines, maxlen=0)      # until it ends: closed with words unread, the answer could be lost

    def _keep(self, rank: int, link: socket.socket) -> None:
        """Hold a connection, and let the system notice a machine that is gone, within half a minute."""
        link.settimeout(None)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, option):
                link.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        self._links[rank] = link

    # ---- messages

    def _follow(self, rank: int, link: socket.socket, lines: Any = None) -> None:
        """Take a rank's messages until it says goodbye or its connection breaks."""
        goodbye = False
        try:
            for line in lines or link.makefile("r", encoding="utf-8"):
                message = json.loads(line)
                goodbye = goodbye or "bye" in message
                self._take(rank, message)
        except (OSError, ValueError):
            pass
        if not goodbye:
            self.record(End(rank, 1, f"{self.name(rank)} ended without a word, as by kill -9 or for lack of "
                                     f"memory{self.remedy()}"))

    def _take(self, rank: int, message: Mapping[str, Any]) -> None:
        if "end" in message:
            self.record(End(*message["end"]))
        with self._changed:
            self.go = self.go or "go" in message
            if "here" in message:
                self.here[rank] = message["here"]
            self._changed.notify_all()

    def _tell(self, rank: int, message: Mapping[str, Any]) -> bool:
        """Send a message. Returns whether the connection took it."""
        try:
            self._links[rank].sendall((json.dumps(message) + "\n").encode())
        except (OSError, KeyError):
            return False
        return True

    def tell_all(self, message: Mapping[str, Any], but: int = 0) -> None:
        """On rank 0: send a message to every other rank, but for one."""
        for rank in list(self._links):
            if rank not in (0, but):
                self._tell(rank, message)

    def check_in(self, facts: Mapping[str, Any]) -> None:
        """Tell rank 0 about this rank."""
        if self.place.rank:
            self._tell(0, {"here": facts})
        else:
            self.here[0] = facts

    # ---- the end

    def record(self, end: End) -> None:
        """Keep how a rank ended, the first one, pass it on, and give the main thread time to end as well."""
        with self._changed:
            if self.end or self._leaving:
                return
            self.end = end
            self._changed.notify_all()
        if self.place.rank == 0:
            self.tell_all({"end": end._replace(line="")}, but=end.rank)
        timer = threading.Timer(GRACE_SECONDS, self._leave_now)
        timer.daemon = True
        timer.start()

    def announce(self, code: int, line: str) -> bool:
        """Tell the others that this rank ends with an error. Returns whether rank 0 knows it."""
        self._leaving = True
        if self.place.rank:
            return self._tell(0, {"end": End(self.place.rank, code, line)})
        self.tell_all({"end": End(0, code, "")})        # rank 0 says it itself
        return True

    def leave(self) -> None:
        """Say goodbye: this rank ends as all do."""
        self._leaving = True
        for rank in list(self._links):
            if rank != self.place.rank:
                self._tell(rank, {"bye": True})

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until something holds or a rank has ended. Returns whether it holds."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not (held := condition()) and not self.end and time.monotonic() < deadline:
                self._changed.wait(deadline - time.monotonic())
        return held

    def speaks(self) -> bool:
        """Whether this is the rank that says how another one ended: rank 0, or 1 where that is gone."""
        return bool(self.end and self.end.line) and self.place.rank == (1 if self.end.rank == 0 else 0)

    def name(self, rank: int) -> str:
        """A rank, in words."""
        where = self._names.get(rank)
        return f"rank {rank} ({where})" if where else f"rank {rank}"

    def _leave_now(self) -> None:
        """End the process where its main thread waits for what cannot come."""
        if self.speaks():
            say(f"{os.path.basename(sys.argv[0])}: error: {self.end.line}", sys.stderr)
        os._exit(self.end.code)

    def _forget(self) -> None:
        for link in self._links.values():
            try:
                os.close(link.detach())
            except OSError:
                pass
        self._links = {}

    @staticmethod
    def _thread(function: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=function, args=arguments, name="lifeline", daemon=True).start()


def _name() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
