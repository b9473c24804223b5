"""Hostile proposals, one by one and by the million: what none of them may do."""
