"""Predictions for people and viewers."""
