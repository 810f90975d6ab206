"""Batch classification of compressed images."""
