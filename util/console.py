"""Print lines on the terminal without ever ending a run."""

import errno
import os
import sys
from typing import TextIO

from tqdm import tqdm


def say(line: str, stream: TextIO | None = None) -> None:
    """Print a line (on stdout, or on `stream`) without disturbing a progress bar.

    A reader that is gone (a closed terminal, a pipe whose end was killed) and a full disk behind the stream
    are ignored: a run is worth more than its messages.
    """
    stream = stream or sys.stdout
    try:
        tqdm.write(line, file=stream)
        stream.flush()
    except OSError as error:
        if error.errno in (errno.EPIPE, errno.EIO):     # gone for good: what is buffered would fail again
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
