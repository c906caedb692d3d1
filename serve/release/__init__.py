"""Releases in the gateway: who answers, what is counted of it, copies for shadows, and the reports to the registry."""
