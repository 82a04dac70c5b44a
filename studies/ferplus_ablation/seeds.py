"""The number of seeds of the ablation, from its pilot (docs/experiments/ferplus_ablation.md, "Seeds").

python studies/ferplus_ablation/seeds.py runs/pilot
"""

import sys
from pathlib import Path

from mfer_lightning.evaluation.runs import find_results, predictions_of
from mfer_lightning.evaluation.statistics import correct_matrix, plan_seeds

FACES, DIFFERENCE, CONTRASTS = 3191, 0.01, 6  # of FER2013Valid; a point; the primary family's

runs = find_results(sys.argv[1:]).results
heads = [run.result["config"]["head"]["name"] for run in runs]
correct, _ = correct_matrix([predictions_of(Path(run.folder), run.result) for run in runs])
plain, full = (correct[[head == name for head in heads]] for name in ("linear", "multiscale"))
print(f"{len(plain)} runs of plain, {len(full)} of full, {correct.shape[1]:,} faces")
print(f"accuracy: plain {100 * plain.mean():.2f}%, full {100 * full.mean():.2f}%")
plan = plan_seeds(plain, full, images=FACES, difference=DIFFERENCE, family=CONTRASTS)
print(f"spread over seeds: {100 * plan.seed_variance**0.5:.2f} points")
print(f"images' part of the error of a difference: {100 * plan.image_variance**0.5:.2f} points")
for seeds, smallest in plan.detectable.items():
    print(f"{seeds:2} seeds: {100 * smallest:.2f} points are found four times in five")
print(f"chosen: {plan.seeds}{'' if plan.reached else ' (not even ten find a point)'}")
