"""Build the ablation dashboard in W&B from finished runs."""
