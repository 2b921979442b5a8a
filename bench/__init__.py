"""The engine: measures reproductions and compares them with what their papers report. It knows no paper by name."""
