"""`python -m benchmarks.training`."""

from benchmarks.training import BENCHMARK

BENCHMARK.main()
