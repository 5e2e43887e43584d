"""People's own digits in the page: labelled in a folder, corrected where they were misread, and taught."""
