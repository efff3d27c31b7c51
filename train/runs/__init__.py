"""What runs of both stages share: settings, folders, processes, states, records."""
