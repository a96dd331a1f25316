"""Translate a video with a trained model, frame by frame; its sound and its frames' times stay as they are.

    python scripts/translate_video.py h2z_CUT ride.mp4
    python scripts/translate_video.py checkpoints/h2z_CUT ride.mp4 --output zebras.mp4 --epoch 200

The first word is a run's folder, or its name in --checkpoints_dir; --help lists the flags, which are those of
test.py and a few more. Encoded pieces are kept in <output>.parts until the video is whole: after a kill the
same command goes on. Needs PyAV: pip install -r requirements-video.txt. See docs/translate.md.
"""

import importlib.util
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from data.image_folder import as_channels  # noqa: E402
from data.transforms import to_tensor  # noqa: E402
from models import create_model  # noqa: E402
from models.base_model import BaseModel  # noqa: E402
from options.parser import OptionParser  # noqa: E402
from options.test_options import TestOptions  # noqa: E402
from util.checkpoints.translation_record import made_by, stamp_of  # noqa: E402
from util.console import progress  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402
from util.flags import integer  # noqa: E402
from util.images import Pixels, to_pixels  # noqa: E402
from util.runtime.seed import seed_everything  # noqa: E402

if TYPE_CHECKING:
    from scripts.video.source import Frame, Source

USAGE = "translate_video.py RUN VIDEO [flags]: a run's folder or name, and a file (--help lists the flags)"
AHEAD = 8       # frames decoded ahead of their translation


class VideoOptions(TestOptions):
    """translate_video.py RUN VIDEO [flags]: translate a video with a trained model."""

    def add_flags(self, parser: OptionParser) -> None:
        super().add_flags(parser)
        parser.section("video")
        add = parser.add_argument
        add("--output", default=None, help="file to write, .mp4, .mov, .mkv or .webm; default: "
                                           "<results_dir>/<name>/<video>_<epoch> with the video's own ending")
        add("--crf", type=integer(at_least=0, below=52), default=18,
            help="how much the encoder may lose: 0 nothing, 18 nothing that is seen, 28 much")
        add("--segment_frames", type=integer(at_least=1), default=50,
            help="frames in a piece: what a kill loses at most")
        parser.set_defaults(preprocess="none")


def main() -> None:
    if {"-h", "--help"} & set(sys.argv[1:]):
        VideoOptions().parse(["--help"])
    if importlib.util.find_spec("av") is None:
        raise UsageError("translating videos needs the package av: pip install -r requirements-video.txt")
    from scripts.video.ahead import ahead  # only here: these need PyAV
    from scripts.video.segments import Segments, check_sound
    from scripts.video.source import Source

    opt, path = read_command(sys.argv[1:])
    source, output = Source(path), output_path(opt, path)
    check_sound(output, source)
    seed_everything(opt.seed)
    model = create_model(opt)
    run = Path(opt.checkpoints_dir) / opt.name
    model.load_weights(run, opt.epoch)
    model.train(not opt.eval)

    segments = Segments(output.with_name(f"{output.name}.parts"), source.look, output.suffix.lower(), opt.crf)
    pieces = segments.begin(made_with(opt, model, source))
    done = min(pieces * opt.segment_frames, source.frames)
    print(describe(source, run, opt, done), flush=True)
    frames = islice(ahead(source, AHEAD), pieces * opt.segment_frames, None)
    with progress(source.frames - done, "frames") as bar:
        translated = translations(frames, model, path)
        for first in translated:
            piece = chain([first], islice(translated, opt.segment_frames - 1))
            segments.add(pieces, counted(piece, bar))
            pieces += 1
    segments.join(output, source)
    print(f"wrote {output}")


def read_command(words: Sequence[str]) -> tuple[Namespace, Path]:
    """The options, and the video's path. Raises UsageError."""
    if len(words) < 2 or words[0].startswith("-") or words[1].startswith("-"):
        raise UsageError(f"the command is {USAGE}")
    run = Path(words[0])
    place = ["--name", run.name, "--checkpoints_dir", str(run.parent)] if run.is_dir() else [
        "--name", words[0]]
    opt = VideoOptions().parse([*place, *words[2:]])
    if opt.preprocess != "none":
        raise UsageError(f"--preprocess is {opt.preprocess}, but videos keep their size: leave it out")
    if opt.value_range:
        raise UsageError(f"--value_range is {opt.value_range}, but videos have 8 bits a channel: use a run "
                         "without it")
    return opt, Path(words[1])


def output_path(opt: Namespace, video: Path) -> Path:
    from scripts.video.segments import CONTAINERS
    ending = video.suffix if video.suffix.lower() in CONTAINERS else ".mp4"
    ema = "_ema" if opt.use_ema else ""
    output = Path(opt.output or Path(opt.results_dir) / opt.name / f"{video.stem}_{opt.epoch}{ema}{ending}")
    if output.suffix.lower() not in CONTAINERS:
        raise UsageError(f"--output is {str(output)!r}; its name must end in {', '.join(CONTAINERS)}")
    if output.exists() and video.exists() and output.samefile(video):
        raise UsageError(f"--output is the video itself, {str(output)!r}; give another name")
    return output


def made_with(opt: Namespace, model: BaseModel, source: "Source") -> dict[str, Any]:
    """All that decides what the pieces hold."""
    options = {name: value for name, value in vars(opt).items() if name in opt.parsed.asked}
    options |= {"device": opt.device.type, "output": ""}
    return made_by(model.networks, options) | {"source": stamp_of(str(source.path))}


def describe(source: "Source", run: Path, opt: Namespace, done: int) -> str:
    width, height = source.look.size
    kept = f", {done} of them done" if done else ""
    about = "" if source.counted else "about "
    return (f"{source.path}: {about}{source.frames or 'some'} frames of {width}x{height}{kept}, "
            f"{float(source.look.rate):.5g} a second, sound: {', '.join(source.sounds) or 'none'}; "
            f"translated by {run}, --epoch {opt.epoch}")


def translations(frames: Iterator["Frame"], model: BaseModel, path: Path) -> Iterator[tuple[Pixels, int]]:
    """The frames translated, --batch_size at a time, with their times; all in one style, if any."""
    while batch := list(islice(frames, model.opt.batch_size)):
        images = [to_tensor(as_channels(frame.image, model.opt.input_nc, str(path))) for frame in batch]
        made = model.test_step({model.input_key: torch.stack(images),
                                f"{model.input_key}_paths": [str(path)] * len(batch)})["fake_B"]
        yield from zip(map(to_pixels, made), [frame.time for frame in batch], strict=True)


def counted(items: Iterator[Any], bar: Any) -> Iterator[Any]:
    for item in items:
        yield item
        bar.update(1)


if __name__ == "__main__":
    run_command(main)
