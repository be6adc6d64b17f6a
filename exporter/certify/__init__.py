"""Decide whether a span is whole and what must be asked again. Pure: values in, values out."""
