#!/usr/bin/env bash
# Russian Blue -> Grumpy Cat with CycleGAN; the set has no test images, so those of training are translated.
# Expected: no score; the paper shows images
# Source: Park et al. 2020
# Cost: 5 GPU hours, from Table 1: 200 epochs of about 214 steps at 0.40 s on a GPU of 2020
# Data: bash datasets/download_dataset.sh grumpifycat
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data grumpifycat
train --model cycle_gan --n_epochs 100 --n_epochs_decay 100 "$@"
translate train
evaluate
