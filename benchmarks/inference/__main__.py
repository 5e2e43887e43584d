"""`python -m benchmarks.inference`."""

from benchmarks.inference import main

main()
