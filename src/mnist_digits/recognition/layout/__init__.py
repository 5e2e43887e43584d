"""From the ink of a page to the digits in its text lines."""
