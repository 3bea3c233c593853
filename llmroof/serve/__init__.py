"""The interactive page over a local HTTP server that asks the engine."""
