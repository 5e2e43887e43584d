"""`python -m benchmarks.serving`."""

from benchmarks.serving import BENCHMARK

BENCHMARK.main()
