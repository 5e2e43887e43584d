"""`digits tune`: the search itself, and what is printed of it."""
