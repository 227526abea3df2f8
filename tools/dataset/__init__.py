"""Runs many searches, with worker processes on one machine or on a Ray cluster."""
