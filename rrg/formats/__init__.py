"""Foreign data formats, one file each."""
