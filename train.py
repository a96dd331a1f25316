"""Train a model that translates images of one domain into the other.

    python train.py --dataroot ./datasets/horse2zebra --name h2z_CUT
    python train.py --dataroot ./datasets/horse2zebra --name h2z_FastCUT --CUT_mode FastCUT
    python train.py --dataroot ./datasets/horse2zebra --name h2z_CUT --gpu_ids 0,1 --batch_size 2

Checkpoints, losses and a gallery of images go to <checkpoints_dir>/<name>. Ctrl-C saves and ends the run;
--continue_train goes on with it. The last command trains on two GPUs, as torchrun --nproc_per_node=2 does.
"""

import sys
from argparse import Namespace
from pathlib import Path

from data import create_loader
from data.evaluation_split import evaluation_split, fixed_inputs
from data.loader import Loader
from models import create_model
from models.base_model import BaseModel
from options.describe import describe, describe_ranks, save_options
from options.restart import parse_training
from util.checkpoints.disk_space import describe_space
from util.checkpoints.training_state import TrainingState
from util.console import say
from util.distributed import ranks
from util.distributed.agreement import Agreement, Alone, stop_signals
from util.distributed.launch import launch
from util.distributed.place import launch_name
from util.distributed.together import Together, together
from util.errors import DataError, run_command
from util.loggers.fixed_images import FixedImages
from util.loggers.registry import create_loggers
from util.loggers.run_log import RunLog
from util.loggers.summary import summary
from util.metrics.training_evaluation import Evaluation
from util.runtime.health import LossMonitor
from util.runtime.memory import explained_out_of_memory
from util.runtime.progress import Progress
from util.runtime.rehearsal import rehearse
from util.runtime.seed import seed_everything


def main() -> None:
    with together() as others:          # None for a process that works alone
        opt = parse_training()
        if opt.world_size > 1 and not others:
            sys.exit(launch(opt.world_size))
        with explained_out_of_memory(opt):
            if others:
                others.join(opt)
            run(opt, others)


def run(opt: Namespace, others: Together | None = None) -> None:
    seed_everything(opt.seed)
    if opt.dry_run and opt.cache == "disk":
        opt.cache = "none"      # it would write
    loader = create_loader(opt)
    model = create_model(opt)
    model.data_dependent_initialize(loader.sample)
    progress = Progress(first_epoch=opt.epoch_count, last_epoch=opt.n_epochs + opt.n_epochs_decay,
                        images_per_epoch=loader.images_per_epoch)
    folder = Path(opt.checkpoints_dir) / opt.name
    if opt.dry_run:
        dry_run(opt, folder, loader, model, progress)
        return
    with TrainingState(folder, keep_last=opt.keep_last, force=opt.force) as state:
        if others:
            others.kept = lambda: state.saved
        print(describe(opt), model.describe(opt.verbose), start(opt, model, state, progress), sep="\n",
              flush=True)
        if launch_name():       # torchrun may start this again, to go on from here at least
            state.save("latest", model, progress)
        if ranks.is_main():
            save_options(opt, folder)
        try:
            last_words = train(opt, loader, model, state, progress)
        except DataError:
            state.save("latest", model, progress)
            raise
    if last_words:
        say(last_words)


def dry_run(opt: Namespace, folder: Path, loader: Loader, model: BaseModel, progress: Progress) -> None:
    """Build all, check the data, memory and disk, time ten steps and print the plan; nothing is written."""
    state = TrainingState(folder)               # not entered: it makes no folder and takes no lock
    begins = start(opt, model, state, progress)
    print(describe(opt), model.describe(opt.verbose), begins, sep="\n", flush=True)
    Evaluation(opt, evaluation_split(opt))      # says what it would do, and whether it can
    for line in rehearse(opt, folder, loader, model, progress):
        say(line)
    say("dry run: nothing was written; leave out --dry_run to begin")


def train(opt: Namespace, loader: Loader, model: BaseModel, state: TrainingState,
          progress: Progress) -> str:
    """All epochs that are left. Returns a summary, "" if there were none."""
    monitor = LossMonitor(opt.on_nan, model.optimizers.values(), model.gan_weight)
    evaluation = Evaluation(opt, evaluation_split(opt))
    fixed = FixedImages(fixed_inputs(opt), opt.seed)
    with open_log(opt, progress) as log, stop_signals() as stop:
        for epoch in progress.remaining_epochs():
            model.start_epoch(epoch)
            loader.set_epoch(epoch, skip_images=progress.epoch_images)
            for batch in log.timed(stop.batches(loader)):
                losses = model.train_step(batch)
                progress.advance(images=len(batch["A"]) * ranks.world_size())
                log.step(progress)
                monitor.step(progress, losses)
                if progress.crossed(opt.print_freq):
                    shown = log.losses(progress, losses, model.learning_rate())     # waits for the device
                    monitor.check(progress, shown, state.advice)
                if progress.crossed(opt.display_freq) or progress.crossed(opt.update_html_freq):
                    show(model, fixed, progress, log, keep=progress.crossed(opt.update_html_freq))
                if evaluation.due(progress):
                    evaluation.run(model, progress, log, state)
                save = progress.crossed(opt.save_latest_freq)
                if save and opt.save_by_iter:
                    state.save(f"iter_{progress.total_images}", model, progress)
                if (save or stop.received) and not progress.epoch_done:     # else the epoch ends first
                    save_or_leave(model, state, progress, stop)

            model.end_epoch(evaluation.losses(log, epoch))
            keep = epoch % opt.save_epoch_freq == 0
            if keep or epoch == progress.last_epoch:
                show(model, fixed, progress, log, keep=True)
            log.epoch_end(progress)
            progress.end_epoch()
            if keep:
                state.save(str(epoch), model, progress)
            if keep or save or stop.received or epoch == progress.last_epoch:
                save_or_leave(model, state, progress, stop)
        images, seconds = log.done()
        scores = evaluation.summary(log)
        return summary(opt, state.folder, progress, images, seconds, scores) if images else ""


def show(model: BaseModel, fixed: FixedImages, progress: Progress, log: RunLog, keep: bool) -> None:
    """Show the last step's images; where they are kept, the fixed test images as well."""
    log.images(progress, model.visuals(), keep)
    if keep:
        fixed.show(model, progress, log)


def save_or_leave(model: BaseModel, state: TrainingState, progress: Progress,
                  stop: Alone | Agreement) -> None:
    """Save the latest state, then end the program if a signal asked for it."""
    leaving = stop.received
    state.save("latest", model, progress)
    if leaving and progress.epoch <= progress.last_epoch:
        say(f"{leaving.name}: ends; kept is {state.last_good} in {state.folder}; --continue_train goes on")
        sys.exit(stop.exit_code)


def start(opt: Namespace, model: BaseModel, state: TrainingState, progress: Progress) -> str:
    """Set model and progress to where the run starts. Returns lines that say so."""
    if opt.pretrained_name is not None:
        folder = Path(opt.checkpoints_dir) / opt.pretrained_name
        model.load_weights(folder, opt.epoch)
        line = f"starts at epoch {progress.epoch} from the weights {opt.epoch} of {folder}"
    elif not opt.continue_train:
        line = f"starts at epoch {progress.epoch} from random weights (seed {opt.seed})"
    else:
        found = state.restore(opt.epoch, model, progress)
        if "epoch_count" in opt.parsed.typed:
            progress.epoch, progress.epoch_images = opt.epoch_count, 0
        line = (f"goes on at epoch {progress.epoch}, image {progress.epoch_images + 1} of it, with {found} "
                f"in {state.folder}")
        if progress.epoch > progress.last_epoch:
            line += f"\nnothing is left to train: {progress.last_epoch} epochs are done; see --n_epochs"
    numbered = progress.last_epoch // opt.save_epoch_freq
    if opt.save_by_iter:
        numbered += progress.last_epoch * progress.images_per_epoch // opt.save_latest_freq
    space = describe_space(state.folder, model.state_dict(), min(numbered, opt.keep_last or numbered))
    return "\n".join(filter(None, [describe_ranks(opt), line, opt.parsed.changed, state.displaced(), space]))


def open_log(opt: Namespace, progress: Progress) -> RunLog:
    folder = Path(opt.checkpoints_dir) / opt.name
    total = (progress.last_epoch - opt.epoch_count + 1) * progress.images_per_epoch
    loggers = create_loggers(opt, folder) if ranks.is_main() else {}
    return RunLog(folder, progress, images_in_total=total, loggers=loggers)


if __name__ == "__main__":
    run_command(main)
