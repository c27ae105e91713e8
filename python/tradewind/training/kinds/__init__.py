"""Kinds of anchors, one a file."""
