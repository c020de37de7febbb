"""One file a verb of the command line: `Args`, what can be given, and `run(args) -> exit code`."""
