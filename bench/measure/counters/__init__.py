"""The counters of FLOPs that papers print: this suite's own, and the public packages as they are."""
