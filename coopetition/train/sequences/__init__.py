"""Training sequences: classes, exemplars and labels, drawn many at once."""
