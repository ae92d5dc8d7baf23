"""The nouns: frozen structs, their attributes, checks and errors. Imports nothing of ours and does no I/O."""
