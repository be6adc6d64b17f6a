"""Decide what to ask next until every span of the range is certified."""
