"""Hand a finished result on: a page that shows it, files for other programs."""
