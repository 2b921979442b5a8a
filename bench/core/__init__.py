"""The words that all wings share: errors, records, quantities, the task contract, statistics."""
