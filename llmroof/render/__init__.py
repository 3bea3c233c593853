"""Results as text for people, JSON, CSV, Markdown and charts. Nothing here prints."""
