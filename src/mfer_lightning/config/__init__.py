"""Configuration: compose it with Hydra, check its types, build objects from it, explain errors."""
