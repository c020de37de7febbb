"""How models learn: the trainer, its schedules, checkpoints and log, adaptation and probes."""
