"""Translate images with a trained model.

    python test.py --dataroot ./datasets/horse2zebra --name h2z_CUT
    python test.py --dataroot ./photos --name h2z_CUT --preprocess none
    python test.py --dataroot './photos/**/*.jpg' --name h2z_CUT --preprocess none --output_only --format same
    python test.py --dataroot ./photos --exported h2z_CUT_latest.onnx --preprocess none

The first command translates testA, and shows testB beside it if there is one. The second translates any
folder, at its images' own sizes; a file, a list or a pattern may stand for it, as in the third. The last one
does so with a file of scripts/export.py. Images and a page go to <results_dir>/<name>/<phase>_<epoch>, or
with --use_ema to <phase>_<epoch>_ema. See docs/translate.md.
"""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from data import create_loader
from data.result_files import Output, ResultNames, own_items
from models import create_model
from models.base_model import BaseModel
from options.describe import describe, save_options
from options.test_options import TestOptions
from util.checkpoints.translation_record import made_by
from util.console import progress, say
from util.distributed import ranks
from util.distributed.launch import launch
from util.distributed.together import together
from util.errors import UsageError, run_command
from util.loggers.results import Results
from util.runtime.seed import seed_everything


def main() -> None:
    with together() as others:          # None for a process that works alone
        opt = TestOptions().parse()
        if opt.world_size > 1 and not others:
            sys.exit(launch(opt.world_size))
        if others:
            others.join(opt)
        translate(opt)


def translate(opt: Namespace) -> None:
    """Translate the images; of several ranks each takes a part, and rank 0 keeps the record and the page."""
    seed_everything(opt.seed)
    loader = create_loader(opt)
    output = Output(opt, loader.dataset.domains)
    model = create_model(opt)
    run = Path(opt.checkpoints_dir) / opt.name
    model.load_weights(run, opt.epoch)
    model.train(not opt.eval)
    print(describe(opt), model.describe(opt.verbose), sep="\n", flush=True)
    if opt.exported is None and ranks.is_main():
        save_options(opt, run)
    total = len(loader.dataset)
    names, results = ResultNames(loader.dataset, output), open_results(opt, run)
    chosen = range(int(min(total, opt.num_test)))
    items = ranks.from_main(missing(opt, model, names, results, chosen) if ranks.is_main() else [])
    own = own_items(items, names.sources)
    loader.choose(own)
    with progress(len(own), "images") as bar:
        for batch in loader:
            paths = batch[f"{model.input_key}_paths"]
            results.add(names.of(batch["index"], paths), model.test_step(batch),
                        output.writers(batch, model.input_key), paths)
            bar.update(len(paths))
    results.finish()
    for line in output.close():
        say(line, sys.stderr)
    written, bad = ranks.total(len(results)), ranks.total(len(loader.bad))      # waits for all
    if ranks.is_main():
        page = results.save(names.known)
        done = f", {len(chosen) - len(items)} were done" if opt.skip_existing else ""
        unread = f", {bad} could not be read" if bad else ""
        print(f"translated {written} of {total} images{done}{unread}; {page}")


def open_results(opt: Namespace, run: Path) -> Results:
    averaged = ("_ema", ", averages", " --use_ema") if opt.use_ema else ("", "", "")
    return Results(Path(opt.results_dir) / opt.name / f"{opt.phase}_{opt.epoch}{averaged[0]}",
                   f"{opt.name}, {opt.phase} set, {opt.epoch}{averaged[1]}",
                   f"translated by {opt.exported or run}, --epoch {opt.epoch}{averaged[2]}",
                   image_height=opt.display_winsize, page=not opt.output_only, share=ranks.rank())


def missing(opt: Namespace, model: BaseModel, names: ResultNames, results: Results,
            items: range) -> list[int]:
    """The numbers of the items that are to be translated: with --skip_existing, those that are not done."""
    needs = "--skip_existing needs" if opt.skip_existing else "several ranks need" if ranks.active() else ""
    if needs and not names.sources:
        raise UsageError(f"{needs} to know each item's file before it is read, which --dataset_mode "
                         f"{opt.dataset_mode} does not tell; leave it out")
    different = results.record.begin(made_by(model.networks, made_with(opt)), keep=opt.skip_existing)
    if different:
        say(f"--skip_existing: {results.folder} is translated anew, as {different}")
    if not opt.skip_existing:
        return list(items)
    is_done = results.record.done(names.known, names.sources)
    left = [item for item in items if not is_done[item]]
    say(f"--skip_existing: {len(items) - len(left)} of {len(items)} images are done")
    return left


def made_with(opt: Namespace) -> dict[str, Any]:
    """The options, with what became of automatic ones, and the kind of device."""
    return {name: value for name, value in vars(opt).items() if name in opt.parsed.asked} | {
        "device": opt.device.type}


if __name__ == "__main__":
    run_command(main)
