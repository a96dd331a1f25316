"""Translate a folder of images with a trained model.

    python test.py --dataroot ./datasets/horse2zebra --name h2z_CUT
    python test.py --dataroot ./photos --name h2z_CUT --preprocess none
    python test.py --dataroot ./photos --exported h2z_CUT_latest.onnx --preprocess none

The first command translates testA, and shows testB beside it if there is one. The second translates any
folder, at its images' own sizes; the third does so with a file of scripts/export.py. Images and a page go to
<results_dir>/<name>/<phase>_<epoch>, or with --use_ema to <phase>_<epoch>_ema.
"""

import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from data import create_loader
from data.loader import Loader
from data.readers.written import Written
from models import create_model
from models.base_model import Batch
from options.describe import describe, save_options
from options.test_options import TestOptions
from util.console import say
from util.errors import run_command
from util.loggers.results import Results
from util.runtime.seed import seed_everything


def main() -> None:
    opt = TestOptions().parse()
    seed_everything(opt.seed)
    loader = create_loader(opt)
    written = Written(opt, loader.dataset.domains)
    model = create_model(opt)
    folder = Path(opt.checkpoints_dir) / opt.name
    model.load_weights(folder, opt.epoch)
    model.train(not opt.eval)
    print(describe(opt), model.describe(opt.verbose), sep="\n", flush=True)
    if opt.exported is None:
        save_options(opt, folder)

    averaged = ("_ema", ", averages", " --use_ema") if opt.use_ema else ("", "", "")
    results = Results(Path(opt.results_dir) / opt.name / f"{opt.phase}_{opt.epoch}{averaged[0]}",
                      f"{opt.name}, {opt.phase} set, {opt.epoch}{averaged[1]}",
                      f"translated by {opt.exported or folder}, --epoch {opt.epoch}{averaged[2]}",
                      image_height=opt.display_winsize)
    total = len(loader.dataset)
    with tqdm(total=min(total, opt.num_test), unit=" images", disable=None) as bar:
        for batch in first(loader, opt):
            names = [loader.dataset.relative_name(model.input_key, path)
                     for path in batch[f"{model.input_key}_paths"]]
            results.add(names, model.test_step(batch), written.exact(batch, model.input_key))
            bar.update(len(names))
    page = results.save()
    written.close()
    for line in written.missing:
        say(line, sys.stderr)
    unread = f", {len(loader.bad)} could not be read" if loader.bad else ""
    print(f"translated {len(results)} of {total} images{unread}; {page}")


def first(loader: Loader, opt: Namespace) -> Iterator[Batch]:
    """The loader's minibatches until --num_test images have come."""
    left = opt.num_test
    for batch in loader:
        size = len(next(iter(batch.values())))
        yield batch if size <= left else {key: values[:int(left)] for key, values in batch.items()}
        left -= size
        if left <= 0:
            return


if __name__ == "__main__":
    run_command(main)
