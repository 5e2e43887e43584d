"""The page: its files, and the routes that only it uses."""
