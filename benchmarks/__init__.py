"""Measurements: `python -m benchmarks.NAME`, from the repository's root, writes results/NAME.json."""
