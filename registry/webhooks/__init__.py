"""Webhooks on their way: when to try, one attempt, and the loop that makes them."""
