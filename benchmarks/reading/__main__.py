"""`python -m benchmarks.reading`."""

from benchmarks.reading import main

main()
