"""What is compared, and under which conditions: data sets, methods, and the flags that all runs share."""

from pathlib import Path
from typing import NamedTuple

SIZE = 64       # width and height of an image in pixels
NETWORKS = "--ngf 32 --ndf 32 --netG resnet_6blocks"
COMMON = (f"--load_size 72 --crop_size {SIZE} {NETWORKS} --num_threads 1 "
          "--save_epoch_freq 1000 --display_id 0 --evaluation_metrics kid,fid,swd")


class DataSet(NamedTuple):
    """A data set and how long it is trained on.

    schedule: flags of train.py; an evaluation falls on the last image. licence: of the images, to be said
    beside them; empty: they are for research, and the page shows translations only.
    """

    name: str
    folder: str     # under --data
    title: str
    schedule: str
    licence: str


SETS = {one.name: one for one in (
    DataSet("emoji", "emoji", "Twemoji → OpenMoji, 2,192 steps",
            "--n_epochs 1 --n_epochs_decay 3 --ema 300 --evaluation_freq 548",
            "Twemoji: CC-BY 4.0, Twitter, Inc. and other contributors. OpenMoji: CC-BY-SA 4.0."),
    DataSet("horse2zebra", "horse2zebra", "Horse → zebra, 10,672 steps",
            "--n_epochs 4 --n_epochs_decay 4 --ema 1000 --evaluation_freq 1334", ""),
    DataSet("horse2zebra_long", "horse2zebra", "Horse → zebra, 40,020 steps",
            "--n_epochs 15 --n_epochs_decay 15 --ema 1000 --evaluation_freq 2668", ""))}


class Method(NamedTuple):
    """title: on the page. flags: of train.py, beside the shared ones."""

    title: str
    flags: str = ""


METHODS = {
    "cut": Method("CUT"),
    "hdce_src": Method("hDCE + SRC", "--recipe hdce_src"),
    "monce": Method("MoNCE", "--recipe monce"),
    "qsattn": Method("QS-Attn", "--recipe qsattn"),
    "enco": Method("EnCo", "--model enco --recipe enco"),
    "dce": Method("CUT, decoupled loss", "--nce_loss dce"),
    "src": Method("CUT + SRC", "--lambda_SRC 0.05"),
    "nce01": Method("CUT, λ NCE 0.1", "--lambda_NCE 0.1"),
    "translation": Method("CUT + DiffAugment, translation", "--diffaugment translation"),
    "aug": Method("CUT + DiffAugment, all three", "--diffaugment translation,color,cutout"),
    "sn_hinge": Method("CUT, spectral norm and hinge", "--spectral_norm --gan_mode hinge"),
    "hdce_src_aug": Method("hDCE + SRC + DiffAugment, translation",
                           "--recipe hdce_src --diffaugment translation"),
    "monce_src": Method("MoNCE + SRC", "--recipe monce --lambda_SRC 0.05"),
    "monce_query": Method("MoNCE + QS-Attn", "--recipe monce --nce_sampling query"),
    "monce_translation": Method("MoNCE + DiffAugment, translation",
                                "--recipe monce --diffaugment translation"),
    "fastcut": Method("FastCUT", "--CUT_mode FastCUT"),
    "cyclegan": Method("CycleGAN", "--model cycle_gan"),
    "gcgan": Method("GcGAN", "--model gcgan"),
}


class Protocol(NamedTuple):
    """Where things are, and what is the same for every run."""

    data: Path
    runs: Path
    features: Path      # the exported network whose features kid and fid compare
    precision: str
    more: tuple[str, ...] = ()      # flags of train.py for a trial

    def folder(self, chosen: DataSet) -> Path:
        return self.runs / chosen.name

    def run_name(self, method: str, seed: int) -> str:
        return f"{method}_seed{seed}"

    def shared_flags(self, chosen: DataSet) -> list[str]:
        return [*COMMON.split(), "--precision", self.precision, *chosen.schedule.split(), *self.more]

    def where(self, chosen: DataSet, method: str, seed: int) -> list[str]:
        """The flags of train.py and test.py that name data and run."""
        return ["--dataroot", str(self.data / chosen.folder), "--name", self.run_name(method, seed),
                "--checkpoints_dir", str(self.folder(chosen) / "checkpoints")]
