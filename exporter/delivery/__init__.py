"""Hand a finished result on: a page that shows it, files in the formats that others read."""
