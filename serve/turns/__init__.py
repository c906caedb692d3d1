"""Turns: who may go to the engine, and when."""
