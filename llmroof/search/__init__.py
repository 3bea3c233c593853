"""Many questions at once: sweeps, frontiers, recommendations, levers, comparisons."""
