#!/usr/bin/env bash
# All remedies side by side: trains each method on the same photos for as many steps, then compares them by every
# protocol on the same compressed bytes. Leaves a table and curves for each protocol in FOLDER.
#
#     benchmarks/methods.sh PHOTOS DATASET FOLDER [STEPS]
#
# PHOTOS need no labels; DATASET has a folder for each class. What is in FOLDER already is not trained again.
set -euo pipefail
photos=$1 dataset=$2 folder=$3 steps=${4:-2000}
mkdir -p "$folder"

train() { # METHOD FLAGS...
    local method=$1 module="$folder/$1.safetensors"
    shift
    [ -e "$folder/$method.done" ] && return
    [ -e "$folder/$method.state.safetensors" ] && set -- "$@" --resume # an earlier run was interrupted
    afd train "$photos" --method "$method" --output "$module" --steps "$steps" "$@"
    touch "$folder/$method.done"
}
train augment --learning-rate 1e-4 # the backbone's own weights want smaller steps than a new module's
train fct --learning-rate 1e-4
train restore
train ddp
train afd

weights=none
for method in augment restore ddp fct afd; do weights+=",$folder/$method.safetensors"; done
for preset in imagenet-c multi avif photos; do
    afd evaluate "$dataset" --preset "$preset" --weights "$weights" --compare --output "$folder/$preset.csv"
done
