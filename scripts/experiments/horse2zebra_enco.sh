#!/usr/bin/env bash
# Horse -> zebra with EnCo.
# Expected: FID 38.7 ?
# Source: Cai et al. 2024; recalled, not checked
# Cost: about 10 GPU hours, by its authors' seconds a step: 200 epochs of 1,334 steps at 0.14 ? s
# Data: bash datasets/download_dataset.sh horse2zebra
# Protocol: best of the saved epochs
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data horse2zebra
train --recipe enco --warmup_epochs 20 --n_epochs 100 --n_epochs_decay 100 "$@"
translate
evaluate
