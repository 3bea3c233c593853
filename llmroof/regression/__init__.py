"""Scenarios whose estimates are pinned: questions, baselines, assertions, and what moved."""
