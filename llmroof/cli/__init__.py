"""The command line: parse, ask one function, print. Nothing here computes."""
