"""Results of benchmark tools as measured rows: one module per format."""
