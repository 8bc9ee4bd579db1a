"""One file per subcommand: options in, one library call, records out."""
