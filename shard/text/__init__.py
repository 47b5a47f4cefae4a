"""Rules of text that no table decides: emoji, what can be seen, and what a word is."""
