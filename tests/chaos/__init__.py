"""Faults at random instants: every stage is hit, resumed, and its bytes compared with those of an unbroken run."""
