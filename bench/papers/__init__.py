"""What papers state: facts, recipes, golden records, claims."""
