"""The command line ``scenedino``: one module per subcommand, registered in `cli.main`."""
