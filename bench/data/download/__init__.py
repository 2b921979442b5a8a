"""Files from the network: fetched, resumed, checked, kept."""
