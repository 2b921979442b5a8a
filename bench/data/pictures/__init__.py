"""Pictures in folders, archives, tables and hubs: found, checked, read."""
