"""How a step's time should grow with the ranks that share a training: a small model, written down as tables.

    python scripts/reports/scale_model.py                       # tables for docs/scale.md
    python scripts/reports/scale_model.py --svg docs/scale.svg  # and its figure
    python scripts/reports/scale_model.py --seconds 0.1 --flags='--CUT_mode FastCUT'

A step of n ranks is the step of one, --seconds, and then two reductions in a ring: the gradients of D, and
those of G and F, in float32. Nothing is measured here, and nothing overlaps. Rates and latencies of links are
published ones: see LINKS.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from scripts.benchmarks.memory import build  # noqa: E402
from scripts.reports.compare_curves import COLOURS, ROW, entry  # noqa: E402
from util.atomic import atomic_file  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402
from util.loggers.curve import HEIGHT, LEFT, STYLE, WIDTH, Frame, title_of  # noqa: E402

BYTES = 4               # of a gradient
PAPER_SECONDS = 0.24    # a step of CUT at 256 pixels and batch 1 on one GPU: Park et al. 2020, table 1
# To begin any ring, whatever the link: NCCL's model of itself, src/graph/tuning.cc (baseLat, Ring, Simple).
START_SECONDS = 8.4e-6
EFFICIENCY = 0.7        # share of a link's rate that a reduction reaches: an assumption
PAYS = 0.9              # share of the ideal speed from which ranks are said to pay here
RANKS = (2, 4, 8, 16, 64)


class Link(NamedTuple):
    """What joins neighbours in the ring: bytes per second in one direction, seconds a message waits."""

    rate: float
    latency: float


# Rates: NVIDIA's data sheets of H100 and A100 (NVLink 900 and 600 GB/s, both directions together); PCI-SIG:
# 32 and 16 GT/s a lane, 16 lanes, 128 of 130 bits; Ethernet by its name. Latencies: NCCL, src/graph/tuning.cc
# (hwLat, Ring, Simple), for NVLink, PCI and a network.
LINKS = {
    "NVLink 4 (H100)": Link(450e9, 3.4e-6),
    "NVLink 3 (A100)": Link(300e9, 3.4e-6),
    "PCIe 5.0 x16": Link(32e9 * 16 / 8 * 128 / 130, 5.7e-6),
    "PCIe 4.0 x16": Link(16e9 * 16 / 8 * 128 / 130, 5.7e-6),
    "100 Gb/s Ethernet": Link(100e9 / 8, 14e-6),
    "10 Gb/s Ethernet": Link(10e9 / 8, 14e-6),
}


def count_parameters(flags: str) -> dict[str, int]:
    """Parameters of a model's networks, by name. flags: of train.py."""
    with tempfile.TemporaryDirectory() as folder:
        networks = build(flags, 256, folder, identity_first=False).networks
    return {name: sum(p.numel() for p in net.parameters()) for name, net in networks.items()}


def reductions(parameters: Mapping[str, int]) -> list[int]:
    """Bytes of the gradients that are reduced together: the discriminators', and all others'."""
    judging = sum(count for name, count in parameters.items() if name.startswith("D"))
    return [BYTES * judging, BYTES * (sum(parameters.values()) - judging)]


def sent_bytes(size: float, ranks: int) -> float:
    """What each rank sends to reduce `size` bytes in a ring: 2 (n - 1) / n of it. Patarasuk, Yuan 2009."""
    return 2 * (ranks - 1) / ranks * size


def ring_seconds(size: float, ranks: int, link: Link, efficiency: float = EFFICIENCY) -> float:
    """Seconds to reduce `size` bytes: 2 (n - 1) messages one behind the other, and what they carry."""
    if ranks == 1:
        return 0.0
    return (START_SECONDS + 2 * (ranks - 1) * link.latency
            + sent_bytes(size, ranks) / (efficiency * link.rate))


def step_seconds(alone: float, sizes: Sequence[float], ranks: int, link: Link,
                 efficiency: float = EFFICIENCY) -> float:
    """A step of `ranks` ranks, each with as many images as one rank has in `alone` seconds."""
    return alone + sum(ring_seconds(size, ranks, link, efficiency) for size in sizes)


def share_of_ideal(alone: float, sizes: Sequence[float], ranks: int, link: Link,
                   efficiency: float = EFFICIENCY) -> float:
    """Images per second of n ranks, divided by n times those of one."""
    return alone / step_seconds(alone, sizes, ranks, link, efficiency)


def images_that_pay(alone: float, sizes: Sequence[float], ranks: int, link: Link,
                    efficiency: float = EFFICIENCY) -> int:
    """The fewest images of a rank between two reductions with which it reaches PAYS of the ideal speed.

    In one micro-batch or, with --accumulate, in several; alone: seconds for one image.
    """
    waiting = step_seconds(0.0, sizes, ranks, link, efficiency)
    return max(1, math.ceil(waiting * PAYS / (1 - PAYS) / alone))


# ---- tables and figure

def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; all columns but the first are flushed right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bytes_table(parameters: Mapping[str, int]) -> str:
    rows = [[name, f"{count:,}", f"{BYTES * count / 1e6:.1f} MB"] for name, count in parameters.items()]
    total = sum(parameters.values())
    return table(["network", "parameters", "gradients"],
                 [*rows, ["all", f"{total:,}", f"{BYTES * total / 1e6:.1f} MB"]])


def time_table(sizes: Sequence[float], efficiency: float) -> str:
    """Milliseconds that a step's reductions take."""
    rows = [[name, *(f"{1e3 * step_seconds(0, sizes, ranks, link, efficiency):.2f}" for ranks in RANKS)]
            for name, link in LINKS.items()]
    return table(["link", *(f"{ranks} ranks" for ranks in RANKS)], rows)


def gain_table(alone: float, sizes: Sequence[float], efficiency: float) -> str:
    """Images per second beside those of one GPU."""
    rows = [[name, *(f"{n * share_of_ideal(alone, sizes, n, link, efficiency):.1f}" for n in RANKS)]
            for name, link in LINKS.items()]
    return table([f"{1e3 * alone:g} ms a step", *(f"{ranks} ranks" for ranks in RANKS)], rows)


def pays_table(alone: float, sizes: Sequence[float], efficiency: float) -> str:
    """Images a rank needs to reach nine tenths of the ideal speed."""
    rows = [[name, *(str(images_that_pay(alone, sizes, ranks, link, efficiency)) for ranks in RANKS)]
            for name, link in LINKS.items()]
    return table([f"{1e3 * alone:g} ms an image", *(f"{ranks} ranks" for ranks in RANKS)], rows)


def panel(title: str, alone: float, sizes: Sequence[float], efficiency: float) -> str:
    frame = Frame(RANKS[-1], (0, 1))
    parts = [title_of(title), frame.axes("ranks")]
    for colour, link in zip(COLOURS, LINKS.values(), strict=False):
        points = frame.line((n, share_of_ideal(alone, sizes, n, link, efficiency))
                            for n in range(1, RANKS[-1] + 1))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return "".join(parts)


def draw(steps: Sequence[float], sizes: Sequence[float], efficiency: float) -> str:
    """An SVG image: for each time of a step a panel, the share of the ideal speed over the ranks."""
    titles = [f"share of n times the speed: {1e3 * alone:g} ms a step" for alone in steps]
    panels = [f'<g transform="translate({i * WIDTH},0)">{panel(title, alone, sizes, efficiency)}</g>'
              for i, (title, alone) in enumerate(zip(titles, steps, strict=True))]
    beside = 3
    legend = [entry(LEFT + i % beside * 2 * WIDTH // beside, HEIGHT + i // beside * ROW, colour, name)
              for i, (colour, name) in enumerate(zip(COLOURS, LINKS, strict=False))]
    size = f'width="{len(steps) * WIDTH}" height="{HEIGHT + -(-len(LINKS) // beside) * ROW + 8}"'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>'
            f'{"".join(panels)}{"".join(legend)}</svg>\n')


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--flags", default="", help="flags of train.py that choose the networks (default: CUT's)")
    add("--seconds", type=float, nargs="+", default=[PAPER_SECONDS, PAPER_SECONDS / 10],
        help="a step on one rank, in seconds (default: the paper's GPU, and one ten times as fast)")
    add("--efficiency", type=float, default=EFFICIENCY,
        help="share of a link's rate that a reduction reaches (default: 0.7)")
    add("--svg", type=Path, help="file for the figure")
    arguments = parser.parse_args()
    for seconds in arguments.seconds:
        if not 0 < seconds < math.inf:
            raise UsageError(f"--seconds is {seconds:g}; it must be above 0 and finite")
    if not 0 < arguments.efficiency <= 1:
        raise UsageError(f"--efficiency is {arguments.efficiency:g}; it must be above 0 and at most 1")
    if arguments.svg and arguments.svg.suffix != ".svg":
        raise UsageError(f"--svg is {arguments.svg}; its name must end in .svg")
    return arguments


def main() -> None:
    arguments = parse()
    parameters = count_parameters(arguments.flags)
    sizes = reductions(parameters)
    print(bytes_table(parameters), time_table(sizes, arguments.efficiency), sep="\n\n")
    for alone in arguments.seconds:
        print("", gain_table(alone, sizes, arguments.efficiency), "",
              pays_table(alone, sizes, arguments.efficiency), sep="\n")
    if arguments.svg:
        with atomic_file(arguments.svg) as stream:
            stream.write(draw(arguments.seconds, sizes, arguments.efficiency).encode())
        print(f"\nwritten: {arguments.svg}")


if __name__ == "__main__":
    run_command(main)
