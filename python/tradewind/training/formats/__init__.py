"""Formats of outcome tables that `evaluate --data` and `train --data` read: one file and one row of `sources.TABLE` each."""
