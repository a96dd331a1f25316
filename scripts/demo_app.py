"""A page to try a run: choose an image, see it before and after under a slider, download the translation.

    python scripts/demo_app.py checkpoints/h2z_CUT
    python scripts/demo_app.py checkpoints/h2z_CUT --port 8080 --max_megapixels 50

Then open the address that it prints. The page offers this run and those beside it, their epochs, averages and
number formats. It is for this machine alone; images stay on it and are not kept. Ctrl-C ends it.
"""

import argparse
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from scripts.demo.runs import Runs  # noqa: E402
from scripts.demo.server import DemoServer  # noqa: E402
from scripts.demo.uploads import Limits  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402


def parse(argv: Sequence[str] | None = None) -> Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("run", type=Path, help="a run's folder, or a folder of runs")
    add("--port", type=int, default=8000, help="of the page's address; 0: any that is free (default: 8000)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default: auto, the first GPU or the CPU)")
    add("--max_megabytes", type=float, default=30, help="largest file that is taken (default: 30)")
    add("--max_megapixels", type=float, default=25,
        help="largest image that is taken; memory grows with it (default: 25)")
    add("--allow_others", action="store_true",
        help="also answer other machines, without a password: for a network that you trust")
    args = parser.parse_args(argv)
    for flag in ("max_megabytes", "max_megapixels"):
        if not 0 < vars(args)[flag] < 1e6:
            raise UsageError(f"--{flag} is {vars(args)[flag]}; give a number above 0")
    if not 0 <= args.port < 2**16:
        raise UsageError(f"--port is {args.port}; give a number from 0 to 65535")
    return args


def create_server(args: Namespace) -> DemoServer:
    """The server, which is yet to serve. Raises UsageError, also where the first run cannot be loaded."""
    runs = Runs(args.run, args.device)
    runs.translator(runs.first_choice())
    limits = Limits(int(args.max_megabytes * 1e6), int(args.max_megapixels * 1e6))
    try:
        return DemoServer(args.port, runs, limits, allow_others=args.allow_others)
    except OSError as error:
        raise UsageError(f"--port {args.port} cannot be had ({error.strerror}); choose another, or 0 for any "
                         "that is free") from error


def main() -> None:
    with create_server(parse()) as server:
        print(f"the page is open at {server.address} (Ctrl-C ends it)", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    run_command(main)
