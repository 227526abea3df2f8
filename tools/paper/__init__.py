"""Searches for the tables and figures of the paper, run where they are missing."""
