#!/usr/bin/env bash
# SinCUT: from crops of two images, learn to give the one in DATAROOT/trainA the look of the one in trainB; then
# translate it whole.
#     bash scripts/train_sincut.sh DATAROOT NAME            as published: 16 epochs of 100,000 crops, for a GPU
#     bash scripts/train_sincut.sh DATAROOT NAME --short    smaller networks, 48,000 crops: for a CPU
#     bash scripts/train_sincut.sh DATAROOT NAME --glance   the same with 4,000 crops: to see that all works
# Further arguments are flags of train.py; --continue_train goes on with a run that was interrupted. The
# translated image lies in results/NAME then.
set -euo pipefail

if [ $# -lt 2 ] || [[ $1 == -* || $2 == -* ]]; then
    echo "train_sincut.sh: error: the folder of the images and a name for the experiment come first:" \
         "bash scripts/train_sincut.sh DATAROOT NAME [--short | --glance] [flags of train.py]" >&2
    exit 2
fi
if ! dataroot=$(cd "$1" 2>/dev/null && pwd); then
    echo "train_sincut.sh: error: there is no folder '$1'; it should hold trainA and trainB" >&2
    exit 2
fi
name=$2
shift 2

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment/setup_venv.sh

# These flags show most in little time: many cheap steps, and more patches a crop to learn from.
small=(--netG smallstylegan2 --ngf 5 --ndf 4 --batch_size 8 --num_patches 32 --R1_every 4)
flags=()
case "${1:-}" in
    --short) shift; flags=("${small[@]}" --crops_per_epoch 8000 --n_epochs 4 --n_epochs_decay 2) ;;
    --glance) shift; flags=("${small[@]}" --crops_per_epoch 2000 --n_epochs 1 --n_epochs_decay 1) ;;
esac
.venv/bin/python train.py --model sincut --dataroot "$dataroot" --name "$name" ${flags[@]+"${flags[@]}"} "$@"
.venv/bin/python test.py --model sincut --dataroot "$dataroot" --name "$name"
