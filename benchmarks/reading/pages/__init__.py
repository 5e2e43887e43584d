"""A generator of pages of handwritten digits, independent of what the package itself trains with."""
