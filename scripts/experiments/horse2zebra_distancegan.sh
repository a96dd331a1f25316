#!/usr/bin/env bash
# Horse -> zebra with DistanceGAN.
# Expected: FID 72.0
# Source: Table 1 of Park et al. 2020
# Cost: 11 GPU hours, from Table 1: 200 epochs of 1,334 steps at 0.15 s on a GPU of 2020
# Data: bash datasets/download_dataset.sh horse2zebra
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data horse2zebra
train --model distance_gan --n_epochs 100 --n_epochs_decay 100 "$@"
translate
evaluate
