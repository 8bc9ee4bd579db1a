"""Radiology report text to facts with spans."""
