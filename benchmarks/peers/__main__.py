"""`python -m benchmarks.peers`."""

from benchmarks.peers import BENCHMARK

BENCHMARK.main()
