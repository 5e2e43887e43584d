"""`python -m mnist_digits` is the command `digits`."""

from mnist_digits.cli import main

main()
