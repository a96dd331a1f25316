"""Train a model to translate between two sets of pictures.

    python train.py --dataroot ./datasets/horse2zebra --name h2z_CUT
    python train.py --dataroot ./datasets/horse2zebra --name h2z_FastCUT --CUT_mode FastCUT

Checkpoints, losses and a gallery of pictures go to <checkpoints_dir>/<name>. Ctrl-C saves and ends;
--continue_train goes on.
"""

import sys
from argparse import Namespace
from pathlib import Path

from data import create_loader
from models import create_model
from models.base_model import BaseModel
from options.record import describe, save_options
from options.train_options import TrainOptions
from util.errors import run_command
from util.progress import Progress
from util.run_log import RunLog
from util.seed import seed_everything
from util.signals import StopSignals
from util.training_state import TrainingState
from util.visdom_log import connect_visdom


def main() -> None:
    opt = TrainOptions().parse()
    seed_everything(opt.seed)
    loader = create_loader(opt)
    model = create_model(opt)
    state = TrainingState(Path(opt.checkpoints_dir) / opt.name)
    progress = Progress(first_epoch=opt.epoch_count, last_epoch=opt.n_epochs + opt.n_epochs_decay)
    print(describe(opt), model.describe(opt.verbose), sep="\n")
    print(start(opt, model, state, progress), flush=True)
    save_options(opt, state.folder)

    with open_log(opt, progress, loader.images_per_epoch) as log, StopSignals() as stop:
        for epoch in progress.remaining_epochs():
            model.start_epoch(epoch)
            loader.set_epoch(epoch, skip_images=progress.epoch_images)
            for batch in log.timed(loader):
                losses = model.train_step(batch)
                progress.advance(images=len(batch["A"]))
                log.step(progress)
                if progress.crossed(opt.print_freq):
                    log.losses(progress, losses, model.learning_rate())    # the only wait for the device
                if progress.crossed(opt.display_freq) or progress.crossed(opt.update_html_freq):
                    log.pictures(progress, model.visuals(), save=progress.crossed(opt.update_html_freq))
                if progress.crossed(opt.save_latest_freq):
                    state.save("latest", model, progress)
                    if opt.save_by_iter:
                        state.save(f"iter_{progress.total_images}", model, progress)
                if stop.received:
                    state.save("latest", model, progress)
                    log.note(f"{stop.received.name}: saved after image {progress.total_images} in "
                             f"{state.folder}; --continue_train goes on")
                    sys.exit(stop.exit_code)

            model.end_epoch()
            keep = epoch % opt.save_epoch_freq == 0
            if keep or epoch == progress.last_epoch:
                log.pictures(progress, model.visuals(), save=True)
            log.epoch_end(progress)
            progress.end_epoch()
            if keep:
                state.save(str(epoch), model, progress)
            if keep or epoch == progress.last_epoch:
                state.save("latest", model, progress)


def start(opt: Namespace, model: BaseModel, state: TrainingState, progress: Progress) -> str:
    """Set model and progress to where the training starts. Returns a line that says so."""
    if opt.pretrained_name is not None:
        folder = Path(opt.checkpoints_dir) / opt.pretrained_name
        model.load_weights(folder, opt.epoch)
        return f"starts at epoch {progress.epoch} from the weights {opt.epoch} of {folder}"
    if not opt.continue_train:
        return f"starts at epoch {progress.epoch} from random weights (seed {opt.seed})"
    whole = state.restore(opt.epoch, model, progress)
    if "epoch_count" in opt.typed:
        progress.epoch, progress.epoch_images = opt.epoch_count, 0
    elif not whole and opt.epoch.isdecimal():
        progress.epoch = int(opt.epoch) + 1
    came = "everything" if whole else "the weights alone (no state was kept with them)"
    return (f"goes on at epoch {progress.epoch}, image {progress.epoch_images + 1} of it, with {came} "
            f"from {opt.epoch} in {state.folder}")


def open_log(opt: Namespace, progress: Progress, images_per_epoch: int) -> RunLog:
    visdom = connect_visdom(name=opt.name, server=opt.display_server, port=opt.display_port,
                            env=opt.display_env.replace("{name}", opt.name), display_id=opt.display_id,
                            ncols=opt.display_ncols, winsize=opt.display_winsize)
    total = (progress.last_epoch - opt.epoch_count + 1) * images_per_epoch
    return RunLog(folder=Path(opt.checkpoints_dir) / opt.name, name=opt.name, progress=progress,
                  images_in_total=total, gallery=not opt.no_html, winsize=opt.display_winsize, visdom=visdom)


if __name__ == "__main__":
    run_command(main)
