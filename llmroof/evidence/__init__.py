"""Predictions held against measurements, and estimates held against themselves."""
