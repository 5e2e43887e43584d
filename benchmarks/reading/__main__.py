"""`python -m benchmarks.reading`."""

from benchmarks.reading import BENCHMARK

BENCHMARK.main()
