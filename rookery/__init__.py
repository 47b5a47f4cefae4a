"""The command line and the composition root: the only package that sees all the others."""

VERSION = "0.1.0"
