"""The ways in which a command can end badly, and the one place that turns them into an exit code."""

import os
import sys
import traceback
from collections.abc import Callable


class UsageError(Exception):
    """A flag, folder or file given cannot work. One line: what, its value, the remedy. Exit code 2."""


class RunError(Exception):
    """Something failed while running, through no fault of the command line. One line. Exit code 1."""


class DataError(RunError):
    """The images can be read no longer; the model is as the last step left it, and worth saving."""


def run_command(main: Callable[[], None]) -> None:
    """Run a program's main; exit with 0, 2 (UsageError) or 1 (RunError), the message on one line of stderr.

    A file that the system refuses (OSError) counts as RunError. Ctrl-C ends with 130 and no message.
    CUT_TRACEBACK=1 in the environment shows where a message came from. Any other exception is a fault of the
    program and keeps its traceback.
    """
    try:
        main()
    except (UsageError, RunError, OSError) as error:
        if os.environ.get("CUT_TRACEBACK"):
            traceback.print_exc()
        message = " ".join(str(error).split())
        print(f"{os.path.basename(sys.argv[0])}: error: {message}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
