"""Search inside one file: the query language, tokens, matches and snippets."""
