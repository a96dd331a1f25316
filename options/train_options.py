"""The flags of train.py."""

from models.losses.gan import OBJECTIVES
from models.schedules import SCHEDULES
from options.base_options import BaseOptions
from options.parser import OptionParser


class TrainOptions(BaseOptions):
    """Train a model to translate between two sets of pictures."""

    is_train = True

    def add_flags(self, parser: OptionParser) -> None:
        add = parser.add_argument
        parser.section("training")
        add("--phase", default="train", help="which folders to read: <phase>A and <phase>B")
        add("--n_epochs", type=int, default=200, help="epochs at the full learning rate")
        add("--n_epochs_decay", type=int, default=200, help="epochs in which it falls to 0 (linear)")
        add("--lr", type=float, default=0.0002, help="learning rate of Adam")
        add("--beta1", type=float, default=0.5, help="Adam's decay of the mean")
        add("--beta2", type=float, default=0.999, help="Adam's decay of the square")
        add("--lr_policy", choices=sorted(SCHEDULES), default="linear",
            help="how the learning rate falls: linear after --n_epochs; step by ten every --lr_decay_iters "
                 "epochs; plateau when an epoch's mean loss of G no longer falls; cosine over all epochs")
        add("--lr_decay_iters", type=int, default=50, help="epochs between the falls of --lr_policy step")
        add("--gan_mode", choices=sorted(OBJECTIVES), default="lsgan", help="adversarial objective")
        add("--pool_size", type=int, default=50, help="earlier outputs kept for D (CycleGAN); CUT uses none")

        parser.section("saving and resuming")
        add("--continue_train", action="store_true",
            help="go on where the run of this --name stopped: weights, optimizers, schedule, counters")
        add("--pretrained_name", default=None,
            help="with --continue_train: start at epoch 1 from the weights alone of that experiment")
        add("--epoch_count", type=int, default=1, help="number of the first epoch")
        add("--save_latest_freq", type=int, default=5000,
            help="save the latest checkpoint every so many images")
        add("--save_epoch_freq", type=int, default=5, help="keep a checkpoint every so many epochs")
        add("--save_by_iter", action="store_true", help="keep those of --save_latest_freq too, as iter_<n>")
        add("--evaluation_freq", type=int, default=5000,
            help="accepted for old command lines; has no effect yet")

        parser.section("records")
        add("--print_freq", type=int, default=100, help="print the losses every so many images")
        add("--display_freq", type=int, default=400, help="show pictures in visdom every so many images")
        add("--update_html_freq", type=int, default=1000,
            help="put pictures into the gallery every so many images")
        add("--no_html", action="store_true", help="make no gallery of pictures in <name>/web")
        add("--display_id", type=int, default=None, help="number of the first visdom window; 0: no visdom")
        add("--display_ncols", type=int, default=4, help="pictures a row in visdom")
        add("--display_server", default="http://localhost", help="address of the visdom server")
        add("--display_port", type=int, default=8097, help="port of the visdom server")
        add("--display_env", default="main", help="visdom environment; {name} in it is filled in")
