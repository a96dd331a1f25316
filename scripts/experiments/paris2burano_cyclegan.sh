#!/usr/bin/env bash
# Paris -> Burano with CycleGAN.
# Expected: no score; the paper shows images
# Source: Park et al. 2020
# Cost: 22 GPU hours for every 1,000 images, from Table 1: 200 epochs at 0.40 s a step
# Data: not published; bring your own photos: DATAROOT with trainA, trainB, testA and testB
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data paris2burano
train --model cycle_gan --n_epochs 100 --n_epochs_decay 100 "$@"
translate
evaluate
