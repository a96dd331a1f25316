"""What is tried on a pretended GPU: models with their important switches."""

from typing import NamedTuple

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
ON_NAN = ("stop", "skip")
# Small networks and images, for the checks; the table is made at the default sizes.
SMALL = "--netG resnet_4blocks --netD n_layers --n_layers_D 1 --ngf 4 --ndf 4 --crop_size 32 --load_size 32"
SMALL_CUT = f"{SMALL} --nce_layers 0,8"
SMALL_SINGLE = "--ngf 2 --ndf 2 --crop_size 16 --load_size 32 --batch_size 2"

# Why the steps of a case are not all alike, so that no CUDA graph can stand for them.
POOL = "the host draws which image of the pool D sees"
QUEUE = "the queues of negatives are other tensors in every step, and longer until they are full"
MOMENTS = "the moments of the distances, and the images compared with, are other tensors in every step"
MOVED = "an update of micro-batches leaves its weights in new memory"


class Case(NamedTuple):
    """flags: of train.py. period: after how many steps the same kind of step comes round (mirrored or not, R1
    due or not). unlike: why steps of one kind differ all the same. kept: whether it keeps more from step to
    step than weights and Adam's moments.
    """

    flags: str
    period: int = 1
    unlike: str = ""
    kept: bool = False

    def small(self, precision: str, on_nan: str) -> str:
        sizes = SMALL if "--model" in self.flags or "enco" in self.flags else SMALL_CUT
        sizes = SMALL_SINGLE if "sincut" in self.flags else sizes
        return f"{sizes} {self.flags} --precision {precision} --on_nan {on_nan}"


SIDE_64 = "--crop_size 64 --load_size 64"
DRIT = "--model drit --dis_scale 1 --crop_size 36 --load_size 36 --d_iter 2"
AUXILIARY = ("l1=10,pyramid_l1=2,ssim=5,gradient,colour,tv,mask_l1 --dataset_mode aligned "
             "--companions mask=trainA_mask --paired_ratio 0.5")
HALVES = "--model distance_gan --use_self_distance --unnormalized_distances"
CASES = {
    "CUT": Case(""),
    "CUT, mirrored at random": Case("--flip_equivariance", period=2),
    "CUT, queue of negatives": Case("--nce_negatives both --num_patches 16 --nce_queue_size 20",
                                    unlike=QUEUE, kept=True),
    "CUT, netF reshape": Case("--netF reshape"),
    "CUT, batch norm": Case("--normG batch --normD batch", kept=True),
    "CUT, dropout": Case("--no_dropout false"),
    "CUT, no antialias": Case("--no_antialias --no_antialias_up"),
    "CUT, wgangp": Case("--gan_mode wgangp"),
    "CUT, grad_checkpoint": Case("--grad_checkpoint"),
    "CUT, channels_last": Case("--channels_last"),
    "CUT, lambda_NCE 0": Case("--lambda_NCE 0"),
    "CUT, batch of 2": Case("--batch_size 2 --nce_includes_all_negatives_from_minibatch"),
    "CUT, two micro-batches": Case("--batch_size 2 --accumulate 2", unlike=MOVED),
    "CUT, hDCE and SRC": Case("--recipe hdce_src --nce_layer_weights 1,2"),
    "CUT, MoNCE": Case("--recipe monce"),
    "CUT, QS-Attn": Case("--recipe qsattn"),
    "CUT, places chosen by D": Case("--nce_sampling dag"),
    "CUT, grey to colour": Case("--input_nc 1"),
    "CUT, auxiliary losses": Case(f"--auxiliary {AUXILIARY}"),
    "CUT, plateau": Case("--lr_policy plateau", kept=True),
    "FastCUT": Case("--CUT_mode FastCUT", period=2),
    "FastCUT, auxiliary losses": Case(f"--CUT_mode FastCUT --auxiliary {AUXILIARY}", period=2),
    "SinCUT": Case("--model sincut"),
    "SinCUT, R1 every second step": Case("--model sincut --R1_every 2 --channels_last", period=2, kept=True),
    "CycleGAN": Case("--model cycle_gan --pool_size 0"),
    "CycleGAN, auxiliary losses": Case(f"--model cycle_gan --pool_size 0 --auxiliary {AUXILIARY}"),
    "CycleGAN, pool": Case("--model cycle_gan --pool_size 1", unlike=POOL, kept=True),
    "GcGAN": Case("--model gcgan --pool_size 0"),
    "GcGAN, two generators": Case("--model gcgan --separate_generators --pool_size 0"),
    "DCLGAN": Case("--model dclgan"),
    "SimDCL": Case("--model dclgan --dcl_mode simdcl --lambda_SRC 0.05 --nce_weighting semantic"),
    "DistanceGAN": Case("--model distance_gan --pool_size 0 --distance_warmup 1", unlike=MOMENTS),
    "SelfDistance": Case(f"{HALVES} --pool_size 0"),
    "SelfDistance, pool": Case(f"{HALVES} --pool_size 1", unlike=POOL, kept=True),
    "EnCo": Case("--recipe enco"),
    "EnCo, augmented": Case("--model enco --diffaugment color --nce_sampling dag"),
    "EnCo, places at random": Case("--model enco --nce_sampling random --lambda_IDT 0 --channels_last"),
    "MUNIT": Case(f"--model munit {SIDE_64}"),
    "MUNIT, cycle, grad_checkpoint": Case(f"--model munit {SIDE_64} --lambda_cycle 10 --grad_checkpoint"),
    "DRIT": Case(DRIT, period=2, kept=True),
    "DRIT, no concatenation": Case(f"{DRIT} --no_concat --no_ms --spectral_norm", period=2),
}

# Flags of test.py, for images whose sizes no network's multiple divides.
TRANSLATIONS = {
    "CUT": "--netG resnet_4blocks --ngf 4",
    "CUT, batch norm and dropout": "--netG resnet_4blocks --ngf 4 --normG batch --no_dropout false",
    "CUT, batch norm, eval": "--netG resnet_4blocks --ngf 4 --normG batch --eval",
    "CUT, channels_last": "--netG resnet_4blocks --ngf 4 --channels_last",
    "CUT, unet": "--netG unet_128 --ngf 2",
    "SinCUT": "--model sincut --ngf 2 --crop_size 16",
    "SinCUT, no noise": "--model sincut --ngf 2 --crop_size 16 --no_noise",
    "CycleGAN": "--model cycle_gan --netG resnet_4blocks --ngf 4",
    "GcGAN": "--model gcgan --netG resnet_4blocks --ngf 4",
    "DCLGAN": "--model dclgan --netG resnet_4blocks --ngf 4",
    "DistanceGAN": "--model distance_gan --netG resnet_4blocks --ngf 4",
    "EnCo": "--model enco --netG resnet_4blocks --ngf 4",
    "MUNIT": "--model munit --ngf 4",
    "MUNIT, styles": "--model munit --ngf 4 --num_styles 3 --same_styles",
    "DRIT": "--model drit --ngf 4 --num_styles 2",
    "DRIT, no concatenation": "--model drit --ngf 4 --no_concat",
}

# Of the table, at the default sizes: flags, and names of the kinds of steps in the order in which they come.
TABLE = {
    "CUT": ("", ("",)),
    "CUT `--channels_last`": ("--channels_last", ("",)),
    "CUT `--grad_checkpoint`": ("--grad_checkpoint", ("",)),
    "FastCUT": ("--CUT_mode FastCUT", ("mirrored", "not mirrored")),
    "SinCUT": ("--model sincut", ("",)),
    "CycleGAN": ("--model cycle_gan --pool_size 0", ("",)),
    "GcGAN": ("--model gcgan --pool_size 0", ("",)),
    "DCLGAN": ("--model dclgan", ("",)),
    "SimDCL": ("--model dclgan --dcl_mode simdcl", ("",)),
    "DistanceGAN": ("--model distance_gan --pool_size 0 --distance_warmup 1", ("",)),
}
