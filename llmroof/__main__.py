"""`python -m llmroof`: the command line without an installed entry point."""

from llmroof.cli.main import main

if __name__ == "__main__":
    main()
