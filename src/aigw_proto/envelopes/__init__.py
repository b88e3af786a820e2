"""The messages of the universal API: parse, validate, print."""
