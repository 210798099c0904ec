"""Which of two texts is better: judges, one protocol, and the statistics of their verdicts."""
