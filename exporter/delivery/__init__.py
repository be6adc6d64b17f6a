"""Hand a finished result on, in the formats that others read."""
