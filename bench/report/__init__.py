"""From records to figures, verdicts, rows and text. Pure: writes nothing but text."""
