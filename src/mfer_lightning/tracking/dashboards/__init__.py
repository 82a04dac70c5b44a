"""Build the ablation dashboard at W&B from finished runs."""
