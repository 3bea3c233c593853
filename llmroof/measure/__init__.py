"""Measurements on this machine: its profile, and whole models with random weights."""
