"""`python -m benchmarks.inference`."""

from benchmarks.inference import BENCHMARK

BENCHMARK.main()
