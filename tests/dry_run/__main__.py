"""The table of docs/dry_run.md, or all checks of the dry run at once.

    python -m tests.dry_run              prints the table: operations, bytes and convolutions of a step
    python -m tests.dry_run --check      every model in every precision, with both --on_nan: ten minutes
"""

import argparse
import contextlib
import io
import sys
from collections.abc import Iterator
from itertools import product

import torch

from tests.dry_run.cases import CASES, ON_NAN, PRECISIONS, TABLE
from tests.dry_run.pretend import NEEDS, possible
from tests.dry_run.record import Record
from tests.dry_run.training import check_life, training

HEADER = """| step | precision | operations | GB | GFLOP of convolutions | of these in 16 bits |
|---|---|---|---|---|---|"""


def rows() -> Iterator[str]:
    for (name, (flags, kinds)), precision in product(TABLE.items(), PRECISIONS):
        with training(f"{flags} --precision {precision}") as run:
            run.step()
            for kind in kinds:
                yield row(f"{name}, {kind}" if kind else name, precision, run.step())


def row(name: str, precision: str, record: Record) -> str:
    return (f"| {name} | {precision} | {record.launches:,} | {record.bytes / 1e9:.1f} | "
            f"{sum(record.flop.values()) / 1e9:,.0f} | {record.sixteen_bits():.0%} |")


def check_all() -> int:
    """Returns how many cases fail."""
    wrong = 0
    for name, precision, on_nan in product(CASES, PRECISIONS, ON_NAN):
        try:
            # What a library says on its way to an exception is said again below.
            with contextlib.redirect_stderr(io.StringIO()), \
                    training(CASES[name].small(precision, on_nan)) as run:
                check_life(CASES[name], run)
        except Exception as error:
            found = f"{type(error).__name__}: {(str(error).strip() or 'without words').splitlines()[0]}"
            verdict = f"FAILS, {found}"
            wrong += 1
        else:
            verdict = "works"
        print(f"{name}, {precision}, --on_nan {on_nan}: {verdict}", flush=True)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="check all cases; no table")
    args = parser.parse_args()
    if not possible():
        print(f"the dry run {NEEDS}, and torch {torch.__version__} is none", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    if args.check:
        return 1 if check_all() else 0
    print(HEADER)
    for line in rows():
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
