"""The interactive page in headless Chromium."""
