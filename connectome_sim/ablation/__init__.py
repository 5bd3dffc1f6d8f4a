"""Perturbing fitted networks: what is silenced, how it is measured, what it means. Knows neither Hydra nor files."""
