"""Configuration: compose it with Hydra, check types, build objects from it, and explain errors."""
