"""Charts with one look. matplotlib is imported inside functions, when a chart is made."""
