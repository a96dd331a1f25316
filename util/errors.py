"""Errors that end a command with one clear line, and the exit code of each."""

import gc
import os
import sys
import traceback
from collections.abc import Callable


class UsageError(Exception):
    """A flag, folder or file that was given cannot work. One line: name, value, remedy. Exit code 2."""


class RunError(Exception):
    """Something failed while running that the command line did not cause. One line. Exit code 1."""


class DataError(RunError):
    """The images can no longer be read. The model is as the last step left it and can be saved."""


def run_command(main: Callable[[], None]) -> None:
    """Run a program's main; exit with 0, 2 (UsageError) or 1 (RunError), the message on one line of stderr.

    A file that the system refuses (OSError) counts as RunError. Ctrl-C ends with 130 and no message.
    CUT_TRACEBACK=1 in the environment adds the traceback. Any other exception is a bug of the program and
    keeps its traceback.
    """
    try:
        main()
        return
    except (UsageError, RunError, OSError) as error:
        if os.environ.get("CUT_TRACEBACK"):
            traceback.print_exc()
        message = " ".join(str(error).split())
        print(f"{os.path.basename(sys.argv[0])}: error: {message}", file=sys.stderr)
        code = 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        code = 130
    gc.collect()    # the error's frames hold workers, which end with their owner, and Python waits for them
    sys.exit(code)
