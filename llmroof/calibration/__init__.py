"""Coefficients of the expected-time model: data files with meaning and source, and their reader."""
