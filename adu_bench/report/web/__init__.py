"""Boards as one web page that loads nothing."""
