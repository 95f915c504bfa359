"""A department system is taken on without code: what is in it is looked at, and a source file proposed."""
