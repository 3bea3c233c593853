"""What things are: hardware profiles, number formats, and how their files are read."""
