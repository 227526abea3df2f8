"""Runs the trials of sweeps."""
