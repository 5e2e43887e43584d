"""Millions of pictures → a folder of Parquet files, by this machine's cores or a Ray cluster's: extra `cluster`."""

from mnist_digits.recognition.bulk.cluster import check_address, read_on_cluster
from mnist_digits.recognition.bulk.listing import list_pictures
from mnist_digits.recognition.bulk.local import read_here
from mnist_digits.recognition.bulk.output import Output, Settings, Summary
from mnist_digits.recognition.bulk.table import SCHEMAS, Mode

__all__ = [
    "SCHEMAS",
    "Mode",
    "Output",
    "Settings",
    "Summary",
    "check_address",
    "list_pictures",
    "read_here",
    "read_on_cluster",
]
