"""Check and measure everything on a GPU in ten minutes, and write docs/gpu.md.

    python scripts/gpu_report.py --dataroot ./datasets/horse2zebra
    python scripts/gpu_report.py --minutes 30 --reference ../contrastive-unpaired-translation
    python scripts/gpu_report.py --rehearsal

Runs the tests marked cuda; a step of each model beside float64 in each number format; memory beside the
computed table; steps, epochs and translations; a training that is killed and resumed; and says which of the
choices of `auto` the GPU's numbers contradict. A part that fails, or whose time is over, is a line on the
page. The page is written anew after each part, so that an interruption leaves what was found before it.
Without a GPU it is a rehearsal: the same code at small sizes on the CPU, in about a minute.
"""

import argparse
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from options.train_options import TrainOptions  # noqa: E402
from scripts.gpu import checks, timings, training  # noqa: E402
from scripts.gpu.made_images import make_images  # noqa: E402
from scripts.gpu.page import choices_of, is_rehearsal, write_page  # noqa: E402
from scripts.gpu.parts import Context, Data, run_part  # noqa: E402
from scripts.gpu.plan import LEFT_TO_AUTO, Plan, gpu_plan, rehearsal_plan  # noqa: E402
from util.atomic import write_text  # noqa: E402
from util.console import say  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402

PARTS: dict[str, Callable[[Context, Data], None]] = {
    "tests": checks.run_tests, "agreement": checks.compare_steps, "memory": checks.count_memory,
    "speed": timings.time_all, "training": training.train}
PAGE = ROOT / "docs" / "gpu.md"
HORSES = ROOT / "datasets" / "horse2zebra"
DOMAINS = ("trainA", "trainB", "testA", "testB")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataroot", type=Path, help="folder with trainA, trainB, testA and testB (default: "
                                      "datasets/horse2zebra where it is, else images that are made)")
    add("--minutes", type=float, default=10, help="for everything together (default: 10)")
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="parts to run (default: all)")
    add("--reference", help="a checkout of the published code to time beside this one")
    add("--output", type=Path, help="page to write, its images beside it (default: docs/gpu.md; of a "
                                    "rehearsal, gpu.md in --work)")
    add("--work", type=Path, help="folder for runs and logs (default: a temporary one)")
    add("--rehearsal", action="store_true", help="small sizes on the CPU (default where there is no GPU)")
    args = parser.parse_args(argv)
    args.rehearsal = args.rehearsal or not torch.cuda.is_available()
    return args


def check(args: argparse.Namespace) -> None:
    """Refuse with a UsageError what cannot be run, and a rehearsal that would replace a GPU's page."""
    if not args.minutes >= 1:
        raise UsageError(f"--minutes is {args.minutes:g}; give at least 1")
    if args.dataroot and (missing := [name for name in DOMAINS if not (args.dataroot / name).is_dir()]):
        raise UsageError(f"--dataroot {args.dataroot} holds no {missing[0]}; it needs {', '.join(DOMAINS)}")
    if args.reference and not (Path(args.reference) / "options" / "train_options.py").is_file():
        raise UsageError(f"--reference {args.reference} holds no options/train_options.py; name a checkout's "
                         "root")
    if args.reference and args.rehearsal:
        raise UsageError("--reference is timed on a GPU alone; leave it out of a rehearsal")
    if args.output and args.output.suffix != ".md":
        raise UsageError(f"--output is {args.output}; give a page's name that ends in .md")
    if args.rehearsal and args.output and args.output.exists() and not is_rehearsal(args.output):
        raise UsageError(f"--output {args.output} is no rehearsal's page, and a rehearsal may not replace "
                         "it; name another")


def main() -> None:
    args = parse()
    check(args)
    signal.signal(signal.SIGTERM, signal.default_int_handler)      # as Ctrl-C: ends what it started
    if args.rehearsal:
        os.environ.setdefault("OMP_NUM_THREADS", "1")       # tiny networks are slower on many
    work = (args.work or Path(tempfile.mkdtemp(prefix="gpu_report_"))).absolute()
    page = (args.output or (work / "gpu.md" if args.rehearsal else PAGE)).absolute()
    work.mkdir(parents=True, exist_ok=True)
    auto = TrainOptions().parse(["--dataroot", "none", "--gpu_ids", "-1" if args.rehearsal else "0",
                                 *LEFT_TO_AUTO.split()])
    plan = (rehearsal_plan(args.minutes) if args.rehearsal else
            gpu_plan(args.minutes, auto, precisions_of_gpu(), bool(args.reference)))
    record: dict[str, Any] = {
        "command": " ".join(["python scripts/gpu_report.py", *map(shlex.quote, sys.argv[1:])]),
        "date": time.strftime("%Y-%m-%d"), "facts": facts(args.rehearsal), "parts": {}}
    began = time.monotonic()
    try:
        run_parts(args, plan, work, record, began, lambda: keep(page, work, record, plan, auto))
    finally:
        keep(page, work, record, plan, auto)
        say(closing(args, page, work, record, plan, auto))


def run_parts(args: argparse.Namespace, plan: Plan, work: Path, record: dict[str, Any], began: float,
              keep: Callable[[], None]) -> None:
    dataroot, images_of = data_set(args, plan, work)
    for name in args.parts:
        end = began + 60 * plan.minutes * plan.until[name]
        context = Context(plan, work / name, dataroot, args.reference, end)
        data = record["parts"][name] = {"images_of": images_of} if name == "training" else {}
        run_part(name, PARTS[name], context, data)
        keep()


def data_set(args: argparse.Namespace, plan: Plan, work: Path) -> tuple[Path, str]:
    """The images to train on, and what they are, in a sentence."""
    dataroot = args.dataroot or (HORSES if HORSES.is_dir() and not args.rehearsal else None)
    if dataroot:
        return dataroot.absolute(), f"On the images of {dataroot.name}."
    count, size = plan.made
    return (make_images(work / "made_images", count=count, size=size),
            f"On {count} made images of {size} pixels a domain: brown shapes to striped ones.")


def precisions_of_gpu() -> tuple[str, ...]:
    """The values of --precision that the GPU computes in hardware."""
    ampere = torch.cuda.get_device_capability() >= (8, 0)
    return ("fp32", "tf32", "bf16", "fp16") if ampere else ("fp32", "fp16")


def facts(rehearsal: bool) -> dict[str, Any]:
    """The device and the versions, in words."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in (info.read_text().splitlines() if info.exists() else [])
             if line.startswith("model name")]
    found: dict[str, Any] = {"device": "CPU"}
    if not rehearsal:
        card = torch.cuda.get_device_properties(0)
        found = {"device": card.name, "its memory": f"{card.total_memory / 2**30:.1f} GiB",
                 "compute capability": f"{card.major}.{card.minor}",
                 "multiprocessors": card.multi_processor_count,
                 "driver, power limit": output("nvidia-smi", "--query-gpu=driver_version,power.limit",
                                               "--format=csv,noheader"),
                 "CUDA or ROCm": torch.version.cuda or torch.version.hip,
                 "cuDNN": torch.backends.cudnn.version()}
    return found | {"PyTorch": torch.__version__, "Python": platform.python_version(),
                    "processor": f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores",
                    "system": f"{platform.system()} {platform.release()}",
                    "commit": output("git", "-C", str(ROOT), "describe", "--always", "--dirty")}


def output(*command: str) -> str:
    """The first line that a program prints, or a word where it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.splitlines()[0].strip() if done.stdout.strip() and not done.returncode else "unknown"


def keep(page: Path, work: Path, record: dict[str, Any], plan: Plan, auto: argparse.Namespace) -> None:
    """Write what is known so far: the record as JSON, and the page."""
    write_text(work / "record.json", json.dumps(record, indent=1, default=str) + "\n")
    write_page(page, record, plan, auto)


def closing(args: argparse.Namespace, page: Path, work: Path, record: dict[str, Any], plan: Plan,
            auto: argparse.Namespace) -> str:
    """What to read and what to commit."""
    parts = record["parts"]
    broken = [f"  {name}: {data['problem']}" for name, data in parts.items() if "problem" in data]
    against = [f"  {one.flag} {one.chosen}: {one.why}" for one in choices_of(record, plan, auto)
               if one.verdict == "contradicted"]
    lines = [f"\nread {page}", f"every number and log: {work}"]
    lines += ["parts that are not whole:", *broken] if broken else []
    if args.rehearsal:
        return "\n".join([*lines, "a rehearsal: nothing to commit"])
    lines += ["contradicted choices of auto, to change in options/devices.py:", *against] if against else []
    images = " ".join(str(path) for path in sorted(page.parent.glob(f"{page.stem}_*.*")))
    lines.append(f"commit: git add {page} {images}")
    if args.dataroot or HORSES.is_dir():
        lines.append(f"  {page.stem}_sheet.png shows images of the data set: commit it where their licence "
                     "allows that")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
