"""The ablation dashboard at W&B, built as code from finished runs."""
