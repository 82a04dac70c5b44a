#!/bin/bash
# The ablation (docs/experiments/ferplus_ablation.md): twelve methods, one seed after the other, two runs at a time on two
# cores. Started again it goes on where it was cut. Arguments go to the sweep, e.g. paths.data=/datasets paths.runs=elsewhere;
# on a GPU: TRAINER=auto, and hydra.launcher.n_jobs=12, since one such small run leaves it idle
set -euo pipefail
MFER=${MFER:-mfer}
SEEDS=${SEEDS:-0,1,2,3,4,5,6} # seven: the pilot said so
methods=plain,plain_lgm,plain_dsf,ds,dynamic,static,conv,multiscale,full,full_center,full_lgm,full_dsf
OMP_NUM_THREADS=1 "$MFER" -m name=ferplus_ablation seed="$SEEDS" "experiment=ferplus_ablation/${methods//,/,ferplus_ablation/}" \
    launcher=joblib trainer="${TRAINER:-cpu}" "$@"
