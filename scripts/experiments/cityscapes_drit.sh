#!/usr/bin/env bash
# Cityscapes, label map -> photo with DRIT++.
# Expected: FID 155.3
# Source: table of Han et al. 2021 (DCLGAN), which repeats it; the schedule is that of DRIT's authors
# Cost: at most 292 GPU hours, from that table: 1009 epochs of 1,487 steps at 0.70 s, the 500,000 updates of G of DRIT's authors
# Data: python datasets/prepare_cityscapes.py, from the files that cityscapes-dataset.com gives out
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cityscapes BtoA
train --model drit --n_epochs 600 --n_epochs_decay 409 "$@"
translate --load_size 256 --crop_size 256
evaluate
segment
