"""Models with the switches that look at several images, or draw for each: what a division may get wrong."""

from typing import NamedTuple

SMALL = ("--netG resnet_4blocks --netD n_layers --n_layers_D 1 --ngf 2 --ndf 2 --crop_size 16 --load_size 16 "
         "--init_gain 0.3")
CUT = f"{SMALL} --netF_nc 8 --num_patches 12"
SINCUT = "--model sincut --ngf 2 --ndf 2 --netF_nc 8 --crop_size 16 --load_size 32 --R1_every 2"
DCL = f"{SMALL} --model dclgan --netF_nc 8 --num_patches 8"
ENCO = f"{SMALL} --model enco --netF_nc 8 --num_patches 12"
DRIT = f"{SMALL} --model drit --crop_size 32 --load_size 32 --dis_scale 2 --d_iter 2"
MINIBATCH = "--nce_includes_all_negatives_from_minibatch"
AUXILIARY = "--auxiliary l1=10,pyramid_l1=2,ssim=5,gradient,colour,tv,mask_l1 --dataset_mode aligned"


class Case(NamedTuple):
    """flags: of train.py. batch: images of the whole minibatch. micro: whether --accumulate takes it; else
    the images mix in its networks.
    """

    flags: str
    batch: int = 4
    micro: bool = True


CASES = {
    "CUT": Case(CUT),
    "CUT, wgangp": Case(f"{CUT} --gan_mode wgangp"),
    "CUT, queue alone": Case(f"{CUT} --nce_negatives external --nce_queue_size 100"),
    "CUT, queue, minibatch negatives": Case(
        f"{CUT} --nce_negatives both --nce_queue_size 100 {MINIBATCH}"),
    "CUT, minibatch negatives, semantic weights, SRC": Case(
        f"{CUT} {MINIBATCH} --nce_weighting semantic --lambda_SRC 0.05"),
    "CUT, minibatch negatives, transport weights": Case(f"{CUT} {MINIBATCH} --nce_weighting ot"),
    "CUT, semantic weights, SRC, places by D": Case(f"{CUT} --recipe hdce_src --nce_sampling dag"),
    "CUT, transport weights, places by queries": Case(f"{CUT} --recipe monce --nce_sampling query"),
    "CUT, shared places, netF reshape": Case(f"{CUT} --nce_shared_locations --netF reshape"),
    "CUT, batch norm": Case(f"{CUT} --normG batch --normD batch", micro=False),
    "CUT, batch norm, wgangp": Case(f"{CUT} --normG batch --normD batch --gan_mode wgangp", micro=False),
    "CUT, dropout": Case(f"{CUT} --no_dropout false"),
    "CUT, augmented for D, spectral norm, averaged": Case(
        f"{CUT} --diffaugment translation,color,cutout --spectral_norm --ema 10"),
    "CUT, auxiliary losses": Case(f"{CUT} {AUXILIARY} --companions mask=trainA_mask"),
    "CUT, stylegan2": Case("--netG stylegan2 --netD stylegan2 --ngf 2 --ndf 2 --netF_nc 8 --crop_size 16 "
                           "--load_size 16 --num_patches 12 --nce_layers 0,2,4"),
    "FastCUT": Case(f"{CUT} --CUT_mode FastCUT"),
    "SinCUT": Case(SINCUT),
    "CycleGAN": Case(f"{SMALL} --model cycle_gan --pool_size 0"),
    "CycleGAN, pools": Case(f"{SMALL} --model cycle_gan --pool_size 6"),
    "GcGAN, pools": Case(f"{SMALL} --model gcgan --pool_size 6"),
    "GcGAN, two generators": Case(f"{SMALL} --model gcgan --separate_generators --pool_size 0"),
    "DistanceGAN, pool": Case(f"{SMALL} --model distance_gan --pool_size 6 --distance_warmup 4"),
    "SelfDistance": Case(f"{SMALL} --model distance_gan --use_self_distance --pool_size 0 "
                         "--distance_warmup 4"),
    "EnCo": Case(ENCO, micro=False),
    "EnCo, augmented for D": Case(f"{ENCO} --diffaugment color", micro=False),
    "DCLGAN": Case(DCL),
    "SimDCL, SRC, semantic weights": Case(f"{DCL} --dcl_mode simdcl --lambda_SRC 0.05 "
                                          "--nce_weighting semantic"),
    "MUNIT": Case(f"{SMALL} --model munit --crop_size 64 --load_size 64 --lambda_cycle 10"),
    "DRIT": Case(DRIT, batch=8),
    "DRIT, no concatenation": Case(f"{DRIT} --no_concat --no_ms", batch=8),
}
