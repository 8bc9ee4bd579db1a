"""Facts and masks to training samples."""
