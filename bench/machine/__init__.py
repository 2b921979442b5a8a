"""The machine at hand: devices, processes, clocks, memory, locks, the environment."""
