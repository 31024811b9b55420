"""Simulations under a simulated clock: the second line of a figure, between the formula and the broker."""
