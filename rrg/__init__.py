"""rrg: spatially grounded radiology vision-language models, as a box of small commands."""
