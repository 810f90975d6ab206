#!/usr/bin/env bash
# All remedies side by side: trains each method on the same photos for as many steps, then compares them by every
# protocol on the same compressed bytes. Leaves a table and curves for each protocol in FOLDER.
#
#     benchmarks/methods.sh PHOTOS DATASET FOLDER [STEPS]
#
# `unseen` is damage that is no compression, and needs: pip install 'afd-dedrift[corruptions]'
# PHOTOS need no labels; DATASET has a folder for each class. What is in FOLDER already is not trained again.
set -euo pipefail
photos=$1 dataset=$2 folder=$3 steps=${4:-2000}
mkdir -p "$folder"

train() { # NAME FLAGS...
    local name=$1
    shift
    [ -e "$folder/$name.done" ] && return
    [ -e "$folder/$name.state.safetensors" ] && set -- "$@" --resume # an earlier run was interrupted
    afd train "$photos" --output "$folder/$name.safetensors" --steps "$steps" "$@"
    touch "$folder/$name.done"
}
train augment --method augment
train fct --method fct
train fct-unmapped --method fct --width 0 # without the residual mapping block
train restore --method restore
train ddp --method ddp
train afd --method afd --growth 2 --hidden 64 --rank 128 --estimator paper # wide, as it was when the tables in methods/ were made

weights=none
for name in augment restore ddp fct fct-unmapped afd; do weights+=",$folder/$name.safetensors"; done
for preset in imagenet-c multi avif photos unseen; do
    afd evaluate "$dataset" --preset "$preset" --weights "$weights" --compare --output "$folder/$preset.csv"
done
python "$(dirname "$0")/wrong_quality.py" "$folder/fct.safetensors" "$dataset"
