"""Learning something new: strategies, what is kept of the old, scenarios, single experiments."""
