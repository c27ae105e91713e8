"""Estimators that `evaluate --fit` knows: one file and one row each."""
