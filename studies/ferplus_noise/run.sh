#!/bin/bash
# The noise study (docs/experiments/ferplus_noise.md): seven methods on clean, 20% and 30% flipped labels, one seed after the
# other, two runs at a time on two cores. If it is interrupted, run the same command again: it skips finished runs and resumes
# the others. Arguments are passed to the sweep, e.g. paths.data=/datasets paths.runs=elsewhere; on a GPU, use TRAINER=auto
# and hydra.launcher.n_jobs=12. TUNE=1 runs the tuning instead.
# PART=1: only baseline, SCN, RUL and EAC on 30% flipped labels, which two cores finish in about two hours
set -euo pipefail
MFER=${MFER:-mfer}
methods=baseline,scn,rul,eac,ds,multiscale,dsf noise=0.0,0.2,0.3 name=ferplus_noise
[ "${PART:-}" != 1 ] || { methods=baseline,scn,rul,eac noise=0.3 name=ferplus_noise_part1; }
all="experiment=ferplus_noise/${methods//,/,ferplus_noise/}"
common=(launcher=joblib trainer="${TRAINER:-cpu}")
export OMP_NUM_THREADS=1
if [ "${TUNE:-}" = 1 ]; then
    tuning=(seed=1000 dataset.label_noise="$([ "${PART:-}" = 1 ] && echo 0.3 || echo 0.2)")
    [ "${PART:-}" = 1 ] || "$MFER" -m name="${name}_lr" "${tuning[@]}" optimizer.lr=8e-3,16e-3,32e-3 "$all" "${common[@]}" "$@"
    "$MFER" -m name="${name}_scn" "${tuning[@]}" experiment=ferplus_noise/scn method.relabel_epoch=2,7,11 "${common[@]}" "$@"
else
    "$MFER" -m name="$name" seed="${SEEDS:-0,1,2,3,4}" dataset.label_noise="$noise" "$all" "${common[@]}" "$@"
fi
