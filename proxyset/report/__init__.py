"""Figures and tables of proxy sets and their scores."""
