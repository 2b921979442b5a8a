"""One run: a request, its plan, its jobs in processes, its records and claims."""
