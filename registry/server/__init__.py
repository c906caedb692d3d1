"""The registry's server: the embedded registry over HTTP, for those who have a key."""
