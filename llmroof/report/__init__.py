"""One self-contained page on which a roofline can be played with."""
