#!/bin/bash
# The ablation (docs/experiments/ferplus_ablation.md): twelve methods, one seed after the other, two runs at a time on two
# cores. After an interruption, start the script again: it continues. Arguments are passed to the sweep, e.g.
# paths.data=/datasets paths.runs=elsewhere. On a GPU, set TRAINER=auto and hydra.launcher.n_jobs=12, because a single run
# is too small to use the GPU fully.
set -euo pipefail
MFER=${MFER:-mfer}
SEEDS=${SEEDS:-0,1,2,3,4,5,6} # seven, computed from the pilot
methods=plain,plain_lgm,plain_dsf,ds,dynamic,static,conv,multiscale,full,full_center,full_lgm,full_dsf
OMP_NUM_THREADS=1 "$MFER" -m name=ferplus_ablation seed="$SEEDS" "experiment=ferplus_ablation/${methods//,/,ferplus_ablation/}" \
    launcher=joblib trainer="${TRAINER:-cpu}" "$@"
